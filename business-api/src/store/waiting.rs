//! Meter readings that wait for the start of their session.

use std::collections::BTreeMap;

use events::units::EnergyE4;

use super::{DbError, Row, TenantId, Tx, args};
use crate::order::Reading;

/// A reading and the charger that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingRow {
    pub charger: String,
    pub reading: Reading,
}

impl Tx {
    /// How many readings of each session of these chargers wait, by charger and session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting_counts(
        &mut self,
        tenant: TenantId,
        chargers: &[String],
    ) -> Result<BTreeMap<(String, String), usize>, DbError> {
        let sql = "SELECT charger, session, COUNT(*) AS readings FROM waiting_samples \
                   WHERE tenant_id = $1 AND charger IN ({in}) GROUP BY charger, session";
        let rows = self.all_in(sql, args![tenant], chargers).await?;
        let count = |row: &Row| {
            let readings = usize::try_from(row.int("readings")?).unwrap_or(usize::MAX);
            Ok(((row.text("charger")?, row.text("session")?), readings))
        };
        rows.iter().map(count).collect()
    }

    /// Readings of a session that wait, by time.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting_of(
        &mut self,
        tenant: TenantId,
        charger: &str,
        session: &str,
    ) -> Result<Vec<Reading>, DbError> {
        let sql = "SELECT at_ms, energy_e4, register_e4 FROM waiting_samples \
                   WHERE tenant_id = $1 AND charger = $2 AND session = $3 ORDER BY at_ms";
        let rows = self.all(sql, args![tenant, charger, session]).await?;
        let read = |row: &Row| {
            Ok(Reading {
                session: session.to_owned(),
                at_ms: row.int("at_ms")?,
                energy: row.opt_int("energy_e4")?.map(EnergyE4),
                register: row.opt_int("register_e4")?.map(EnergyE4),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Keeps readings; a later one of the same instant replaces an earlier one. No two may be of one instant of one session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_waiting(&mut self, tenant: TenantId, rows: &[WaitingRow], now_ms: i64) -> Result<(), DbError> {
        let rows = rows.iter().map(|WaitingRow { charger, reading }| {
            let energy = |value: Option<EnergyE4>| value.map(|energy| energy.0);
            let (energy, register) = (energy(reading.energy), energy(reading.register));
            args![tenant, charger, &reading.session, reading.at_ms, energy, register, now_ms]
        });
        let rows = rows.collect();
        self.insert_rows(
            "INSERT INTO waiting_samples (tenant_id, charger, session, at_ms, energy_e4, register_e4, kept_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, charger, session, at_ms) DO UPDATE SET energy_e4 = excluded.energy_e4, \
             register_e4 = excluded.register_e4",
        )
        .await
        .map(drop)
    }

    /// Takes away what waited of a session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_waiting(&mut self, tenant: TenantId, charger: &str, session: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM waiting_samples WHERE tenant_id = $1 AND charger = $2 AND session = $3";
        self.execute(sql, args![tenant, charger, session]).await.map(drop)
    }

    /// Forgets readings that have waited since before then; answers how many.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget_waiting(&mut self, tenant: TenantId, before_ms: i64) -> Result<u64, DbError> {
        self.execute("DELETE FROM waiting_samples WHERE tenant_id = $1 AND kept_at_ms < $2", args![tenant, before_ms])
            .await
    }
}
