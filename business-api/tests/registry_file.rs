//! The registry file: checked whole, compared, applied once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::path::PathBuf;

use business_api::{
    Store, TenantId,
    registry::{self, ApplyError, ChangeKind, Report},
};
use events::{
    prost::Message as _,
    registry::{RegistryEntry, registry_entry::Value},
};
use support::{On, TestDb, database, example};

on_both! {
    the_example_is_applied_once
    a_dry_run_says_the_same_and_changes_nothing
    a_change_publishes_only_what_it_touches
    another_default_reaches_chargers_that_the_file_does_not_know
    passwords_are_salted_and_stable
    a_charger_of_another_tenant_is_refused
    keys_are_revoked_by_deleting_their_line
    prices_of_a_stored_version_never_change
    a_version_that_is_added_begins_tomorrow
    a_version_that_the_file_does_not_know_stays
}

struct Rig {
    db: TestDb,
    store: Store,
}

impl Rig {
    async fn new(on: On) -> Self {
        let db = database(on).await;
        let store = Store::open(&db.url).await.unwrap();
        Self { db, store }
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.db.folder.path().join("registry.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn apply(&self, text: &str) -> Report {
        registry::apply(&self.store, &self.file(text), false, NOW).await.unwrap()
    }

    async fn problems(&self, text: &str) -> Vec<String> {
        match registry::apply(&self.store, &self.file(text), false, NOW).await {
            Err(ApplyError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn entries(&self) -> Vec<(String, RegistryEntry)> {
        let waiting = self.store.read_platform().await.unwrap().outbox(&[], 10_000).await.unwrap();
        let entry = |it: business_api::store::outbox::Stored| {
            let payload = it.outgoing.payload.unwrap();
            (String::from_utf8(it.outgoing.key).unwrap(), RegistryEntry::decode(payload.as_slice()).unwrap())
        };
        waiting.into_iter().map(entry).collect()
    }
}

/// 2026-03-10T12:10:00+08:00.
const NOW: i64 = support::T0;

const SMALL: &str = r#"
[[tenants]]
id = 7
name = "seven"
keys = [{ name = "first", key = "key-of-tenant-7" }]

[[stations]]
tenant = 7
id = "A"
name = "Station A"
default_tariff = "A/1"

[[tariffs]]
tenant = 7
id = "A/1"
[[tariffs.versions]]
version = "one"
effective_from = "2025-01-01"
periods = [{ from = "00:00", to = "24:00", type = "flat", elec = "0.60000", service = "0.40000" }]

[[chargers]]
tenant = 7
id = "CP-7"
station = "A"
protocol = "ocpp1.6"
connectors = 2
rated_power_kw = "22"
password = "a secret of CP-7"
"#;

async fn the_example_is_applied_once(on: On) {
    let rig = Rig::new(on).await;
    let first = registry::apply(&rig.store, &example(), false, NOW).await.unwrap();
    assert!(first.applied && first.changes.iter().all(|change| change.kind == ChangeKind::Add), "{first:?}");
    let entries = rig.entries().await;
    let count = |kind: &str| entries.iter().filter(|(key, _)| key.starts_with(kind)).count();
    assert_eq!((count("charger/"), count("tariff/1001/"), count("tariff/1002/")), (43, 6, 1));
    let (_, entry) = entries.iter().find(|(key, _)| key == "charger/10010001000010").unwrap();
    assert!(matches!(&entry.value, Some(Value::Charger(it)) if it.tariff == "S01/3" && it.tenant == 1001), "{entry:?}");
    let (_, entry) = entries.iter().find(|(key, _)| key == "tariff/1001/S01/3").unwrap();
    let Some(Value::Tariff(tariff)) = &entry.value else { panic!("{entry:?}") };
    let model = tariff.versions[0].model.as_ref().unwrap();
    assert_eq!((model.half_hours.len(), model.energy_price_p5.len(), model.exact), (48, 4, false));

    let again = registry::apply(&rig.store, &example(), false, NOW).await.unwrap();
    assert_eq!((again.changes.len(), again.applied, again.unchanged), (0, false, first.changes.len()));
    assert_eq!(rig.entries().await.len(), entries.len());
}

async fn a_dry_run_says_the_same_and_changes_nothing(on: On) {
    let rig = Rig::new(on).await;
    let said = registry::apply(&rig.store, &example(), true, NOW).await.unwrap();
    assert!(!said.applied && !said.changes.is_empty());
    assert!(rig.entries().await.is_empty());
    assert!(rig.store.read_platform().await.unwrap().tenants().await.unwrap().is_empty());
    assert_eq!(registry::apply(&rig.store, &example(), false, NOW).await.unwrap().changes, said.changes);
}

async fn a_change_publishes_only_what_it_touches(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    let before = rig.entries().await.len();
    let other = SMALL.replace("rated_power_kw = \"22\"", "rated_power_kw = \"11.5\"");
    let report = rig.apply(&other).await;
    assert_eq!(report.changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["~ charger CP-7"]);
    let entries = rig.entries().await;
    assert_eq!(entries.len(), before + 1);
    assert!(matches!(&entries[before].1.value, Some(Value::Charger(it)) if it.rated_power_w == 11_500));
    // Another default of the station is another tariff for its chargers without one of their own.
    let two = other.replace("default_tariff = \"A/1\"", "default_tariff = \"A/2\"")
        + &SMALL[SMALL.find("[[tariffs]]").unwrap()..SMALL.find("[[chargers]]").unwrap()].replace("A/1", "A/2");
    let report = rig.apply(&two).await;
    let said: Vec<String> = report.changes.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["~ station 7 A", "+ tariff 7 A/2", "~ charger CP-7"]);
    assert!(matches!(&rig.entries().await.last().unwrap().1.value, Some(Value::Charger(it)) if it.tariff == "A/2"));
}

/// A charger that came over REST gets its station's new default too.
async fn another_default_reaches_chargers_that_the_file_does_not_know(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    let mut tx = rig.store.write(TenantId(7)).await.unwrap();
    let mut other = tx.registered_charger(TenantId(7), "CP-7").await.unwrap().unwrap();
    other.id = "CP-8".to_owned();
    tx.put_charger(TenantId(7), &other).await.unwrap();
    tx.commit().await.unwrap();
    let two = SMALL.replace("default_tariff = \"A/1\"", "default_tariff = \"A/2\"")
        + &SMALL[SMALL.find("[[tariffs]]").unwrap()..SMALL.find("[[chargers]]").unwrap()].replace("A/1", "A/2");
    let said: Vec<String> = rig.apply(&two).await.changes.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["~ station 7 A", "+ tariff 7 A/2", "~ charger CP-7", "~ charger CP-8"]);
    let (key, entry) = rig.entries().await.pop().unwrap();
    assert_eq!(key, "charger/CP-8");
    assert!(matches!(&entry.value, Some(Value::Charger(it)) if it.tariff == "A/2"), "{entry:?}");
}

async fn passwords_are_salted_and_stable(on: On) {
    use sha2::{Digest as _, Sha256};
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    assert!(rig.apply(SMALL).await.changes.is_empty());
    let secret = |entries: &[(String, RegistryEntry)]| match &entries.last().unwrap().1.value {
        Some(Value::Charger(it)) => (it.secret_salt.clone(), it.secret_hash.clone()),
        other => panic!("{other:?}"),
    };
    let (salt, hash) = secret(&rig.entries().await);
    let wanted = Sha256::new().chain_update(&salt).chain_update(b"a secret of CP-7").finalize();
    assert_eq!((salt.len(), hash.as_ref()), (16, &wanted[..]));
    let report = rig.apply(&SMALL.replace("a secret of CP-7", "another one")).await;
    assert_eq!(report.changes.len(), 1);
    assert_ne!(secret(&rig.entries().await).0, salt, "a new password has a new salt");
}

async fn a_charger_of_another_tenant_is_refused(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    let thief = SMALL.replace("= 7", "= 8").replace("key-of-tenant-7", "key-of-tenant-8");
    let problems = rig.problems(&thief).await;
    assert!(problems[0].contains("belongs to another tenant"), "{problems:?}");
    assert_eq!(rig.store.read_platform().await.unwrap().tenants().await.unwrap().len(), 1, "nothing of it was applied");
    let thief = thief.replace("key-of-tenant-8", "key-of-tenant-7").replace("CP-7", "CP-8");
    assert!(rig.problems(&thief).await[0].contains("key first belongs to another tenant"));
}

async fn keys_are_revoked_by_deleting_their_line(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    let hash = "5e0d5a3d2f4d1c8f0a9b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f";
    let report = rig.apply(&SMALL.replace("key = \"key-of-tenant-7\"", &format!("sha256 = \"{hash}\""))).await;
    let said: Vec<String> = report.changes.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["+ key 7 first", "- key 7 first"]);
    let keys = rig.store.read_platform().await.unwrap().keys(TenantId(7)).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.hash.as_str()).collect::<Vec<_>>(), [hash]);
}

