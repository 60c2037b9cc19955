//! The figures of a live view, cheap enough to ask for every second.

use std::collections::BTreeMap;

use super::{DbError, Store, TenantId, Tx, args};
use crate::tariff::LocalDate;

/// How a tenant is doing right now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub chargers: i64,
    pub chargers_online: i64,
    pub connectors: i64,
    pub connectors_charging: i64,
    /// Power of connectors that charge, W.
    pub power_w: i64,
    /// Orders ever, by state.
    pub orders: BTreeMap<String, i64>,
    /// Orders settled today (UTC+8).
    pub settled_today: i64,
    /// Energy of orders settled today, 0.0001 kWh.
    pub energy_today_e4: i64,
    /// Money due of orders settled today, fen.
    pub money_today_fen: i64,
    /// Energy of all settled orders, 0.0001 kWh.
    pub energy_e4: i64,
    /// Money due of all settled orders, fen.
    pub money_fen: i64,
    /// Booked to payers' accounts, fen.
    pub booked_fen: i64,
}

impl Store {
    /// The figures of a tenant at an instant of the platform's clock.
    ///
    /// # Errors
    /// What the database says.
    pub async fn summary(&self, tenant: TenantId, now_ms: i64) -> Result<Summary, DbError> {
        self.read(tenant).await?.summary(tenant, LocalDate::of(now_ms).starts_at_ms()).await
    }
}

impl Tx {
    /// The figures; `day_start_ms` is the beginning of the local day.
    ///
    /// # Errors
    /// What the database says.
    pub async fn summary(&mut self, tenant: TenantId, day_start_ms: i64) -> Result<Summary, DbError> {
        let mut summary = Summary::default();
        let sql = "SELECT COUNT(*) AS chargers, CAST(COALESCE(SUM(l.online), 0) AS BIGINT) AS online FROM chargers c \
                   LEFT JOIN charger_live l ON l.tenant_id = c.tenant_id AND l.charger = c.charger WHERE c.tenant_id = $1";
        if let Some(row) = self.one(sql, args![tenant]).await? {
            (summary.chargers, summary.chargers_online) = (row.int("chargers")?, row.int("online")?);
        }
        let sql = "SELECT COUNT(*) AS connectors, \
                   CAST(COALESCE(SUM(CASE WHEN status = 'charging' THEN 1 ELSE 0 END), 0) AS BIGINT) AS charging, \
                   CAST(COALESCE(SUM(CASE WHEN status = 'charging' THEN power_w ELSE 0 END), 0) AS BIGINT) AS power \
                   FROM connectors WHERE tenant_id = $1";
        if let Some(row) = self.one(sql, args![tenant]).await? {
            summary.connectors = row.int("connectors")?;
            (summary.connectors_charging, summary.power_w) = (row.int("charging")?, row.int("power")?);
        }
        let sql = "SELECT state, COUNT(*) AS orders, CAST(COALESCE(SUM(energy_e4), 0) AS BIGINT) AS energy, \
                   CAST(COALESCE(SUM(total_fen), 0) AS BIGINT) AS money FROM orders WHERE tenant_id = $1 GROUP BY state";
        for row in self.all(sql, args![tenant]).await? {
            summary.orders.insert(row.text("state")?, row.int("orders")?);
            summary.energy_e4 += row.int("energy")?;
            summary.money_fen += row.int("money")?;
        }
        let sql = "SELECT COUNT(*) AS orders, CAST(COALESCE(SUM(energy_e4), 0) AS BIGINT) AS energy, \
                   CAST(COALESCE(SUM(total_fen), 0) AS BIGINT) AS money FROM orders WHERE tenant_id = $1 AND settled_at_ms >= $2";
        if let Some(row) = self.one(sql, args![tenant, day_start_ms]).await? {
            summary.settled_today = row.int("orders")?;
            (summary.energy_today_e4, summary.money_today_fen) = (row.int("energy")?, row.int("money")?);
        }
        let sql = "SELECT CAST(COALESCE(SUM(amount_fen), 0) AS BIGINT) AS booked FROM ledger WHERE tenant_id = $1";
        if let Some(row) = self.one(sql, args![tenant]).await? {
            summary.booked_fen = row.int("booked")?;
        }
        Ok(summary)
    }
}
