//! What chargers and connectors are doing now: registry rows joined with what the last connection said.

use super::{DbError, Row, TenantId, Tx, args};

/// What the connection says about a charger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub online: bool,
    /// Of the connection that said it; a lower one says nothing any more.
    pub epoch: i64,
    pub node: String,
    pub remote_address: String,
    pub vendor: String,
    pub model: String,
    pub firmware: String,
    /// Charger clock - platform clock, ms.
    pub skew_ms: i64,
    /// Content hash of the billing model that it holds, as far as it is known.
    pub tariff_hash: String,
    /// Since when it is online or offline, UTC ms.
    pub changed_at_ms: i64,
    /// Last word, UTC ms.
    pub seen_at_ms: i64,
}

/// A charger with its live state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargerView {
    pub id: String,
    pub station: String,
    pub name: String,
    pub protocol: String,
    pub enabled: bool,
    pub connectors: u32,
    pub rated_power_w: u32,
    /// The tariff group in force: its own or the station's; empty = none.
    pub tariff: String,
    /// Its own tariff group; empty = the station's default holds.
    pub bound_tariff: String,
    /// Vendor quirk profile; empty = standard.
    pub profile: String,
    /// Whether it must show a password.
    pub has_secret: bool,
    /// Meter readings of it wait for the start of their session.
    pub waiting_samples: bool,
    pub live: Live,
}

/// A connector's live state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connector {
    pub charger: String,
    pub connector: u32,
    pub epoch: i64,
    /// offline, available, occupied, charging, suspended, finishing, reserved, unavailable, faulted, unknown.
    pub status: String,
    pub plugged: Option<bool>,
    pub error_code: String,
    /// The session that runs on it; empty = none known.
    pub session: String,
    pub power_w: Option<i64>,
    pub voltage_dv: Option<i64>,
    pub current_da: Option<i64>,
    pub soc_percent: Option<i64>,
    pub energy_e4: Option<i64>,
    pub updated_at_ms: i64,
}

/// Filters of a list of chargers; empty text = any.
#[derive(Clone, Debug, Default)]
pub struct ChargerFilter {
    pub station: String,
    pub protocol: String,
    pub online: Option<bool>,
}

/// Filters of a list of connectors; empty text = any.
#[derive(Clone, Debug, Default)]
pub struct ConnectorFilter {
    pub station: String,
    pub charger: String,
    pub status: String,
}

const CHARGER_VIEW: &str = "SELECT c.charger, c.station, c.name, c.protocol, c.enabled, c.connectors, c.rated_power_w, \
    COALESCE(b.tariff, s.default_tariff) AS tariff, COALESCE(b.tariff, '') AS bound_tariff, c.profile, \
    CASE WHEN LENGTH(c.secret_hash) > 0 THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS has_secret, COALESCE(l.online, 0) AS online, COALESCE(l.epoch, 0) AS epoch, \
    COALESCE(l.node, '') AS node, COALESCE(l.remote_address, '') AS remote_address, COALESCE(l.vendor, '') AS vendor, \
    COALESCE(l.model, '') AS model, COALESCE(l.firmware, '') AS firmware, COALESCE(l.skew_ms, 0) AS skew_ms, \
    COALESCE(l.tariff_hash, '') AS tariff_hash, COALESCE(l.changed_at_ms, 0) AS changed_at_ms, \
    COALESCE(l.seen_at_ms, 0) AS seen_at_ms, \
    CASE WHEN EXISTS (SELECT 1 FROM waiting_samples w WHERE w.tenant_id = c.tenant_id AND w.charger = c.charger) \
    THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS waiting_samples FROM chargers c \
    JOIN stations s ON s.tenant_id = c.tenant_id AND s.station = c.station \
    LEFT JOIN bindings b ON b.tenant_id = c.tenant_id AND b.charger = c.charger \
    LEFT JOIN charger_live l ON l.tenant_id = c.tenant_id AND l.charger = c.charger";

const CONNECTOR_COLUMNS: &str = "k.charger, k.connector, k.epoch, k.status, k.plugged, k.error_code, k.session, k.power_w, \
    k.voltage_dv, k.current_da, k.soc_percent, k.energy_e4, k.updated_at_ms FROM connectors k";

fn view(row: &Row) -> Result<ChargerView, DbError> {
    Ok(ChargerView {
        id: row.text("charger")?,
        station: row.text("station")?,
        name: row.text("name")?,
        protocol: row.text("protocol")?,
        enabled: row.flag("enabled")?,
        connectors: row.small("connectors")?,
        rated_power_w: row.small("rated_power_w")?,
        tariff: row.text("tariff")?,
        bound_tariff: row.text("bound_tariff")?,
        profile: row.text("profile")?,
        has_secret: row.flag("has_secret")?,
        waiting_samples: row.flag("waiting_samples")?,
        live: Live {
            online: row.flag("online")?,
            epoch: row.int("epoch")?,
            node: row.text("node")?,
            remote_address: row.text("remote_address")?,
            vendor: row.text("vendor")?,
            model: row.text("model")?,
            firmware: row.text("firmware")?,
            skew_ms: row.int("skew_ms")?,
            tariff_hash: row.text("tariff_hash")?,
            changed_at_ms: row.int("changed_at_ms")?,
            seen_at_ms: row.int("seen_at_ms")?,
        },
    })
}

