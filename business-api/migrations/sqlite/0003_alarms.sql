-- What chargers and gateways complain about: one row per charger, connector (0 = the whole charger) and code, open until cleared.
CREATE TABLE alarms (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    connector BIGINT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    raised_at_ms BIGINT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    times BIGINT NOT NULL,
    cleared_at_ms BIGINT,
    PRIMARY KEY (tenant_id, charger, connector, code)
);
