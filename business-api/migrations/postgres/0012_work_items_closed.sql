-- Work items that are done with: when, by whom, why. They stay where they are. What was opened about an order being held is over when
-- the order no longer is.
ALTER TABLE work_items ADD COLUMN closed_at_ms BIGINT;
ALTER TABLE work_items ADD COLUMN closed_by TEXT;
ALTER TABLE work_items ADD COLUMN closed_because TEXT;
CREATE INDEX work_items_newest ON work_items (tenant_id, created_at_ms, item_id);
CREATE INDEX work_items_open ON work_items (tenant_id, kind) WHERE closed_at_ms IS NULL;
-- What the order knows of its record, to be asked for.
ALTER TABLE orders ADD COLUMN record_status TEXT NOT NULL DEFAULT 'none';
-- The owner of the tables does this for all tenants at once.
ALTER TABLE orders NO FORCE ROW LEVEL SECURITY;
ALTER TABLE work_items NO FORCE ROW LEVEL SECURITY;
UPDATE orders SET record_status = facts::json -> 'order' ->> 'record_status'
    WHERE facts::json -> 'order' ->> 'record_status' <> 'none';
UPDATE work_items SET closed_at_ms = o.updated_at_ms, closed_by = 'evgate', closed_because = 'the order is no longer held'
    FROM orders o WHERE o.tenant_id = work_items.tenant_id AND o.order_no = work_items.order_no
    AND work_items.kind <> 'record_conflict' AND COALESCE(o.exception_code, '') <> work_items.kind;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
ALTER TABLE work_items FORCE ROW LEVEL SECURITY;
