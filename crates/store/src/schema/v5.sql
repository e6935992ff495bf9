-- The process of a unit that a silence speaks of: frequent restarts of lifesign must not hide that it hangs.
ALTER TABLE memories ADD COLUMN
    process TEXT /* JSON: number and the system's stamp of its start; null: none was seen */ NOT NULL DEFAULT 'null';
