-- Meter readings of a session whose start is not here yet (it lies in the spool of a gateway that the charger has left): no order is
-- known, or not from which reading it began. They go to the order when its start comes, or away after 48 hours.
CREATE TABLE waiting_samples (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    session TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    energy_e4 BIGINT,
    register_e4 BIGINT,
    kept_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, charger, session, at_ms)
);
CREATE INDEX waiting_samples_by_age ON waiting_samples (tenant_id, kept_at_ms);
