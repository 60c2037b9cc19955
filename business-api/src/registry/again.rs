//! Everything that gateways get a copy of, once more: for a log that lacks it.

use std::collections::HashMap;

use events::{clock::Clock, prost::Message as _, registry::RegistryEntry, topic::Topic};

use super::apply::{charger_key, tariff_key, token_key};
use crate::store::{DbError, TenantId, Tx, outbox::Outgoing};

/// Queues every charger, token and tariff of every tenant for publication. Gateways that have them already change nothing.
pub(crate) async fn publish_again(tx: &mut Tx) -> Result<(), DbError> {
    let mut outgoing = Vec::new();
    for (tenant, _) in tx.tenants().await? {
        tx.enter(tenant).await?;
        tx.lock_registry(tenant).await?;
        of_tenant(tx, tenant, &mut outgoing).await?;
    }
    tx.push_outbox(outgoing, Clock::REAL.now_ms()).await
}

async fn of_tenant(tx: &mut Tx, tenant: TenantId, outgoing: &mut Vec<Outgoing>) -> Result<(), DbError> {
    let mut publish = |key: String, entry: RegistryEntry| {
        let payload = Some(entry.encode_to_vec());
        outgoing.push(Outgoing { topic: Topic::Registry, key: key.into_bytes(), payload, headers: Vec::new() });
    };
    for group in tx.tariffs(tenant).await? {
        publish(tariff_key(tenant, &group.id), group.entry(tenant));
    }
    let stations = tx.stations(tenant, "", i64::MAX).await?;
    let defaults: HashMap<_, _> = stations.into_iter().map(|station| (station.id, station.default_tariff)).collect();
    for charger in tx.registered_chargers(tenant).await? {
        let default = defaults.get(&charger.station).map(String::as_str).unwrap_or_default();
        publish(charger_key(&charger.id), charger.entry(tenant, default));
    }
    for token in tx.tokens(tenant, "", i64::MAX).await? {
        publish(token_key(tenant, &token.uid), token.entry(tenant));
    }
    Ok(())
}
