//! The registry over REST: what is written is stored, published, and refused by the rules of the registry file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::time::{Duration, Instant};

use business_api::registry::{self, ApplyError};
use events::{
    log::Position,
    prost::Message as _,
    registry::{RegistryEntry, registry_entry::Value as Entry},
    topic::Topic,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Answer, App, KEY, OCPP, OTHER_KEY, On, YKC};

on_both! {
    stations_come_change_and_go
    a_charger_reaches_the_log_and_leaves_a_tombstone
    a_charger_with_an_open_order_stays
    a_start_and_a_removal_at_once_never_both_succeed
    a_start_and_a_disabling_at_once_never_both_succeed
    ids_of_chargers_are_unique_over_tenants
    tokens_come_change_and_go
    tariffs_keep_their_prices
    a_version_added_over_rest_outlives_the_file
    chargers_are_bound_to_tariffs
    changes_at_the_same_moment_are_published_in_order
    wrong_members_are_named
    nothing_written_is_a_server_error
}

const NEW: &str = "EVGW-NEW-1";

async fn patch(app: &App, path: &str, body: Value) -> Answer {
    app.call("PATCH", path, KEY, &[], Some(&body)).await
}

async fn delete(app: &App, path: &str) -> Answer {
    app.call("DELETE", path, KEY, &[], None).await
}

fn charger(id: &str) -> Value {
    json!({"charger": id, "station": "S03", "protocol": "ocpp1.6", "connector_count": 2, "rated_power_w": 22_000})
}

fn flat(price: &str) -> Value {
    json!([{"from": "00:00", "to": "24:00", "type": "flat", "electricity_price": price, "service_price": "0.4"}])
}

#[track_caller]
fn pointer(answer: Answer) -> String {
    assert_eq!(answer.status, 422, "{}", answer.body);
    answer.body["errors"][0]["pointer"].as_str().unwrap().to_owned()
}

