//! Tenants are apart: on every route, for every id, in lists, and in the database itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::TenantId;
use serde_json::json;
use support::{App, KEY, OCPP, OTHER_KEY, On, T1001, YKC, contract, started};

on_both! { another_tenants_id_is_not_found_on_any_route lists_show_only_ones_own without_a_key_nothing the_database_itself_keeps_tenants_apart }

async fn another_tenants_id_is_not_found_on_any_route(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let order = app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    let (no, session) = (order["order_no"].as_str().unwrap(), order["session"].as_str().unwrap());
    app.say(YKC, 1, app.now(), started(session, "", app.now(), None));
    app.order_in(no, "CHARGING").await;
    let command = app.post(&format!("/v1/chargers/{YKC}/commands"), json!({"kind": "sync_time"})).await.expect(202);
    let fill = |path: &str| {
        path.replace("{charger}", YKC)
            .replace("{connector}", "1")
            .replace("{order_no}", no)
            .replace("{command_id}", command["command_id"].as_str().unwrap())
            .replace("{uid}", "TAG100100001")
            .replace("{station}", "S03")
            .replace("{group}", "1")
    };
    let mut tried = 0;
    for (path, item) in contract::DOCUMENT["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.contains('{')) {
            let body = match path.as_str() {
                "/v1/chargers/{charger}/commands" => json!({"kind": "sync_time"}),
                _ => json!({}),
            };
            let body = (method == "post").then_some(&body);
            let headers = [("idempotency-key", "k-1")];
            let path = fill(path);
            let theirs = app.call(&method.to_uppercase(), &path, OTHER_KEY, &headers, body).await;
            assert_eq!(theirs.status, 404, "{method} {path}: {}", theirs.body);
            let ours = app.call(&method.to_uppercase(), &path, KEY, &headers, body).await;
            let no_bill = ours.body["code"] == "no_bill";
            assert!((200..300).contains(&ours.status) || no_bill, "{method} {path}: {}", ours.body);
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried}");
    // Ids inside a body.
    for (body, code) in [
        (json!({"charger": OCPP, "connector": 1, "account": "a"}), "unknown_charger"),
        (json!({"charger": YKC, "connector": 1, "account": "a"}), "unknown_charger"),
    ] {
        let answer = app.call("POST", "/v1/orders", OTHER_KEY, &[("idempotency-key", "k-2")], Some(&body)).await;
        if answer.body["code"] != "idempotency_key_reused" {
            answer.problem(422, code);
        }
    }
    let preview = json!({"tariff": "S03/1", "start": "2026-01-01T00:00:00+08:00", "end": "2026-01-01T01:00:00+08:00", "energy_kwh": "1"});
    app.call("POST", "/v1/tariffs/preview", OTHER_KEY, &[], Some(&preview)).await.problem(422, "unknown_tariff");
    assert_eq!(app.order_in(no, "STOPPING").await["state"], "STOPPING", "our own stop counted, theirs did not");
}

async fn lists_show_only_ones_own(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    for (path, ours, theirs) in [
        ("/v1/stations", 4, 1),
        ("/v1/chargers?limit=200", 42, 1),
        ("/v1/connectors?limit=200", 72, 2),
        ("/v1/tokens?limit=200", 34, 1),
        ("/v1/tariffs", 6, 1),
        ("/v1/orders", 1, 0),
    ] {
        let count = |body: serde_json::Value| body["items"].as_array().unwrap().len();
        assert_eq!(count(app.get(path).await.expect(200)), ours, "{path}");
        assert_eq!(count(app.call("GET", path, OTHER_KEY, &[], None).await.expect(200)), theirs, "{path}");
    }
    let summary = app.call("GET", "/v1/summary", OTHER_KEY, &[], None).await.expect(200);
    assert_eq!((&summary["chargers"], &summary["orders"]), (&json!(1), &json!({})));
}

async fn without_a_key_nothing(on: On) {
    let app = App::start(on).await;
    for (path, item) in contract::DOCUMENT["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let path = path.replace(['{', '}'], "");
            for key in ["", "nobody's key", "evgate-demo-1001x"] {
                let body = json!({});
                let answer =
                    app.call(&method.to_uppercase(), &path, key, &[], (method == "post").then_some(&body)).await;
                answer.problem(401, "unauthorized");
            }
        }
    }
    let answer = app.call("GET", "/v1/orders", "", &[("authorization", "Basic abc")], None).await;
    answer.problem(401, "unauthorized");
}

/// Forgetting the tenant predicate must show nothing on PostgreSQL; a tenant's transaction must not reach another's rows.
async fn the_database_itself_keeps_tenants_apart(on: On) {
    let app = App::start(on).await;
    let mut tx = app.store.read(TenantId(1002)).await.unwrap();
    assert!(tx.station(TenantId(1002), "S01").await.unwrap().is_some());
    let crossed = tx.station(T1001, "S02").await;
    match on {
        On::Sqlite => assert!(crossed.unwrap().is_some(), "SQLite has no policies: the predicate is its only defence"),
        On::Postgres => {
            assert!(crossed.unwrap().is_none());
            drop(tx);
            let mut tx = app.store.read_platform().await.unwrap();
            assert!(tx.station(T1001, "S02").await.is_err(), "without a tenant a statement fails");
            let mut tx = app.store.write(TenantId(1002)).await.unwrap();
            let mut station = tx.station(TenantId(1002), "S01").await.unwrap().unwrap();
            station.id = "S99".to_owned();
            assert!(tx.put_station(T1001, &station).await.is_err(), "no row can be written for another tenant");
        }
    }
}