fn connector(row: &Row) -> Result<Connector, DbError> {
    Ok(Connector {
        charger: row.text("charger")?,
        connector: row.small("connector")?,
        epoch: row.int("epoch")?,
        status: row.text("status")?,
        plugged: row.opt_int("plugged")?.map(|plugged| plugged != 0),
        error_code: row.text("error_code")?,
        session: row.text("session")?,
        power_w: row.opt_int("power_w")?,
        voltage_dv: row.opt_int("voltage_dv")?,
        current_da: row.opt_int("current_da")?,
        soc_percent: row.opt_int("soc_percent")?,
        energy_e4: row.opt_int("energy_e4")?,
        updated_at_ms: row.int("updated_at_ms")?,
    })
}

impl Tx {
    /// Chargers after `after` by id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chargers(
        &mut self,
        tenant: TenantId,
        filter: &ChargerFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ChargerView>, DbError> {
        let sql = format!(
            "{CHARGER_VIEW} WHERE c.tenant_id = $1 AND c.charger > $2 AND ($3 = '' OR c.station = $3) \
             AND ($4 = '' OR c.protocol = $4) AND ($5 = -1 OR COALESCE(l.online, 0) = $5) ORDER BY c.charger LIMIT $6"
        );
        let online = filter.online.map_or(-1, i64::from);
        let args = args![tenant, after, &filter.station, &filter.protocol, online, limit];
        self.all(&sql, args).await?.iter().map(view).collect()
    }

    /// Chargers by id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chargers_of(&mut self, tenant: TenantId, ids: &[String]) -> Result<Vec<ChargerView>, DbError> {
        let sql = format!("{CHARGER_VIEW} WHERE c.tenant_id = $1 AND c.charger IN ({{in}})");
        self.all_in(&sql, args![tenant], ids).await?.iter().map(view).collect()
    }

    /// Connectors of chargers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn connectors_of(&mut self, tenant: TenantId, chargers: &[String]) -> Result<Vec<Connector>, DbError> {
        let sql = format!(
            "SELECT {CONNECTOR_COLUMNS} WHERE k.tenant_id = $1 AND k.charger IN ({{in}}) ORDER BY k.charger, k.connector"
        );
        self.all_in(&sql, args![tenant], chargers).await?.iter().map(connector).collect()
    }

    /// Connectors after (`charger`, `number`).
    ///
    /// # Errors
    /// What the database says.
    pub async fn connectors(
        &mut self,
        tenant: TenantId,
        filter: &ConnectorFilter,
        (charger, number): (&str, i64),
        limit: i64,
    ) -> Result<Vec<Connector>, DbError> {
        let sql = format!(
            "SELECT {CONNECTOR_COLUMNS} JOIN chargers c ON c.tenant_id = k.tenant_id AND c.charger = k.charger \
             WHERE k.tenant_id = $1 AND (k.charger > $2 OR (k.charger = $2 AND k.connector > $3)) \
             AND ($4 = '' OR c.station = $4) AND ($5 = '' OR k.charger = $5) AND ($6 = '' OR k.status = $6) \
             ORDER BY k.charger, k.connector LIMIT $7"
        );
        let args = args![tenant, charger, number, &filter.station, &filter.charger, &filter.status, limit];
        self.all(&sql, args).await?.iter().map(connector).collect()
    }

    /// Writes live states of chargers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_live(&mut self, tenant: TenantId, chargers: &[(&str, &Live)]) -> Result<(), DbError> {
        let rows = chargers.iter().map(|(charger, live)| {
            args![
                tenant,
                *charger,
                live.online,
                live.epoch,
                &live.node,
                &live.remote_address,
                &live.vendor,
                &live.model,
                &live.firmware,
                live.skew_ms,
                &live.tariff_hash,
                live.changed_at_ms,
                live.seen_at_ms
            ]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO charger_live (tenant_id, charger, online, epoch, node, remote_address, vendor, model, firmware, \
             skew_ms, tariff_hash, changed_at_ms, seen_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, charger) DO UPDATE SET online = excluded.online, epoch = excluded.epoch, \
             node = excluded.node, remote_address = excluded.remote_address, vendor = excluded.vendor, model = excluded.model, \
             firmware = excluded.firmware, skew_ms = excluded.skew_ms, tariff_hash = excluded.tariff_hash, \
             changed_at_ms = excluded.changed_at_ms, seen_at_ms = excluded.seen_at_ms",
        )
        .await
        .map(drop)
    }

    /// Writes live states of connectors.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_connectors(&mut self, tenant: TenantId, connectors: &[&Connector]) -> Result<(), DbError> {
        let rows = connectors.iter().map(|k| {
            args![
                tenant,
                &k.charger,
                k.connector,
                k.epoch,
                &k.status,
                k.plugged,
                &k.error_code,
                &k.session,
                k.power_w,
                k.voltage_dv,
                k.current_da,
                k.soc_percent,
                k.energy_e4,
                k.updated_at_ms
            ]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO connectors (tenant_id, charger, connector, epoch, status, plugged, error_code, session, power_w, \
             voltage_dv, current_da, soc_percent, energy_e4, updated_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, charger, connector) DO UPDATE SET epoch = excluded.epoch, status = excluded.status, \
             plugged = excluded.plugged, error_code = excluded.error_code, session = excluded.session, \
             power_w = excluded.power_w, voltage_dv = excluded.voltage_dv, current_da = excluded.current_da, \
             soc_percent = excluded.soc_percent, energy_e4 = excluded.energy_e4, updated_at_ms = excluded.updated_at_ms",
        )
        .await
        .map(drop)
    }

    /// Keeps everybody else who locks this connector out until the transaction ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_connector(&mut self, tenant: TenantId, charger: &str, connector: u32) -> Result<(), DbError> {
        let sql = "UPDATE connectors SET epoch = epoch WHERE tenant_id = $1 AND charger = $2 AND connector = $3";
        self.execute(sql, args![tenant, charger, connector]).await.map(drop)
    }
}
