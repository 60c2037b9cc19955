-- When a version was added to a stored group, UTC ms on the platform's clock; 0 = it is as old as its group. An order is rated only by
-- versions that were there when it was made: its prices are locked.
ALTER TABLE tariff_versions ADD COLUMN added_at_ms BIGINT NOT NULL DEFAULT 0;
