//! Alarms of chargers: one row per charger, connector and code.

use super::{DbError, Row, TenantId, Tx, args};

/// What happens to alarms of a charger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// It is there (again, or still).
    Raised { charger: String, connector: u32, code: String, detail: String, at_ms: i64 },
    /// It is over.
    Cleared { charger: String, connector: u32, code: String, at_ms: i64 },
    /// A new connection says anew what holds.
    AllCleared { charger: String, at_ms: i64 },
}

/// An alarm that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// 0 = the whole charger.
    pub connector: u32,
    pub code: String,
    pub detail: String,
    /// Since when it is open, UTC ms.
    pub raised_at_ms: i64,
    pub last_seen_ms: i64,
    /// How often it was raised, closed times included.
    pub times: i64,
}

fn alarm(row: &Row) -> Result<Alarm, DbError> {
    Ok(Alarm {
        connector: row.small("connector")?,
        code: row.text("code")?,
        detail: row.text("detail")?,
        raised_at_ms: row.int("raised_at_ms")?,
        last_seen_ms: row.int("last_seen_ms")?,
        times: row.int("times")?,
    })
}

impl Tx {
    /// Writes changes in their order. One that is older than what is known changes nothing, and one that is read again counts no
    /// second time. Of several in one millisecond the last decides, however often they are read: it may open again what the one
    /// before it has closed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn change_alarms(&mut self, tenant: TenantId, changes: &[AlarmChange]) -> Result<(), DbError> {
        for change in changes {
            let (sql, args) = match change {
                AlarmChange::Raised { charger, connector, code, detail, at_ms } => (
                    "INSERT INTO alarms (tenant_id, charger, connector, code, detail, raised_at_ms, last_seen_ms, times) \
                     VALUES ($1, $2, $3, $4, $5, $6, $6, 1) ON CONFLICT (tenant_id, charger, connector, code) DO UPDATE SET \
                     detail = excluded.detail, last_seen_ms = excluded.last_seen_ms, cleared_at_ms = NULL, \
                     times = alarms.times + CASE WHEN alarms.last_seen_ms < excluded.last_seen_ms THEN 1 ELSE 0 END, \
                     raised_at_ms = CASE WHEN alarms.cleared_at_ms IS NULL THEN alarms.raised_at_ms ELSE excluded.raised_at_ms END \
                     WHERE (alarms.last_seen_ms < excluded.last_seen_ms AND COALESCE(alarms.cleared_at_ms, 0) <= excluded.last_seen_ms) \
                     OR (alarms.last_seen_ms = excluded.last_seen_ms AND alarms.cleared_at_ms = excluded.last_seen_ms)",
                    args![tenant, charger, *connector, code, detail, *at_ms],
                ),
                AlarmChange::Cleared { charger, connector, code, at_ms } => (
                    "UPDATE alarms SET cleared_at_ms = $5 WHERE tenant_id = $1 AND charger = $2 AND connector = $3 AND code = $4 \
                     AND cleared_at_ms IS NULL AND last_seen_ms <= $5",
                    args![tenant, charger, *connector, code, *at_ms],
                ),
                AlarmChange::AllCleared { charger, at_ms } => (
                    "UPDATE alarms SET cleared_at_ms = $3 WHERE tenant_id = $1 AND charger = $2 AND cleared_at_ms IS NULL \
                     AND last_seen_ms <= $3",
                    args![tenant, charger, *at_ms],
                ),
            };
            self.execute(sql, args).await?;
        }
        Ok(())
    }

    /// Open alarms of a charger, by connector and code.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_alarms(&mut self, tenant: TenantId, charger: &str) -> Result<Vec<Alarm>, DbError> {
        let sql = "SELECT connector, code, detail, raised_at_ms, last_seen_ms, times FROM alarms \
                   WHERE tenant_id = $1 AND charger = $2 AND cleared_at_ms IS NULL ORDER BY connector, code";
        self.all(sql, args![tenant, charger]).await?.iter().map(alarm).collect()
    }
}