/// The value that a key of the compacted registry topic has once it is as wanted, and where it stands in the log.
async fn published(app: &App, key: &str, wanted: impl Fn(Option<&Entry>) -> bool) -> (Option<Entry>, Position) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let records = app.published(Topic::Registry, 1).await;
        let last = records.into_iter().rfind(|record| record.key == key.as_bytes());
        let last = last.map(|it| (it.payload.map(|it| RegistryEntry::decode(it).unwrap().value.unwrap()), it.position));
        if let Some((value, position)) = last.clone().filter(|(value, _)| wanted(value.as_ref())) {
            return (value, position);
        }
        assert!(Instant::now() < deadline, "{key}: {last:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing is left to publish.
async fn all_published(app: &App) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.store.read_platform().await.unwrap().outbox_depth().await.unwrap() > 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stations_come_change_and_go(on: On) {
    let app = App::start(on).await;
    let body = json!({"station": "S-9", "name": "Nine", "latitude": "22.54", "longitude": "-113.9"});
    let answer = app.post("/v1/stations", body.clone()).await;
    assert_eq!(answer.headers["location"], "/v1/stations/S-9");
    let made = answer.expect(201);
    assert_eq!(app.get("/v1/stations/S-9").await.expect(200), made);
    app.post("/v1/stations", body).await.problem(409, "already_exists");
    let changed =
        patch(&app, "/v1/stations/S-9", json!({"name": "Neun", "latitude": null, "phone": "1"})).await.expect(200);
    assert_eq!(
        (&changed["name"], &changed["latitude"], &changed["longitude"]),
        (&json!("Neun"), &json!(""), &json!("-113.9"))
    );
    assert_eq!(patch(&app, "/v1/stations/S-9", json!({})).await.expect(200), changed);
    assert_eq!(pointer(patch(&app, "/v1/stations/S-9", json!({"station": "S-8"})).await), "/station");
    assert_eq!(pointer(patch(&app, "/v1/stations/S-9", json!({"name": null})).await), "");
    assert_eq!(pointer(patch(&app, "/v1/stations/S-9", json!({"default_tariff": "S-9/1"})).await), "/default_tariff");
    delete(&app, "/v1/stations/S03").await.problem(409, "station_has_chargers");
    app.post("/v1/tariffs", json!({"tariff": "S-9/1", "versions": [{"version": "v", "effective_from": "2020-01-01", "periods": flat("1")}]}))
        .await
        .expect(201);
    delete(&app, "/v1/stations/S-9").await.problem(409, "station_has_tariffs");
    delete(&app, "/v1/tariffs/S-9/1").await.expect(204);
    delete(&app, "/v1/stations/S-9").await.expect(204);
    app.get("/v1/stations/S-9").await.expect(404);
    delete(&app, "/v1/stations/S-9").await.expect(404);
}

async fn a_charger_reaches_the_log_and_leaves_a_tombstone(on: On) {
    let app = App::start(on).await;
    let mut body = charger(NEW);
    body["secret"] = json!("a secret of the new one");
    let answer = app.post("/v1/chargers", body).await;
    assert_eq!(answer.headers["location"], format!("/v1/chargers/{NEW}"));
    let made = answer.expect(201);
    assert_eq!((&made["has_secret"], made["connectors"].as_array().unwrap().len()), (&json!(true), 2), "{made}");
    assert_eq!((&made["name"], &made["tariff"], &made["bound_tariff"]), (&json!(NEW), &json!("S03/1"), &Value::Null));
    let read = app.get(&format!("/v1/chargers/{NEW}")).await.expect(200);
    assert_eq!(read, made);
    assert!(!made.to_string().contains("a secret of"), "{made}");
    let (key, path) = (format!("charger/{NEW}"), format!("/v1/chargers/{NEW}"));
    let secret = |value: Option<&Entry>| match value {
        Some(Entry::Charger(it)) => (it.secret_salt.clone(), it.secret_hash.clone()),
        other => panic!("{other:?}"),
    };
    let (value, _) = published(&app, &key, |value| value.is_some()).await;
    let Some(Entry::Charger(entry)) = &value else { panic!("{value:?}") };
    let said = (entry.tenant, entry.station.as_str(), entry.enabled, entry.tariff.as_str());
    assert_eq!(said, (1001, "S03", true, "S03/1"));
    assert_eq!((entry.connectors, entry.rated_power_w, entry.protocol.as_str()), (2, 22_000, "ocpp1.6"));
    let (salt, hash) = secret(value.as_ref());
    let wanted = Sha256::new().chain_update(&salt).chain_update(b"a secret of the new one").finalize();
    assert_eq!((salt.len(), hash.as_ref()), (16, &wanted[..]));

    // What a patch does not name stays, the secret too; a patch that changes nothing publishes nothing.
    let off = patch(&app, &path, json!({"enabled": false, "rated_power_w": 7_040})).await.expect(200);
    assert_eq!(
        (&off["enabled"], &off["has_secret"], &off["rated_power_w"]),
        (&json!(false), &json!(true), &json!(7_040))
    );
    let (value, at) = published(&app, &key, |value| matches!(value, Some(Entry::Charger(it)) if !it.enabled)).await;
    assert_eq!(secret(value.as_ref()), (salt, hash));
    patch(&app, &path, json!({"enabled": false})).await.expect(200);
    all_published(&app).await;
    assert_eq!(published(&app, &key, |_| true).await.1, at);
    let no_secret = patch(&app, &path, json!({"secret": null, "enabled": true})).await.expect(200);
    assert_eq!(no_secret["has_secret"], false);
    let (value, _) = published(&app, &key, |value| matches!(value, Some(Entry::Charger(it)) if it.enabled)).await;
    assert_eq!(secret(value.as_ref()), Default::default());

    delete(&app, &path).await.expect(204);
    published(&app, &key, |value| value.is_none()).await;
    for path in [path.clone(), format!("{path}/connectors")] {
        app.get(&path).await.expect(404);
    }
    let left = app.get(&format!("/v1/connectors?charger={NEW}")).await.expect(200);
    assert_eq!(left["items"], json!([]));
    delete(&app, &path).await.expect(404);
    patch(&app, &path, json!({})).await.expect(404);
    app.post("/v1/chargers", charger(NEW)).await.expect(201);
    published(&app, &key, |value| value.is_some()).await;
}

async fn a_charger_with_an_open_order_stays(on: On) {
    let app = App::start(on).await;
    app.post("/v1/chargers", charger(NEW)).await.expect(201);
    app.connect(NEW).await;
    let start = json!({"charger": NEW, "connector": 2, "account": "user-1"});
    app.post("/v1/orders", start).await.expect(201);
    let path = format!("/v1/chargers/{NEW}");
    delete(&app, &path).await.problem(409, "charger_has_open_orders");
    patch(&app, &path, json!({"enabled": false})).await.problem(409, "charger_has_open_orders");
    let file = app.db.folder.path().join("off.toml");
    let text = format!(
        "[[tenants]]\nid = 1001\nname = \"t\"\nkeys = [{{ name = \"k\", key = \"{KEY}\" }}]\n\
         [[stations]]\ntenant = 1001\nid = \"S03\"\nname = \"three\"\n\
         [[chargers]]\ntenant = 1001\nid = \"{NEW}\"\nstation = \"S03\"\nprotocol = \"ocpp1.6\"\nconnectors = 2\n\
         rated_power_kw = \"7\"\nenabled = false\n"
    );
    std::fs::write(&file, text).unwrap();
    let Err(ApplyError::Invalid(problems)) = registry::apply(&app.store, &file, false, app.now()).await else {
        panic!()
    };
    assert!(
        matches!(&problems[..], [it] if it.key == "chargers[0].enabled" && it.what.contains("not over")),
        "{problems:?}"
    );
    assert_eq!(app.get(&path).await.expect(200)["enabled"], true);
    assert_eq!(pointer(patch(&app, &path, json!({"connector_count": 1})).await), "/connector_count");
    assert_eq!(
        patch(&app, &path, json!({"connector_count": 3})).await.expect(200)["connectors"].as_array().unwrap().len(),
        3
    );
    assert_eq!(app.get(&path).await.expect(200)["online"], true, "its live state stays");
}

async fn a_start_and_a_removal_at_once_never_both_succeed(on: On) {
    let app = App::start(on).await;
    for n in 0..12 {
        let id = format!("EVGW-RACE-{n}");
        app.post("/v1/chargers", charger(&id)).await.expect(201);
        app.connect(&id).await;
        let path = format!("/v1/chargers/{id}");
        let start = app.post("/v1/orders", json!({"charger": id, "connector": 1, "account": "user-1"}));
        let (start, removal) = futures::future::join(start, delete(&app, &path)).await;
        match (start.status, removal.status) {
            (201, 409) => assert_eq!(app.get(&path).await.status, 200),
            (422, 204) => assert_eq!(start.body["code"], "unknown_charger"),
            other => panic!("{other:?}: {} {}", start.body, removal.body),
        }
    }
}

async fn a_start_and_a_disabling_at_once_never_both_succeed(on: On) {
    let app = App::start(on).await;
    for n in 0..12 {
        let id = format!("EVGW-RACE-{n}");
        app.post("/v1/chargers", charger(&id)).await.expect(201);
        app.connect(&id).await;
        let path = format!("/v1/chargers/{id}");
        let start = app.post("/v1/orders", json!({"charger": id, "connector": 1, "account": "user-1"}));
        let (start, off) = futures::future::join(start, patch(&app, &path, json!({"enabled": false}))).await;
        let enabled = app.get(&path).await.expect(200)["enabled"].clone();
        match (start.status, off.status) {
            (201, 409) => assert_eq!(enabled, true),
            (409, 200) => assert_eq!((&start.body["code"], enabled), (&json!("charger_disabled"), json!(false))),
            other => panic!("{other:?}: {} {}", start.body, off.body),
        }
    }
}

async fn ids_of_chargers_are_unique_over_tenants(on: On) {
    let app = App::start(on).await;
    app.call("POST", "/v1/stations", OTHER_KEY, &[], Some(&json!({"station": "S03", "name": "theirs"})))
        .await
        .expect(201);
    let answer = app.call("POST", "/v1/chargers", OTHER_KEY, &[], Some(&charger(OCPP))).await;
    let theirs = answer.problem(409, "already_exists");
    let ours = app.post("/v1/chargers", charger(OCPP)).await.problem(409, "already_exists");
    assert_eq!(theirs["detail"], ours["detail"], "nothing tells whose it is");
    assert!(!theirs.to_string().contains("1001\""), "{theirs}");
    // Of YKC the id is the number, however it is written.
    let mut upper = charger("ABCDEF00000001");
    upper["protocol"] = json!("ykc");
    upper["station"] = json!("S01");
    assert_eq!(app.post("/v1/chargers", upper.clone()).await.expect(201)["charger"], "abcdef00000001");
    upper["station"] = json!("S03");
    app.call("POST", "/v1/chargers", OTHER_KEY, &[], Some(&upper)).await.problem(409, "already_exists");
}

async fn tokens_come_change_and_go(on: On) {
    let app = App::start(on).await;
    let answer = app
        .post("/v1/tokens", json!({"uid": "A/B?1", "kind": "id_tag", "expires_at": "2027-01-01T00:00:00+08:00"}))
        .await;
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(path, "/v1/tokens/A%2FB%3F1");
    let made = answer.expect(201);
    assert_eq!(
        (&made["status"], &made["account"], &made["balance_fen"]),
        (&json!("accepted"), &json!("A/B?1"), &json!(0))
    );
    assert_eq!(app.get(&path).await.expect(200), made);
    let changes = json!({"status": "blocked", "balance_fen": 5_000, "expires_at": null});
    let changed = patch(&app, &path, changes).await.expect(200);
    assert_eq!(
        (&changed["status"], &changed["balance_fen"], &changed["expires_at"]),
        (&json!("blocked"), &json!(5_000), &Value::Null)
    );
    let key = "token/1001/A/B?1";
    published(&app, key, |value| matches!(value, Some(Entry::Token(it)) if it.status == "blocked")).await;
    assert_eq!(pointer(patch(&app, &path, json!({"uid": "other"})).await), "/uid");
    assert_eq!(pointer(patch(&app, &path, json!({"kind": "vin"})).await), "/kind");
    assert_eq!(pointer(patch(&app, &path, json!({"balance_fen": -1})).await), "/balance_fen");
    assert_eq!(pointer(patch(&app, &path, json!({"expires_at": "soon"})).await), "/expires_at");
    // The same uid is another token of another tenant.
    app.call("POST", "/v1/tokens", OTHER_KEY, &[], Some(&json!({"uid": "A/B?1", "kind": "id_tag"}))).await.expect(201);
    delete(&app, &path).await.expect(204);
    published(&app, key, |value| value.is_none()).await;
    delete(&app, &path).await.expect(404);
    app.call("GET", &path, OTHER_KEY, &[], None).await.expect(200);
}

async fn tariffs_keep_their_prices(on: On) {
    let app = App::start(on).await;
    let version = json!({"version": "X-1", "effective_from": "2020-01-01", "periods": flat("0.6")});
    let answer = app.post("/v1/tariffs", json!({"tariff": "S03/7", "name": "seven", "versions": [version]})).await;
    assert_eq!(answer.headers["location"], "/v1/tariffs/S03/7");
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let made = answer.expect(201);
    let answer = app.get("/v1/tariffs/S03/7").await;
    assert_eq!((answer.headers["etag"].to_str().unwrap(), &answer.body), (tag.as_str(), &made));
    app.post("/v1/tariffs", json!({"tariff": "S03/7", "versions": [version]})).await.problem(409, "already_exists");

    // Whoever changes a tariff says which state he saw.
    let named = json!({"name": "sieben"});
    patch(&app, "/v1/tariffs/S03/7", named.clone()).await.problem(428, "if_match_required");
    let with = |path: &'static str, tag: String, body: Value| {
        let app = &app;
        async move { app.call("PATCH", path, KEY, &[("if-match", &tag)], Some(&body)).await }
    };
    with("/v1/tariffs/S03/7", "\"another\"".to_owned(), named.clone()).await.problem(412, "if_match_failed");
    for second in ["*", tag.as_str(), "\"another\""] {
        let two = [("if-match", tag.as_str()), ("if-match", second)];
        app.call("PATCH", "/v1/tariffs/S03/7", KEY, &two, Some(&named)).await.problem(400, "repeated_header");
    }
    let renamed = with("/v1/tariffs/S03/7", tag.clone(), named.clone()).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["versions"]), (&json!("sieben"), &made["versions"]));
    with("/v1/tariffs/S03/7", tag, named).await.problem(412, "if_match_failed");

    // Versions: tomorrow (today is 2026-03-10) or later, never the same first date twice, prices for ever.
    let versions = "/v1/tariffs/S03/7/versions";
    let next = |name: &str, from: &str| json!({"version": name, "effective_from": from, "periods": flat("0.7")});
    assert_eq!(pointer(app.post(versions, next("X-2", "2026-03-09")).await), "/effective_from");
    assert_eq!(pointer(app.post(versions, next("X-2", "2026-03-10")).await), "/effective_from");
    let answer = app.post(versions, next("X-2", "2026-04-01")).await;
    assert_eq!(answer.headers["location"], "/v1/tariffs/S03/7/versions/X-2");
    assert_eq!(answer.expect(201)["periods"][0]["electricity_price"], "0.70000");
    app.post(versions, next("X-2", "2026-05-01")).await.problem(409, "already_exists");
    assert_eq!(pointer(app.post(versions, next("X-3", "2026-04-01")).await), "");
    app.post(versions, next("X-3", "2026-03-11")).await.expect(201);
    let three = |value: Option<&Entry>| matches!(value, Some(Entry::Tariff(it)) if it.versions.len() == 3);
    published(&app, "tariff/1001/S03/7", three).await;

    let path = "/v1/tariffs/S03/7/versions/X-1";
    let any = || "*".to_owned();
    patch(&app, path, json!({"effective_to": "2026-06-01"})).await.problem(428, "if_match_required");
    let ended = with(path, any(), json!({"effective_to": "2026-03-11"})).await.expect(200);
    assert_eq!(ended["effective_to"], "2026-03-11");
    assert_eq!(app.get(path).await.expect(200), ended);
    for (body, at) in [
        (json!({"effective_to": "2026-03-10"}), "/effective_to"),
        (json!({"effective_to": "2020-01-01"}), "/effective_to"),
        (json!({"effective_from": "2026-03-12"}), "/effective_to"),
        (json!({"effective_from": "2026-03-01"}), ""),
        (json!({"periods": flat("0.9")}), ""),
        (json!({"periods": flat("x")}), "/periods/0"),
        (json!({"version": "X-9"}), "/version"),
        (json!({"colour": "red"}), "/colour"),
    ] {
        assert_eq!(pointer(with(path, any(), body.clone()).await), at, "{body}");
    }
    assert_eq!(app.get(path).await.expect(200), ended);
    assert_eq!(with(path, any(), json!({"effective_to": null})).await.expect(200)["effective_to"], Value::Null);
    delete(&app, "/v1/tariffs/S03/1").await.problem(409, "tariff_in_use");
    delete(&app, "/v1/tariffs/S03/7").await.expect(204);
    published(&app, "tariff/1001/S03/7", |value| value.is_none()).await;
    app.get(path).await.expect(404);
}

