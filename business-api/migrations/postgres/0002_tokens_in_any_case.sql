-- A token is found in whatever case its uid is said (an OCPP idTag has none), by the same rule as in the gateways' replica. The registry
-- refuses two that differ only in case; the index is not unique, so that a database that has such two still opens.
-- Generated, so that no row level policy stands between this and the rows; collation C, so that no locale has a say in A to Z.
ALTER TABLE tokens ADD COLUMN any_case TEXT GENERATED ALWAYS AS (lower(uid COLLATE "C")) STORED;
CREATE INDEX tokens_in_any_case ON tokens (tenant_id, any_case);
