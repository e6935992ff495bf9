-- Services that their own heartbeats have made outlive a restart of lifesign: only so is their silence over it seen.
ALTER TABLE memories ADD COLUMN
    created INTEGER /* 1: its own heartbeat made it, and no configuration */ NOT NULL DEFAULT 0;