async fn a_version_added_over_rest_outlives_the_file(on: On) {
    let app = App::start(on).await;
    let next = json!({"version": "B-NEXT", "effective_from": "2026-03-11", "periods": flat("5")});
    app.post("/v1/tariffs/S03/1/versions", next).await.expect(201);
    let before = app.get("/v1/tariffs/S03/1").await.expect(200);
    let report = business_api::registry::apply(&app.store, &support::example(), false, app.now()).await.unwrap();
    assert_eq!((report.changes, report.applied), (Vec::new(), false));
    assert_eq!(app.get("/v1/tariffs/S03/1").await.expect(200), before);
}

async fn chargers_are_bound_to_tariffs(on: On) {
    let app = App::start(on).await;
    let tariff = json!({"tariff": "S03/2", "versions": [{"version": "v", "effective_from": "2020-01-01", "periods": flat("1")}]});
    app.post("/v1/tariffs", tariff).await.expect(201);
    app.post("/v1/chargers", charger(NEW)).await.expect(201);
    let (path, key) = (format!("/v1/chargers/{NEW}"), format!("charger/{NEW}"));
    let holds = |tariff: &'static str| move |value: Option<&Entry>| matches!(value, Some(Entry::Charger(it)) if it.tariff == tariff);
    let bound = patch(&app, &path, json!({"bound_tariff": "S03/2"})).await.expect(200);
    assert_eq!((&bound["tariff"], &bound["bound_tariff"]), (&json!("S03/2"), &json!("S03/2")));
    published(&app, &key, holds("S03/2")).await;
    assert_eq!(pointer(patch(&app, &path, json!({"bound_tariff": "S03/3"})).await), "/bound_tariff");
    delete(&app, "/v1/tariffs/S03/2").await.problem(409, "tariff_in_use");
    let free = patch(&app, &path, json!({"bound_tariff": null})).await.expect(200);
    assert_eq!((&free["tariff"], &free["bound_tariff"]), (&json!("S03/1"), &Value::Null));
    published(&app, &key, holds("S03/1")).await;
    // Another default of the station reaches those without a tariff of their own, and only those.
    patch(&app, &format!("/v1/chargers/{OCPP}"), json!({"bound_tariff": "S03/1"})).await.expect(200);
    patch(&app, "/v1/stations/S03", json!({"default_tariff": "S03/2"})).await.expect(200);
    published(&app, &key, holds("S03/2")).await;
    assert_eq!(app.get(&path).await.expect(200)["tariff"], "S03/2");
    published(&app, &format!("charger/{OCPP}"), holds("S03/1")).await;
    delete(&app, "/v1/tariffs/S03/2").await.problem(409, "tariff_in_use");
}

