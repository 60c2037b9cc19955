//! Tariff groups with their versions, and what the gateways get a copy of.

use std::collections::HashMap;

use events::registry as wire;

use super::{DbError, Row, TenantId, Tx, args};
use crate::tariff::{BillingModel, LocalDate, TariffVersion};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TariffGroup {
    /// `<station>/<group number>`.
    pub id: String,
    pub station: String,
    pub group_no: u32,
    pub name: String,
    /// By first date.
    pub versions: Vec<TariffVersion>,
}

impl TariffGroup {
    /// As gateways get it.
    #[must_use]
    pub fn entry(&self, tenant: TenantId) -> wire::RegistryEntry {
        let versions = self.versions.iter().map(|version| wire::TariffVersion {
            version: version.version.clone(),
            effective_from: version.effective_from.0,
            effective_to: version.effective_to.map(|date| date.0),
            model: Some(BillingModel::of(&version.table).to_registry()),
        });
        let tariff =
            wire::Tariff { tenant: tenant.0.unsigned_abs(), id: self.id.clone(), versions: versions.collect() };
        wire::RegistryEntry { value: Some(wire::registry_entry::Value::Tariff(tariff)) }
    }
}

/// When what of a version was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionDates {
    /// When it was added to the group, UTC ms; 0 = it is as old as the group.
    pub added_at_ms: i64,
    /// Its ends before this one: until when (UTC ms) each stood, oldest first.
    pub former_ends: Vec<(i64, Option<LocalDate>)>,
}

/// A tariff group and the dates of its versions, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedTariff {
    pub group: TariffGroup,
    pub dates: Vec<VersionDates>,
}

/// More moves of one end are not kept: the oldest go.
const FORMER_ENDS: usize = 64;

fn former_ends(row: &Row) -> Result<Vec<(i64, Option<LocalDate>)>, DbError> {
    let ends: Vec<(i64, Option<i32>)> = serde_json::from_str(&row.text("former_ends")?)
        .map_err(|error| DbError::Unreadable(format!("ends of a tariff version: {error}")))?;
    Ok(ends.into_iter().map(|(until_ms, day)| (until_ms, day.map(LocalDate))).collect())
}

/// Folds rows (group columns, `version content`) that come ordered by group into groups.
fn tariffs(rows: &[Row]) -> Result<Vec<DatedTariff>, DbError> {
    let mut groups: Vec<DatedTariff> = Vec::new();
    for row in rows {
        let id = row.text("tariff")?;
        if groups.last().is_none_or(|last| last.group.id != id) {
            let group = TariffGroup {
                id: id.clone(),
                station: row.text("station")?,
                group_no: row.small("group_no")?,
                name: row.text("name")?,
                versions: Vec::new(),
            };
            groups.push(DatedTariff { group, dates: Vec::new() });
        }
        let version = serde_json::from_str(&row.text("content")?)
            .map_err(|error| DbError::Unreadable(format!("tariff {id}: {error}")))?;
        if let Some(last) = groups.last_mut() {
            last.group.versions.push(version);
            last.dates.push(VersionDates { added_at_ms: row.int("added_at_ms")?, former_ends: former_ends(row)? });
        }
    }
    Ok(groups)
}

const TARIFF_COLUMNS: &str = "g.tariff, g.station, g.group_no, g.name, v.content, v.added_at_ms, v.former_ends FROM tariff_groups g \
    JOIN tariff_versions v ON v.tenant_id = g.tenant_id AND v.tariff = g.tariff";

