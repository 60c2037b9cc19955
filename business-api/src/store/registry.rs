//! Tenants, keys, stations, chargers: what the registry file keeps and what the gateways get a copy of.

use events::registry as wire;

use super::{DbError, Row, TenantId, Tx, args};

/// An API key, as its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the key, hex.
    pub hash: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    pub id: String,
    pub name: String,
    pub address: String,
    /// Decimal degrees as text.
    pub latitude: String,
    pub longitude: String,
    pub phone: String,
    /// Id of the tariff group of chargers without one of their own; empty = none.
    pub default_tariff: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charger {
    pub id: String,
    pub station: String,
    pub name: String,
    /// `ykc` or `ocpp1.6`.
    pub protocol: String,
    pub enabled: bool,
    pub connectors: u32,
    pub rated_power_w: u32,
    /// The tariff group bound to it; empty = the station's default.
    pub tariff: String,
    pub secret_salt: Vec<u8>,
    /// SHA-256(salt || password); empty = no password asked.
    pub secret_hash: Vec<u8>,
    pub profile: String,
}

impl Charger {
    /// As gateways get it. `default_tariff` is the station's.
    #[must_use]
    pub fn entry(&self, tenant: TenantId, default_tariff: &str) -> wire::RegistryEntry {
        let tariff = if self.tariff.is_empty() { default_tariff } else { &self.tariff };
        let charger = wire::Charger {
            tenant: tenant.0.unsigned_abs(),
            charger: self.id.clone(),
            station: self.station.clone(),
            protocol: self.protocol.clone(),
            enabled: self.enabled,
            connectors: self.connectors,
            rated_power_w: self.rated_power_w,
            tariff: tariff.to_owned(),
            secret_salt: self.secret_salt.clone().into(),
            secret_hash: self.secret_hash.clone().into(),
            profile: self.profile.clone(),
        };
        wire::RegistryEntry { value: Some(wire::registry_entry::Value::Charger(charger)) }
    }
}

fn station(row: &Row) -> Result<Station, DbError> {
    Ok(Station {
        id: row.text("station")?,
        name: row.text("name")?,
        address: row.text("address")?,
        latitude: row.text("latitude")?,
        longitude: row.text("longitude")?,
        phone: row.text("phone")?,
        default_tariff: row.text("default_tariff")?,
    })
}

fn charger(row: &Row) -> Result<Charger, DbError> {
    Ok(Charger {
        id: row.text("charger")?,
        station: row.text("station")?,
        name: row.text("name")?,
        protocol: row.text("protocol")?,
        enabled: row.flag("enabled")?,
        connectors: row.small("connectors")?,
        rated_power_w: row.small("rated_power_w")?,
        tariff: row.text("tariff")?,
        secret_salt: row.blob("secret_salt")?,
        secret_hash: row.blob("secret_hash")?,
        profile: row.text("profile")?,
    })
}

const CHARGER_COLUMNS: &str = "c.charger, c.station, c.name, c.protocol, c.enabled, c.connectors, c.rated_power_w, \
    COALESCE(b.tariff, '') AS tariff, c.secret_salt, c.secret_hash, c.profile \
    FROM chargers c LEFT JOIN bindings b ON b.tenant_id = c.tenant_id AND b.charger = c.charger";

impl Tx {
    /// Tenant and client name of a key's hash.
    ///
    /// # Errors
    /// What the database says.
    pub async fn client_of_key(&mut self, hash: &str) -> Result<Option<(TenantId, String)>, DbError> {
        let row = self.one("SELECT tenant_id, name FROM api_keys WHERE key_hash = $1", args![hash]).await?;
        row.map(|row| Ok((TenantId(row.int("tenant_id")?), row.text("name")?))).transpose()
    }