/// The last record of a key is what is stored, however many change it at once.
async fn changes_at_the_same_moment_are_published_in_order(on: On) {
    let app = App::start(on).await;
    let body = charger(NEW);
    let made = futures::future::join_all((0..4).map(|_| app.post("/v1/chargers", body.clone()))).await;
    let mut codes: Vec<u16> = made.iter().map(|answer| answer.status).collect();
    codes.sort_unstable();
    assert_eq!(codes, [201, 409, 409, 409]);
    let path = format!("/v1/chargers/{NEW}");
    let changes = (1..=24).map(|n| patch(&app, &path, json!({"rated_power_w": n * 1_000})));
    for answer in futures::future::join_all(changes).await {
        answer.expect(200);
    }
    let stored = app.get(&path).await.expect(200)["rated_power_w"].as_u64().unwrap();
    let key = format!("charger/{NEW}");
    all_published(&app).await;
    let (last, _) = published(&app, &key, |_| true).await;
    assert!(matches!(&last, Some(Entry::Charger(it)) if u64::from(it.rated_power_w) == stored), "{stored} {last:?}");
}

async fn wrong_members_are_named(on: On) {
    let app = App::start(on).await;
    let with = |mut body: Value, name: &str, value: Value| {
        body[name] = value;
        body
    };
    let ykc = json!({"charger": "10010001000099", "station": "S01", "protocol": "ykc", "rated_power_w": 60_000});
    let station = json!({"station": "S9", "name": "nine"});
    let token = json!({"uid": "0000000000abcdef", "kind": "card"});
    let version = json!({"version": "v", "effective_from": "2020-01-01", "periods": flat("1")});
    let tariff = json!({"tariff": "S01/9", "versions": [version]});
    for (path, body, at) in [
        ("/v1/stations", with(station.clone(), "station", json!("a b")), "/station"),
        ("/v1/stations", with(station.clone(), "name", json!("")), "/name"),
        ("/v1/stations", with(station.clone(), "latitude", json!("1.2.3")), "/latitude"),
        ("/v1/stations", with(station.clone(), "longitude", json!("181")), "/longitude"),
        ("/v1/stations", with(station.clone(), "tenant", json!(1002)), "/tenant"),
        ("/v1/stations", with(station.clone(), "phone", json!(110)), "/phone"),
        ("/v1/chargers", with(ykc.clone(), "charger", json!("1001")), "/charger"),
        ("/v1/chargers", with(ykc.clone(), "station", json!("S09")), "/station"),
        ("/v1/chargers", with(ykc.clone(), "protocol", json!("ocpp9")), "/protocol"),
        ("/v1/chargers", with(ykc.clone(), "connector_count", json!(0)), "/connector_count"),
        ("/v1/chargers", with(ykc.clone(), "rated_power_w", json!(0)), "/rated_power_w"),
        ("/v1/chargers", with(ykc.clone(), "rated_power_w", json!(1.5)), "/rated_power_w"),
        ("/v1/chargers", with(ykc.clone(), "bound_tariff", json!("S01/9")), "/bound_tariff"),
        ("/v1/chargers", with(ykc.clone(), "secret", json!("YKC has none")), "/secret"),
        ("/v1/chargers", with(ykc.clone(), "secret", json!("")), "/secret"),
        ("/v1/chargers", with(charger(NEW), "secret", json!("x".repeat(65))), "/secret"),
        ("/v1/chargers", with(charger("a/b"), "enabled", json!(true)), "/charger"),
        ("/v1/tokens", with(token.clone(), "uid", json!("12")), "/uid"),
        ("/v1/tokens", with(token.clone(), "kind", json!("plate")), "/kind"),
        ("/v1/tokens", with(token.clone(), "status", json!("lost")), "/status"),
        ("/v1/tokens", with(token.clone(), "balance_fen", json!(4_294_967_296_i64)), "/balance_fen"),
        ("/v1/tokens", with(token.clone(), "logical_card", json!("12")), "/logical_card"),
        ("/v1/tariffs", with(tariff.clone(), "tariff", json!("S01/17")), "/tariff"),
        ("/v1/tariffs", with(tariff.clone(), "tariff", json!("S09/1")), "/tariff"),
        ("/v1/tariffs", with(tariff.clone(), "versions", json!([])), "/versions"),
        ("/v1/tariffs", with(tariff.clone(), "versions", json!([version, version])), "/versions"),
        (
            "/v1/tariffs",
            with(tariff.clone(), "versions", json!([with(version.clone(), "version", json!("a/b"))])),
            "/versions/0/version",
        ),
        (
            "/v1/tariffs",
            with(tariff.clone(), "versions", json!([with(version.clone(), "effective_from", json!("2026-02-30"))])),
            "/versions/0/effective_from",
        ),
        (
            "/v1/tariffs",
            with(tariff.clone(), "versions", json!([with(version.clone(), "periods", flat("-1"))])),
            "/versions/0/periods/0",
        ),
    ] {
        assert_eq!(pointer(app.post(path, body.clone()).await), at, "{body}");
    }
    // A merge patch by its own media type, and what is none.
    let url = format!("{}/v1/chargers/{YKC}", app.base);
    let send = |kind: &'static str, body: &'static str| {
        reqwest::Client::new().patch(&url).bearer_auth(KEY).header("content-type", kind).body(body).send()
    };
    for (kind, body, status) in [
        ("application/merge-patch+json", "{\"name\":\"n\"}", 200),
        ("application/merge-patch+json", "[]", 422),
        ("application/merge-patch+json", "null", 422),
        ("application/merge-patch+json", "{", 400),
        ("application/json-patch+json", "[]", 415),
    ] {
        assert_eq!(send(kind, body).await.unwrap().status().as_u16(), status, "{kind} {body}");
    }
    assert_eq!(app.get(&format!("/v1/chargers/{YKC}")).await.expect(200)["name"], "n");
}

