-- An order has one work item of a kind, however often it asks for it.
CREATE INDEX work_items_by_order ON work_items (tenant_id, order_no);
