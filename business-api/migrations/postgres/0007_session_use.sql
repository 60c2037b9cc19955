-- The how-manieth session of this charger an order is under this number, from 0: OCPP 1.6 transaction ids are 31 bits and come again
-- by chance (docs/adr/0009). Stored orders were each the only one of theirs.
ALTER TABLE orders ADD COLUMN session_use BIGINT NOT NULL DEFAULT 0;
DROP INDEX orders_by_session;
CREATE UNIQUE INDEX orders_by_session ON orders (tenant_id, session, charger, session_use);
