//! Takes entries out of the registry, and what must be known and held still before.

use super::{DbError, TenantId, Tx, args};

impl Tx {
    /// Waits until nobody else changes this tenant's registry: what leaves for the log is then in the order of the changes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_registry(&mut self, tenant: TenantId) -> Result<(), DbError> {
        self.execute("UPDATE tenants SET name = name WHERE tenant_id = $1", args![tenant]).await.map(drop)
    }

    /// Waits until nobody else starts something on a connector of this charger.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lock_connectors(&mut self, tenant: TenantId, charger: &str) -> Result<(), DbError> {
        let sql = "UPDATE connectors SET epoch = epoch WHERE tenant_id = $1 AND charger = $2";
        self.execute(sql, args![tenant, charger]).await.map(drop)
    }

    /// Whether a station has chargers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn has_chargers(&mut self, tenant: TenantId, station: &str) -> Result<bool, DbError> {
        let sql = "SELECT charger FROM chargers WHERE tenant_id = $1 AND station = $2 LIMIT 1";
        Ok(self.one(sql, args![tenant, station]).await?.is_some())
    }

    /// Whether a station has tariff groups.
    ///
    /// # Errors
    /// What the database says.
    pub async fn has_tariffs(&mut self, tenant: TenantId, station: &str) -> Result<bool, DbError> {
        let sql = "SELECT tariff FROM tariff_groups WHERE tenant_id = $1 AND station = $2 LIMIT 1";
        Ok(self.one(sql, args![tenant, station]).await?.is_some())
    }

    /// Forgets a station; it must have neither chargers nor tariffs.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_station(&mut self, tenant: TenantId, id: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM stations WHERE tenant_id = $1 AND station = $2";
        self.execute(sql, args![tenant, id]).await.map(drop)
    }

    /// Forgets a charger with its binding, its connectors, its live state, its alarms and readings that wait for their start. Orders, bills and records stay.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_charger(&mut self, tenant: TenantId, id: &str) -> Result<(), DbError> {
        for sql in [
            "DELETE FROM alarms WHERE tenant_id = $1 AND charger = $2",
            "DELETE FROM waiting_samples WHERE tenant_id = $1 AND charger = $2",
            "DELETE FROM bindings WHERE tenant_id = $1 AND charger = $2",
            "DELETE FROM connectors WHERE tenant_id = $1 AND charger = $2",
            "DELETE FROM charger_live WHERE tenant_id = $1 AND charger = $2",
            "DELETE FROM chargers WHERE tenant_id = $1 AND charger = $2",
        ] {
            self.execute(sql, args![tenant, id]).await?;
        }
        Ok(())
    }

    /// Forgets a token; false when there was none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_token(&mut self, tenant: TenantId, uid: &str) -> Result<bool, DbError> {
        let sql = "DELETE FROM tokens WHERE tenant_id = $1 AND uid = $2";
        Ok(self.execute(sql, args![tenant, uid]).await? > 0)
    }

    /// Whether anything would miss a tariff group: a charger bound to it, a station whose default it is, an order made under it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tariff_in_use(&mut self, tenant: TenantId, tariff: &str) -> Result<bool, DbError> {
        for sql in [
            "SELECT tariff FROM bindings WHERE tenant_id = $1 AND tariff = $2 LIMIT 1",
            "SELECT station FROM stations WHERE tenant_id = $1 AND default_tariff = $2 LIMIT 1",
            "SELECT order_no FROM orders WHERE tenant_id = $1 AND tariff = $2 LIMIT 1",
        ] {
            if self.one(sql, args![tenant, tariff]).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets a tariff group and its versions; nothing may refer to it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_tariff(&mut self, tenant: TenantId, tariff: &str) -> Result<(), DbError> {
        for sql in [
            "DELETE FROM tariff_versions WHERE tenant_id = $1 AND tariff = $2",
            "DELETE FROM tariff_groups WHERE tenant_id = $1 AND tariff = $2",
        ] {
            self.execute(sql, args![tenant, tariff]).await?;
        }
        Ok(())
    }
}
