//! Tariff groups with their versions, and what the gateways get a copy of.

use events::registry as wire;

use super::{DbError, Row, TenantId, Tx, args};
use crate::tariff::{BillingModel, TariffVersion};

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

/// A tariff group and when each of its versions was added to it, UTC ms (0 = as old as the group), in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedTariff {
    pub group: TariffGroup,
    pub added_at_ms: Vec<i64>,
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
            groups.push(DatedTariff { group, added_at_ms: Vec::new() });
        }
        let version = serde_json::from_str(&row.text("content")?)
            .map_err(|error| DbError::Unreadable(format!("tariff {id}: {error}")))?;
        if let Some(last) = groups.last_mut() {
            last.group.versions.push(version);
            last.added_at_ms.push(row.int("added_at_ms")?);
        }
    }
    Ok(groups)
}

const TARIFF_COLUMNS: &str = "g.tariff, g.station, g.group_no, g.name, v.content, v.added_at_ms FROM tariff_groups g \
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

    /// Adds or replaces a tariff group and its versions. Those that are new were added at `added_at_ms`, UTC ms; 0 = with the group.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_tariff(&mut self, tenant: TenantId, group: &TariffGroup, added_at_ms: i64) -> Result<(), DbError> {
        let sql = "INSERT INTO tariff_groups (tenant_id, tariff, station, group_no, name) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (tenant_id, tariff) DO UPDATE SET name = excluded.name";
        self.execute(sql, args![tenant, &group.id, &group.station, group.group_no, &group.name]).await?;
        for version in &group.versions {
            let content = serde_json::to_string(version)
                .map_err(|error| DbError::Unreadable(format!("tariff version: {error}")))?;
            let sql = "INSERT INTO tariff_versions (tenant_id, tariff, version, effective_from, effective_to, content, \
                       added_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, tariff, version) DO UPDATE SET \
                       effective_from = excluded.effective_from, effective_to = excluded.effective_to, content = excluded.content";
            let to = version.effective_to.map(|date| i64::from(date.0));
            let from = i64::from(version.effective_from.0);
            let args = args![tenant, &group.id, &version.version, from, to, content, added_at_ms];
            self.execute(sql, args).await?;
        }
        Ok(())
    }
}