impl Tx {
    /// Every tariff group with its versions.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tariffs(&mut self, tenant: TenantId) -> Result<Vec<TariffGroup>, DbError> {
        let sql =
            format!("SELECT {TARIFF_COLUMNS} WHERE g.tenant_id = $1 ORDER BY g.tariff, v.effective_from, v.version");
        Ok(tariffs(&self.all(&sql, args![tenant]).await?)?.into_iter().map(|dated| dated.group).collect())
    }

    /// Tariff groups after an id, of a station or (empty) of all.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tariffs_after(
        &mut self,
        tenant: TenantId,
        station: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<TariffGroup>, DbError> {
        // Every group has a version.
        let sql = format!(
            "SELECT {TARIFF_COLUMNS} WHERE g.tenant_id = $1 AND g.tariff IN (SELECT tariff FROM tariff_groups \
             WHERE tenant_id = $1 AND tariff > $2 AND ($3 = '' OR station = $3) ORDER BY tariff LIMIT $4) \
             ORDER BY g.tariff, v.effective_from, v.version"
        );
        let rows = self.all(&sql, args![tenant, after, station, limit]).await?;
        Ok(tariffs(&rows)?.into_iter().map(|dated| dated.group).collect())
    }

    /// Tariff groups by id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tariffs_of(&mut self, tenant: TenantId, ids: &[String]) -> Result<Vec<TariffGroup>, DbError> {
        Ok(self.dated_tariffs_of(tenant, ids).await?.into_iter().map(|dated| dated.group).collect())
    }

    /// Tariff groups by id, with what tells which of their versions an order may be rated by.
    ///
    /// # Errors
    /// What the database says.
    pub async fn dated_tariffs_of(&mut self, tenant: TenantId, ids: &[String]) -> Result<Vec<DatedTariff>, DbError> {
        let sql = format!(
            "SELECT {TARIFF_COLUMNS} WHERE g.tenant_id = $1 AND g.tariff IN ({{in}}) ORDER BY g.tariff, v.effective_from, v.version"
        );
        tariffs(&self.all_in(&sql, args![tenant], ids).await?)
    }

    /// Adds or replaces a tariff group and its versions. Those that are new were added, and ends that differ were moved, at `at_ms`,
    /// UTC ms; 0 = with the group.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_tariff(&mut self, tenant: TenantId, group: &TariffGroup, at_ms: i64) -> Result<(), DbError> {
        let sql = "INSERT INTO tariff_groups (tenant_id, tariff, station, group_no, name) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (tenant_id, tariff) DO UPDATE SET name = excluded.name";
        self.execute(sql, args![tenant, &group.id, &group.station, group.group_no, &group.name]).await?;
        let sql = "SELECT version, effective_to, former_ends FROM tariff_versions WHERE tenant_id = $1 AND tariff = $2";
        let mut ends = HashMap::new();
        for row in self.all(sql, args![tenant, &group.id]).await? {
            ends.insert(row.text("version")?, (row.opt_int("effective_to")?, former_ends(&row)?));
        }
        for version in &group.versions {
            let to = version.effective_to.map(|date| i64::from(date.0));
            let mut former = Vec::new();
            if let Some((stored, before)) = ends.remove(&version.version) {
                former = before;
                if stored != to {
                    former.push((at_ms, stored.and_then(|day| i32::try_from(day).ok()).map(LocalDate)));
                    former.drain(..former.len().saturating_sub(FORMER_ENDS));
                }
            }
            let former: Vec<_> = former.into_iter().map(|(until_ms, end)| (until_ms, end.map(|day| day.0))).collect();
            let former = serde_json::json!(former).to_string();
            let content = serde_json::to_string(version)
                .map_err(|error| DbError::Unreadable(format!("tariff version: {error}")))?;
            let sql = "INSERT INTO tariff_versions (tenant_id, tariff, version, effective_from, effective_to, content, \
                       added_at_ms, former_ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, tariff, version) \
                       DO UPDATE SET effective_from = excluded.effective_from, effective_to = excluded.effective_to, \
                       content = excluded.content, former_ends = excluded.former_ends";
            let from = i64::from(version.effective_from.0);
            let args = args![tenant, &group.id, &version.version, from, to, content, at_ms, former];
            self.execute(sql, args).await?;
        }
        Ok(())
    }
}
