-- Portable types only: BIGINT for integers, times (ms UTC) and money (fen); TEXT for ids and JSON; BYTEA for bytes.
-- Unique keys carry the tenant, so that one tenant can never collide with (or learn of) another's ids.

CREATE TABLE tenants (
    tenant_id BIGINT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL
);

-- Only the SHA-256 of a key is kept.
CREATE TABLE api_keys (
    key_hash TEXT PRIMARY KEY NOT NULL,
    tenant_id BIGINT NOT NULL REFERENCES tenants (tenant_id),
    name TEXT NOT NULL
);

CREATE TABLE stations (
    tenant_id BIGINT NOT NULL REFERENCES tenants (tenant_id),
    station TEXT NOT NULL,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    latitude TEXT NOT NULL,
    longitude TEXT NOT NULL,
    phone TEXT NOT NULL,
    default_tariff TEXT NOT NULL,
    PRIMARY KEY (tenant_id, station)
);

CREATE TABLE chargers (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    station TEXT NOT NULL,
    name TEXT NOT NULL,
    protocol TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    connectors BIGINT NOT NULL,
    rated_power_w BIGINT NOT NULL,
    secret_salt BYTEA NOT NULL,
    secret_hash BYTEA NOT NULL,
    profile TEXT NOT NULL,
    PRIMARY KEY (tenant_id, charger),
    FOREIGN KEY (tenant_id, station) REFERENCES stations (tenant_id, station)
);
-- A charger says only its own id at login: ids are unique across tenants.
CREATE UNIQUE INDEX chargers_by_id ON chargers (charger);

-- What the connection says about the charger; an older epoch may not overwrite a newer one.
CREATE TABLE charger_live (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    online BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    node TEXT NOT NULL,
    remote_address TEXT NOT NULL,
    vendor TEXT NOT NULL,
    model TEXT NOT NULL,
    firmware TEXT NOT NULL,
    skew_ms BIGINT NOT NULL,
    tariff_hash TEXT NOT NULL,
    changed_at_ms BIGINT NOT NULL,
    seen_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, charger)
);

CREATE TABLE connectors (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    connector BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    status TEXT NOT NULL,
    plugged BIGINT,
    error_code TEXT NOT NULL,
    session TEXT NOT NULL,
    power_w BIGINT,
    voltage_dv BIGINT,
    current_da BIGINT,
    soc_percent BIGINT,
    energy_e4 BIGINT,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, charger, connector)
);

CREATE TABLE tokens (
    tenant_id BIGINT NOT NULL REFERENCES tenants (tenant_id),
    uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    balance_fen BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    logical_card TEXT NOT NULL,
    parent TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (tenant_id, uid)
);

CREATE TABLE tariff_groups (
    tenant_id BIGINT NOT NULL,
    tariff TEXT NOT NULL,
    station TEXT NOT NULL,
    group_no BIGINT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (tenant_id, tariff),
    FOREIGN KEY (tenant_id, station) REFERENCES stations (tenant_id, station)
);

CREATE TABLE tariff_versions (
    tenant_id BIGINT NOT NULL,
    tariff TEXT NOT NULL,
    version TEXT NOT NULL,
    effective_from BIGINT NOT NULL,
    effective_to BIGINT,
    content TEXT NOT NULL,
    PRIMARY KEY (tenant_id, tariff, version),
    FOREIGN KEY (tenant_id, tariff) REFERENCES tariff_groups (tenant_id, tariff)
);

CREATE TABLE bindings (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    tariff TEXT NOT NULL,
    PRIMARY KEY (tenant_id, charger),
    FOREIGN KEY (tenant_id, charger) REFERENCES chargers (tenant_id, charger),
    FOREIGN KEY (tenant_id, tariff) REFERENCES tariff_groups (tenant_id, tariff)
);

-- Columns are what queries ask for; `facts` is the order as the state machine knows it (JSON). `version` is the optimistic lock.
CREATE TABLE orders (
    tenant_id BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    exception_code TEXT,
    station TEXT NOT NULL,
    charger TEXT NOT NULL,
    connector BIGINT NOT NULL,
    session TEXT,
    id_tag TEXT,
    start_mode TEXT NOT NULL,
    account TEXT,
    tariff TEXT NOT NULL,
    open BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    started_at_ms BIGINT,
    ended_at_ms BIGINT,
    settled_at_ms BIGINT,
    energy_e4 BIGINT,
    total_fen BIGINT,
    due_at_ms BIGINT,
    facts TEXT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, order_no)
);
-- Session first: a batch of events asks for many sessions of many chargers at once.
CREATE UNIQUE INDEX orders_by_session ON orders (tenant_id, session, charger);
CREATE INDEX orders_by_id_tag ON orders (tenant_id, id_tag);
CREATE INDEX orders_unpaid ON orders (tenant_id, account) WHERE state = 'UNPAID';
CREATE INDEX orders_by_time ON orders (tenant_id, created_at_ms, order_no);
CREATE INDEX orders_open ON orders (tenant_id, charger) WHERE open = 1;
CREATE INDEX orders_due ON orders (tenant_id, due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX orders_settled ON orders (tenant_id, settled_at_ms) WHERE settled_at_ms IS NOT NULL;

CREATE TABLE order_timeline (
    tenant_id BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    transition TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (tenant_id, order_no, seq)
);

CREATE TABLE order_samples (
    tenant_id BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    energy_e4 BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, order_no, at_ms)
);

