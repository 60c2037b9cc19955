//! Configuration of the business API: one typed struct, whole and valid before a port is bound.

use std::{net::SocketAddr, time::Duration};

use listener::HttpLimits;
use serde::{Deserialize, Serialize};

use crate::{bill::Options, order::Policy};

/// Every key of the `[api]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where orders live: `sqlite:PATH` or `postgres://user:password@host/database`.
    pub database_url: String,
    /// Address of the REST API.
    pub listen: SocketAddr,
    /// Consumer group on the event log.
    pub group: String,
    /// Most events applied in one database transaction, 1..=5000.
    pub batch: usize,
    /// Largest request body taken, bytes.
    pub body_limit_bytes: usize,
    /// A request that takes longer is answered 503, ms.
    pub request_timeout_ms: u64,
    /// Energy of a record may be at most this percentage of rated power x duration; else the order is an `energy_implausible`
    /// exception. 100..=1000.
    pub plausibility_percent: u32,
    /// A command not delivered by then is answered `expired`, ms.
    pub command_ttl_ms: i64,
    /// What a charger is told that the payer may spend when the order names no limit, fen.
    pub default_balance_fen: i64,
    /// Most meter samples kept per order; later ones are not kept. 2..=20000.
    pub samples_per_order: usize,
    /// Most connections of a PostgreSQL pool, 2..=200.
    pub postgres_connections: u32,
    /// What the peers of the REST listener may use.
    pub limits: Limits,
    /// How long orders wait for what.
    pub orders: Policy,
    /// How sessions are rated.
    pub billing: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite:data/evgate.db".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            group: "business-api".to_owned(),
            batch: 500,
            body_limit_bytes: 64 * 1024,
            request_timeout_ms: 10_000,
            plausibility_percent: 110,
            command_ttl_ms: 60_000,
            default_balance_fen: 50_000,
            samples_per_order: 2_000,
            postgres_connections: 8,
            limits: Limits::default(),
            orders: Policy::default(),
            billing: Options::default(),
        }
    }
}

/// `[api.limits]`: connections of the REST listener, with or without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most connections; more are closed at once, 1..=65536.
    pub connections: usize,
    /// From the first byte of a request (of a connection's first: from accept) to the end of its head, ms.
    pub head_ms: u64,
    /// From an answer to the end of the next request's head, ms.
    pub idle_ms: u64,
    /// A peer that takes none of an answer for this long is closed, ms.
    pub write_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_024, head_ms: 10_000, idle_ms: 75_000, write_ms: 20_000 }
    }
}

impl Limits {
    pub(crate) const fn http(&self) -> HttpLimits {
        HttpLimits {
            connections: self.connections,
            head: Duration::from_millis(self.head_ms),
            idle: Duration::from_millis(self.idle_ms),
            write: Duration::from_millis(self.write_ms),
        }
    }
}

/// A key whose value cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    pub key: &'static str,
    pub problem: String,
}

impl Config {
    /// Checks ranges and combinations, so that nothing fails later for a reason known now.
    ///
    /// # Errors
    /// The first key that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |key, problem: &str| Err(ConfigError { key, problem: problem.to_owned() });
        if crate::store::Backend::of(&self.database_url).is_none() {
            return fail("database_url", "must begin with sqlite: or postgres://");
        }
        if self.group.is_empty() {
            return fail("group", "must not be empty");
        }
        if !(1..=5_000).contains(&self.batch) {
            return fail("batch", "must be 1..=5000");
        }
        if !(1_024..=16 * 1024 * 1024).contains(&self.body_limit_bytes) {
            return fail("body_limit_bytes", "must be 1024..=16777216");
        }
        if !(100..=120_000).contains(&self.request_timeout_ms) {
            return fail("request_timeout_ms", "must be 100..=120000");
        }
        if !(1..=65_536).contains(&self.limits.connections) {
            return fail("limits.connections", "must be 1..=65536");
        }
        for (key, ms) in [
            ("limits.head_ms", self.limits.head_ms),
            ("limits.idle_ms", self.limits.idle_ms),
            ("limits.write_ms", self.limits.write_ms),
        ] {
            if !(1..=3_600_000).contains(&ms) {
                return fail(key, "must be 1..=3600000 (an hour)");
            }
        }
        if !(100..=1_000).contains(&self.plausibility_percent) {
            return fail("plausibility_percent", "must be 100..=1000");
        }
        if self.billing.occupancy.is_some() {
            // A bill is made when the record arrives, before anybody knows when the connector will be free.
            return fail("billing.occupancy", "is rated by `evgate bill` only: the service does not charge it yet");
        }
        if let Err((key, problem)) = self.billing.check().and_then(|()| self.orders.check()) {
            return fail(key, problem);
        }
        if !(1_000..=86_400_000).contains(&self.command_ttl_ms) {
            return fail("command_ttl_ms", "must be 1000..=86400000");
        }
        if !(1..=i64::from(u32::MAX)).contains(&self.default_balance_fen) {
            return fail("default_balance_fen", "must be 1..=4294967295");
        }
        if !(2..=20_000).contains(&self.samples_per_order) {
            return fail("samples_per_order", "must be 2..=20000");
        }
        if !(2..=200).contains(&self.postgres_connections) {
            return fail("postgres_connections", "must be 2..=200");
        }
        Ok(())
    }
}
