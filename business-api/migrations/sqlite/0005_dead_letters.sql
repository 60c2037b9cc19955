-- What the dead-letter topics hold, to be listed, shown and redriven. Filled from the log alone; a row goes when the log forgets its
-- record. Tenant 0 = nobody's that is known: only who runs the platform sees it.
CREATE TABLE dead_letters (
    tenant_id BIGINT NOT NULL,
    letter TEXT NOT NULL,
    topic TEXT NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset BIGINT NOT NULL,
    source TEXT NOT NULL,
    origin_topic TEXT NOT NULL,
    origin_partition BIGINT,
    origin_offset BIGINT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    charger TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    record_key BLOB NOT NULL,
    payload BLOB,
    headers TEXT NOT NULL,
    appended_at_ms BIGINT NOT NULL,
    redriven_at_ms BIGINT,
    redriven_by TEXT,
    redriven_times BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, letter)
);
CREATE INDEX dead_letters_newest ON dead_letters (tenant_id, appended_at_ms, log_offset, letter);