async fn prices_of_a_stored_version_never_change(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    let problems = rig.problems(&SMALL.replace("0.60000", "0.70000")).await;
    assert!(problems[0].contains("version one is stored with other prices"), "{problems:?}");
    let ends = |on: &str| {
        let from = "effective_from = \"2025-01-01\"";
        SMALL.replace(from, &format!("{from}\neffective_to = \"{on}\""))
    };
    let problems = rig.problems(&ends("2026-03-10")).await;
    assert!(
        problems[0].contains("versions[one].effective_to: version one is stored: it may end tomorrow"),
        "{problems:?}"
    );
    assert_eq!(rig.apply(&ends("2026-03-11")).await.changes.len(), 1);
}

/// A file that priced a day anew would price the sessions of that day anew, and the bills that are not made yet.
async fn a_version_that_is_added_begins_tomorrow(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(SMALL).await;
    for from in ["2025-06-01", "2026-03-10"] {
        let problems = rig.problems(&with_two(from)).await;
        assert!(
            problems[0].contains("versions[two].effective_from: version two is added to a stored tariff"),
            "{problems:?}"
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    let same_day = SMALL.replace("version = \"one\"", "version = \"two\"");
    assert!(rig.problems(&same_day).await.iter().any(|it| it.contains("both begin on 2025-01-01")));
    assert_eq!(versions(&rig).await, ["one"]);
    assert_eq!(rig.apply(&with_two("2026-03-11")).await.changes.len(), 1);
    assert!(rig.apply(&with_two("2026-03-11")).await.changes.is_empty());
}

async fn a_version_that_the_file_does_not_know_stays(on: On) {
    let rig = Rig::new(on).await;
    rig.apply(&with_two("2026-05-01")).await;
    let published = rig.entries().await.len();
    assert!(rig.apply(SMALL).await.changes.is_empty(), "the file is what it was before the version came");
    assert_eq!(
        (versions(&rig).await, rig.entries().await.len()),
        (vec!["one".to_owned(), "two".to_owned()], published)
    );
    // A change of the group is published with every version that is stored.
    let named = SMALL.replace("id = \"A/1\"\n", "id = \"A/1\"\nname = \"new\"\n");
    assert_eq!(rig.apply(&named).await.changes.len(), 1);
    let (_, entry) = rig.entries().await.pop().unwrap();
    assert!(matches!(&entry.value, Some(Value::Tariff(it)) if it.versions.len() == 2), "{entry:?}");
}

/// `SMALL` with a second version of its tariff.
fn with_two(from: &str) -> String {
    let versions = &SMALL[SMALL.find("[[tariffs.versions]]").unwrap()..SMALL.find("[[chargers]]").unwrap()];
    let two = versions.replace("\"one\"", "\"two\"").replace("2025-01-01", from).replace("0.60000", "5.00000");
    SMALL.replace(versions, &format!("{versions}{two}"))
}

async fn versions(rig: &Rig) -> Vec<String> {
    let groups = rig.store.read(TenantId(7)).await.unwrap().tariffs(TenantId(7)).await.unwrap();
    groups.into_iter().flat_map(|group| group.versions).map(|version| version.version).collect()
}

/// Everything wrong is said at once, each with its line and key.
#[tokio::test]
async fn all_problems_are_reported_with_line_and_key() {
    let rig = Rig::new(On::Sqlite).await;
    std::fs::write(
        rig.db.folder.path().join("chargers.csv"),
        "id,station,protocol,connectors,rated_power_kw\nCP-1,A,ocpp1.6,2,22\nCP-2,A,ocpp1.6,many,22\nCP-3,A,ocpp9,1,22\n",
    )
    .unwrap();
    let text = r#"[[tenants]]
id = 7
name = "seven"
keys = [{ name = "k", key = "short" }]

[[stations]]
tenant = 7
id = "A"
name = "A"
default_tariff = "A/9"

[[stations]]
tenant = 9
id = "B"
name = "B"

[[tariffs]]
tenant = 7
id = "A/1"
versions = [{ version = "v", effective_from = "2025-01-01", periods = [{ from = "00:00", to = "23:45", type = "flat", elec = "1", service = "1" }] }]

[[tariffs]]
tenant = 7
id = "A/17"
versions = []

[[chargers]]
tenant = 7
id = "1001000100000"
station = "Z"
protocol = "ykc"
connectors = 0
rated_power_kw = "1e3"

[[chargers]]
tenant = 7
id = "CP-4"
station = "A"
protocol = "ocpp1.6"
rated_power_kw = "22"
colour = "red"

[[charger_files]]
tenant = 7
path = "chargers.csv"

[[bindings]]
tenant = 7
charger = "nobody"
tariff = "A/1"

[[tokens]]
tenant = 7
uid = "12"
kind = "card"
balance_fen = -1
expires_at = "tomorrow"
"#;
    let problems = rig.problems(text).await;
    let has = |line: usize, key: &str| {
        let start = format!("line {line}: {key}: ");
        assert!(problems.iter().any(|problem| problem.starts_with(&start)), "no {start} in {problems:#?}");
    };
    for (line, key) in [
        (1, "tenants[0].keys[0]"),
        (6, "stations[0].default_tariff"),
        (12, "stations[1].tenant"),
        (17, "tariffs[0]"),
        (22, "tariffs[1].id"),
        (27, "chargers[0].id"),
        (27, "chargers[0].station"),
        (27, "chargers[0].connectors"),
        (27, "chargers[0].rated_power_kw"),
        (35, "chargers[1]"),
        (3, "chargers.csv"),
        (4, "chargers.csv:CP-3.protocol"),
        (47, "bindings[0].charger"),
        (52, "tokens[0].uid"),
        (52, "tokens[0].balance_fen"),
        (52, "tokens[0].expires_at"),
    ] {
        has(line, key);
    }
    assert_eq!(problems.len(), 16, "{problems:#?}");
    assert!(rig.problems("[[tenants]\nid = 1").await[0].starts_with("line 1: (file): "));
    assert!(rig.problems("\n\n[[tenant]]\nid = 1").await[0].contains("unknown field `tenant`"));
}
