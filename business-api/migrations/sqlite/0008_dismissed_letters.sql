-- Letters that a person has decided to leave alone: when, who, why. They stay where they are.
ALTER TABLE dead_letters ADD COLUMN dismissed_at_ms BIGINT;
ALTER TABLE dead_letters ADD COLUMN dismissed_by TEXT;
ALTER TABLE dead_letters ADD COLUMN dismissed_because TEXT;