-- Every version of every record that a charger ever sent; never updated.
CREATE TABLE records (
    tenant_id BIGINT NOT NULL,
    charger TEXT NOT NULL,
    session TEXT NOT NULL,
    digest TEXT NOT NULL,
    version BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    received_at_ms BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, charger, session, digest)
);
CREATE INDEX records_by_order ON records (tenant_id, order_no);

CREATE TABLE bills (
    tenant_id BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    total_fen BIGINT NOT NULL,
    energy_e4 BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, order_no)
);

-- Amounts booked to a payer's account: at most one row per order.
CREATE TABLE ledger (
    tenant_id BIGINT NOT NULL,
    order_no TEXT NOT NULL,
    account TEXT NOT NULL,
    amount_fen BIGINT NOT NULL,
    currency TEXT NOT NULL,
    booked_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, order_no)
);
CREATE INDEX ledger_by_account ON ledger (tenant_id, account);

CREATE TABLE commands (
    tenant_id BIGINT NOT NULL,
    command_id TEXT NOT NULL,
    charger TEXT NOT NULL,
    connector BIGINT NOT NULL,
    kind TEXT NOT NULL,
    order_no TEXT,
    state TEXT NOT NULL,
    code TEXT NOT NULL,
    arguments TEXT NOT NULL,
    issued_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    answered_at_ms BIGINT,
    PRIMARY KEY (tenant_id, command_id)
);
CREATE INDEX commands_by_charger ON commands (tenant_id, charger, issued_at_ms);

CREATE TABLE work_items (
    tenant_id BIGINT NOT NULL,
    item_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    order_no TEXT,
    charger TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, item_id)
);

CREATE TABLE idempotency_keys (
    tenant_id BIGINT NOT NULL,
    client TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    status BIGINT NOT NULL,
    location TEXT,
    body TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, client, method, path, idempotency_key)
);
CREATE INDEX idempotency_by_age ON idempotency_keys (created_at_ms);

-- Leaves for the log in id order and is deleted after the log's confirmation.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT NOT NULL,
    record_key BYTEA NOT NULL,
    payload BYTEA,
    headers TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);

-- The truth about what was consumed: moved by compare-and-set in the transaction of the effects.
CREATE TABLE positions (
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    log_partition BIGINT NOT NULL,
    log_offset BIGINT NOT NULL,
    PRIMARY KEY (consumer_group, topic, log_partition)
);

-- Who publishes the outbox: one process at a time.
CREATE TABLE leases (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);

-- The second line of defence: without `app.tenant_id` in its transaction a statement fails, with it no other tenant's row exists.
-- `tenants`, `api_keys`, `outbox`, `positions` and `leases` belong to the platform and are read before a tenant is known.
ALTER TABLE stations ENABLE ROW LEVEL SECURITY;
ALTER TABLE stations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON stations USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE chargers ENABLE ROW LEVEL SECURITY;
ALTER TABLE chargers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chargers USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE charger_live ENABLE ROW LEVEL SECURITY;
ALTER TABLE charger_live FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON charger_live USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE connectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE connectors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON connectors USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tokens USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE tariff_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE tariff_groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tariff_groups USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE tariff_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE tariff_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tariff_versions USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE bindings ENABLE ROW LEVEL SECURITY;
ALTER TABLE bindings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON bindings USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON orders USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE order_timeline ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_timeline FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON order_timeline USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE order_samples ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_samples FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON order_samples USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE records ENABLE ROW LEVEL SECURITY;
ALTER TABLE records FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON records USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE bills ENABLE ROW LEVEL SECURITY;
ALTER TABLE bills FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON bills USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ledger USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE commands ENABLE ROW LEVEL SECURITY;
ALTER TABLE commands FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON commands USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE work_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE work_items FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON work_items USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys USING (tenant_id = current_setting('app.tenant_id')::bigint) WITH CHECK (tenant_id = current_setting('app.tenant_id')::bigint);
