-- Where a version's end was moved: when, and what it was before, [[ms UTC, day or null], ..]. An order that was running then is not left
-- without a price because an end came nearer afterwards.
ALTER TABLE tariff_versions ADD COLUMN former_ends TEXT NOT NULL DEFAULT '[]';
