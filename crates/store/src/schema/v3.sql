-- The runs of a job, so that one that is overdue or fails is still known after a restart of lifesign itself.
ALTER TABLE memories ADD COLUMN
    job TEXT /* JSON: due time awaited, runs going on and ended; null: it is no job */ NOT NULL DEFAULT 'null';
