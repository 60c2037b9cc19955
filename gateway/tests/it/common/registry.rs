//! The registry of the tests: tenant 1001 with three piles, three stations, a card, a VIN, id tags and one tariff.

use events::{
    prost::Message as _,
    registry::{BillingModel, Charger, RegistryEntry, Tariff, TariffVersion, Token, registry_entry::Value},
    topic::Topic,
};
use sha2::{Digest as _, Sha256};

use super::MemoryLog;

pub const TENANT: u64 = 1001;
pub const PILE: &str = "32010600019236";
pub const PILE_B: &str = "32010600019237";
pub const PILE_OFF: &str = "32010600019238";
pub const STATION: &str = "CP-1";
pub const STATION_B: &str = "CP-2";
pub const STATION_SECRET: &str = "CP-3";
pub const SECRET: &str = "0123456789abcdef";
pub const CARD: &str = "00000000d14b0a54";
pub const CARD_BLOCKED: &str = "00000000d14b0a55";
pub const CARD_POOR: &str = "00000000d14b0a56";
pub const VIN: &str = "LB370ADN2SJ188288";
pub const TAG: &str = "TAG-1";
pub const TAG_BLOCKED: &str = "TAG-2";

pub fn put(log: &MemoryLog, key: &str, value: Value) {
    log.put(Topic::Registry, key, &RegistryEntry { value: Some(value) }.encode_to_vec());
}

pub fn model() -> BillingModel {
    BillingModel {
        model_no: 0x0100,
        energy_price_p5: vec![120_000, 100_000, 70_000, 30_000],
        service_price_p5: vec![40_000; 4],
        half_hours: (0..48_u8).map(|slot| slot / 12).collect::<Vec<_>>().into(),
        exact: true,
        content_hash: "h1".into(),
    }
}

/// The tariff of the tests, whose only version has this model number and prices of its own.
pub fn priced(model_no: u32) -> Value {
    let model = BillingModel {
        model_no,
        energy_price_p5: vec![100_000 + model_no; 4],
        content_hash: format!("h{model_no}"),
        ..model()
    };
    let version = TariffVersion { version: "v2".into(), effective_from: 0, effective_to: None, model: Some(model) };
    Value::Tariff(Tariff { tenant: TENANT, id: "S01/1".into(), versions: vec![version] })
}

/// Where [`priced`] belongs.
pub fn tariff_key() -> String {
    format!("tariff/{TENANT}/S01/1")
}

/// One more pile.
pub fn pile(log: &MemoryLog, id: &str) {
    bind(log, id, "");
}

/// One more pile, with the tariff of the tests.
pub fn bound_pile(log: &MemoryLog, id: &str) {
    bind(log, id, "S01/1");
}

fn bind(log: &MemoryLog, id: &str, tariff: &str) {
    let (charger, protocol, tariff) = (id.to_owned(), "ykc".to_owned(), tariff.to_owned());
    let pile =
        Charger { tenant: TENANT, charger, protocol, tariff, enabled: true, connectors: 2, ..Charger::default() };
    put(log, &format!("charger/{id}"), Value::Charger(pile));
}

pub fn fill(log: &MemoryLog) {
    entries(|key, value| put(log, key, value));
}

/// Every entry of the registry, for a log or straight into a replica.
pub fn entries(mut put: impl FnMut(&str, Value)) {
    let charger = |id: &str, protocol: &str| Charger {
        tenant: TENANT,
        charger: id.into(),
        station: "S01".into(),
        protocol: protocol.into(),
        enabled: true,
        connectors: 2,
        rated_power_w: 120_000,
        tariff: "S01/1".into(),
        ..Charger::default()
    };
    for id in [PILE, PILE_B] {
        put(&format!("charger/{id}"), Value::Charger(charger(id, "ykc")));
    }
    let off = Charger { enabled: false, ..charger(PILE_OFF, "ykc") };
    put(&format!("charger/{PILE_OFF}"), Value::Charger(off));
    for id in [STATION, STATION_B] {
        put(&format!("charger/{id}"), Value::Charger(charger(id, "ocpp1.6")));
    }
    let salt = b"pepper".to_vec();
    let hash = Sha256::new().chain_update(&salt).chain_update(SECRET).finalize().to_vec();
    let secret = Charger { secret_salt: salt.into(), secret_hash: hash.into(), ..charger(STATION_SECRET, "ocpp1.6") };
    put(&format!("charger/{STATION_SECRET}"), Value::Charger(secret));
    let token = |uid: &str, kind: &str, status: &str, balance_fen| Token {
        tenant: TENANT,
        uid: uid.into(),
        kind: kind.into(),
        status: status.into(),
        balance_fen,
        logical_card: "0000001000000573".into(),
        ..Token::default()
    };
    for token in [
        token(CARD, "card", "accepted", 10_000),
        token(CARD_BLOCKED, "card", "blocked", 10_000),
        token(CARD_POOR, "card", "accepted", 0),
        token(VIN, "vin", "accepted", 5_000),
        token(TAG, "id_tag", "accepted", 5_000),
        token(TAG_BLOCKED, "id_tag", "blocked", 5_000),
    ] {
        put(&format!("token/{TENANT}/{}", token.uid), Value::Token(token));
    }
    let version = TariffVersion { version: "v1".into(), effective_from: 0, effective_to: None, model: Some(model()) };
    let tariff = Tariff { tenant: TENANT, id: "S01/1".into(), versions: vec![version] };
    put(&format!("tariff/{TENANT}/S01/1"), Value::Tariff(tariff));
}
