-- How long lifesign has listened in vain, so that frequent restarts of its own never hide a death; and the
-- evidence behind each change, for explanations of past moments. Comments inside the columns stay in the schema.
ALTER TABLE memories ADD COLUMN
    silence INTEGER /* milliseconds for which lifesign has listened in vain */ NOT NULL DEFAULT 0;
ALTER TABLE transitions ADD COLUMN
    facts TEXT /* JSON array: the evidence in sentences, as judged at this moment */ NOT NULL DEFAULT '[]';