    /// Every tenant, for jobs that go over all of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tenants(&mut self) -> Result<Vec<(TenantId, String)>, DbError> {
        let rows = self.all("SELECT tenant_id, name FROM tenants ORDER BY tenant_id", args![]).await?;
        rows.iter().map(|row| Ok((TenantId(row.int("tenant_id")?), row.text("name")?))).collect()
    }

    /// Adds a tenant or changes its name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_tenant(&mut self, tenant: TenantId, name: &str) -> Result<(), DbError> {
        let sql = "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id) DO UPDATE SET name = excluded.name";
        self.execute(sql, args![tenant, name]).await.map(drop)
    }

    /// Keys of a tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keys(&mut self, tenant: TenantId) -> Result<Vec<Key>, DbError> {
        let sql = "SELECT key_hash, name FROM api_keys WHERE tenant_id = $1 ORDER BY key_hash";
        let rows = self.all(sql, args![tenant]).await?;
        rows.iter().map(|row| Ok(Key { hash: row.text("key_hash")?, name: row.text("name")? })).collect()
    }

    /// Adds a key or renames it; a key of another tenant is a unique violation.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_key(&mut self, tenant: TenantId, key: &Key) -> Result<(), DbError> {
        let sql = "UPDATE api_keys SET name = $3 WHERE tenant_id = $1 AND key_hash = $2";
        if self.execute(sql, args![tenant, &key.hash, &key.name]).await? == 0 {
            let sql = "INSERT INTO api_keys (tenant_id, key_hash, name) VALUES ($1, $2, $3)";
            self.execute(sql, args![tenant, &key.hash, &key.name]).await?;
        }
        Ok(())
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove_key(&mut self, tenant: TenantId, hash: &str) -> Result<(), DbError> {
        let sql = "DELETE FROM api_keys WHERE tenant_id = $1 AND key_hash = $2";
        self.execute(sql, args![tenant, hash]).await.map(drop)
    }

    /// Stations after `after` by id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn stations(&mut self, tenant: TenantId, after: &str, limit: i64) -> Result<Vec<Station>, DbError> {
        let sql = "SELECT station, name, address, latitude, longitude, phone, default_tariff FROM stations \
                   WHERE tenant_id = $1 AND station > $2 ORDER BY station LIMIT $3";
        self.all(sql, args![tenant, after, limit]).await?.iter().map(station).collect()
    }

    /// One station.
    ///
    /// # Errors
    /// What the database says.
    pub async fn station(&mut self, tenant: TenantId, id: &str) -> Result<Option<Station>, DbError> {
        let sql = "SELECT station, name, address, latitude, longitude, phone, default_tariff FROM stations \
                   WHERE tenant_id = $1 AND station = $2";
        self.one(sql, args![tenant, id]).await?.as_ref().map(station).transpose()
    }

    /// Adds or replaces a station.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_station(&mut self, tenant: TenantId, station: &Station) -> Result<(), DbError> {
        let sql = "INSERT INTO stations (tenant_id, station, name, address, latitude, longitude, phone, default_tariff) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, station) DO UPDATE SET name = excluded.name, \
                   address = excluded.address, latitude = excluded.latitude, longitude = excluded.longitude, \
                   phone = excluded.phone, default_tariff = excluded.default_tariff";
        let s = station;
        let args = args![tenant, &s.id, &s.name, &s.address, &s.latitude, &s.longitude, &s.phone, &s.default_tariff];
        self.execute(sql, args).await.map(drop)
    }

    /// Every charger, for comparison with a registry file.
    ///
    /// # Errors
    /// What the database says.
    pub async fn registered_chargers(&mut self, tenant: TenantId) -> Result<Vec<Charger>, DbError> {
        let sql = format!("SELECT {CHARGER_COLUMNS} WHERE c.tenant_id = $1 ORDER BY c.charger");
        self.all(&sql, args![tenant]).await?.iter().map(charger).collect()
    }

    /// A charger as the registry knows it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn registered_charger(&mut self, tenant: TenantId, id: &str) -> Result<Option<Charger>, DbError> {
        let sql = format!("SELECT {CHARGER_COLUMNS} WHERE c.tenant_id = $1 AND c.charger = $2");
        self.one(&sql, args![tenant, id]).await?.as_ref().map(charger).transpose()
    }

    /// Chargers of a station that have no tariff of their own.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chargers_without_tariff(&mut self, tenant: TenantId, station: &str) -> Result<Vec<Charger>, DbError> {
        let sql = format!(
            "SELECT {CHARGER_COLUMNS} WHERE c.tenant_id = $1 AND c.station = $2 AND b.tariff IS NULL ORDER BY c.charger"
        );
        self.all(&sql, args![tenant, station]).await?.iter().map(charger).collect()
    }

    /// Adds or replaces a charger, its binding, and rows for its connectors. Another tenant's charger is a unique violation.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_charger(&mut self, tenant: TenantId, charger: &Charger) -> Result<(), DbError> {
        let sql = "INSERT INTO chargers (tenant_id, charger, station, name, protocol, enabled, connectors, rated_power_w, \
                   secret_salt, secret_hash, profile) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                   ON CONFLICT (tenant_id, charger) DO UPDATE SET station = excluded.station, name = excluded.name, \
                   protocol = excluded.protocol, enabled = excluded.enabled, connectors = excluded.connectors, \
                   rated_power_w = excluded.rated_power_w, secret_salt = excluded.secret_salt, \
                   secret_hash = excluded.secret_hash, profile = excluded.profile";
        let c = charger;
        let args = args![
            tenant,
            &c.id,
            &c.station,
            &c.name,
            &c.protocol,
            c.enabled,
            c.connectors,
            c.rated_power_w,
            c.secret_salt.clone(),
            c.secret_hash.clone(),
            &c.profile
        ];
        self.execute(sql, args).await?;
        if c.tariff.is_empty() {
            let sql = "DELETE FROM bindings WHERE tenant_id = $1 AND charger = $2";
            self.execute(sql, args![tenant, &c.id]).await?;
        } else {
            let sql = "INSERT INTO bindings (tenant_id, charger, tariff) VALUES ($1, $2, $3) \
                       ON CONFLICT (tenant_id, charger) DO UPDATE SET tariff = excluded.tariff";
            self.execute(sql, args![tenant, &c.id, &c.tariff]).await?;
        }
        let rows = (1..=c.connectors).map(|n| args![tenant, &c.id, n, 0_i64, "offline", "", "", 0_i64]).collect();
        self.insert_rows(
            "INSERT INTO connectors (tenant_id, charger, connector, epoch, status, error_code, session, updated_at_ms)",
            rows,
            "ON CONFLICT (tenant_id, charger, connector) DO NOTHING",
        )
        .await?;
        let sql = "DELETE FROM connectors WHERE tenant_id = $1 AND charger = $2 AND connector > $3";
        self.execute(sql, args![tenant, &c.id, c.connectors]).await.map(drop)
    }
}