/// Right bodies with one member gone wrong, from a fixed seed.
async fn nothing_written_is_a_server_error(on: On) {
    let app = App::start(on).await;
    let mut random = StdRng::seed_from_u64(41);
    let version =
        json!({"version": "R-1", "effective_from": "2026-03-11", "effective_to": "2026-05-01", "periods": flat("1")});
    let mut everything = charger("EVGW-R");
    everything["name"] = json!("n");
    everything["bound_tariff"] = json!("S03/1");
    everything["secret"] = json!("s");
    let bodies = [
        ("/v1/stations", "/v1/stations/S03", json!({"station": "R", "name": "n", "latitude": "1", "phone": "2"})),
        ("/v1/chargers", "/v1/chargers/EVGW-R", everything),
        ("/v1/tokens", "/v1/tokens/R", json!({"uid": "R", "kind": "id_tag", "balance_fen": 1, "account": "a"})),
        ("/v1/tariffs", "/v1/tariffs/S03/1", json!({"tariff": "S03/9", "name": "n", "versions": [version]})),
        ("/v1/tariffs/S03/1/versions", "/v1/tariffs/S03/1/versions/B-1", version.clone()),
    ];
    let wrong = [
        json!(null),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{202e}😀"),
        json!("x".repeat(20_000)),
        json!("S03/1"),
        json!("9999-12-31"),
        json!("-0001-01-01"),
        json!([]),
        json!([[[{"from": 1}]]]),
        json!({"a": {}}),
        json!(true),
    ];
    for _ in 0..400 {
        let (create, change, right) = &bodies[random.random_range(0..bodies.len())];
        let mut body = right.clone();
        let names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
        for _ in 0..random.random_range(0..3) {
            body[names[random.random_range(0..names.len())].as_str()] =
                wrong[random.random_range(0..wrong.len())].clone();
        }
        let (method, path) = match random.random_range(0..10) {
            0 => ("DELETE", change),
            1..=5 => ("PATCH", change),
            _ => ("POST", create),
        };
        if method == "PATCH" && random.random_bool(0.5) {
            let map = body.as_object_mut().unwrap();
            let id = map.keys().next().unwrap().clone();
            map.remove(&id);
        }
        let answer = app.call(method, path, KEY, &[("if-match", "*")], (method != "DELETE").then_some(&body)).await;
        assert!(answer.status < 500, "{method} {path} {body}: {}", answer.body);
    }
}
