-- A restart that was ordered and not answered, whoever ordered it: lifesign may be gone before the unit stops.
ALTER TABLE memories ADD COLUMN
    restarting INTEGER /* 1: ordered, and its end was not seen */ NOT NULL DEFAULT 0;
