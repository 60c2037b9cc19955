-- A token is found in whatever case its uid is said (an OCPP idTag has none), by the same rule as in the gateways' replica. The registry
-- refuses two that differ only in case; the index is not unique, so that a database that has such two still opens.
ALTER TABLE tokens ADD COLUMN any_case TEXT GENERATED ALWAYS AS (lower(uid)) VIRTUAL;
CREATE INDEX tokens_in_any_case ON tokens (tenant_id, any_case);
