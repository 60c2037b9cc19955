//! Tenants are apart: on every route, for every id, in lists, and in the database itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::TenantId;
use events::proto::envelope::Body;
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
    app.say("10010001009999", 1, app.now(), started("10010001009999010000000000000001", "", app.now(), None));
    let put_aside = "/v1/dead-letters?reason=unknown_charger";
    let letter = app.until(put_aside, |body| body["items"][0].is_object()).await["items"][0]["letter"].clone();
    // Two records that contradict each other are a work item.
    let conflict = "10010001000002";
    for energy_e4 in [100_000, 100_100] {
        let record = support::record(&format!("{conflict}01{:016}", 1), app.now() - 3_600_000, app.now(), energy_e4);
        app.say(conflict, 1, app.now(), Body::TransactionRecorded(record));
    }
    let to_do = "/v1/work-items?kind=record_conflict";
    let item = app.until(to_do, |body| body["items"][0].is_object()).await["items"][0]["work_item"].clone();
    let fill = |path: &str| {
        path.replace("{charger}", YKC)
            .replace("{connector}", "1")
            .replace("{order_no}", no)
            .replace("{command_id}", command["command_id"].as_str().unwrap())
            .replace("{uid}", "TAG100100001")
            .replace("{station}", "S03")
            .replace("{letter}", letter.as_str().unwrap())
            .replace("{work_item}", item.as_str().unwrap())
            .replace("{group}", "1")
            .replace("{version}", "B-1")
    };
    let flat =
        json!([{"from": "00:00", "to": "24:00", "type": "flat", "electricity_price": "1", "service_price": "0"}]);
    let bodies = |path: &str| match path {
        "/v1/chargers/{charger}/commands" => json!({"kind": "sync_time"}),
        "/v1/tariffs/{station}/{group}/versions" => {
            json!({"version": "N", "effective_from": "2026-04-01", "periods": flat})
        }
        "/v1/orders/{order_no}/estimate" | "/v1/orders/{order_no}/estimate/approve" => {
            let at = "2026-03-10T12:00:00+08:00";
            json!({"energy_kwh": "1", "started_at": at, "ended_at": at, "reason": "r"})
        }
        "/v1/dead-letters/{letter}/dismiss" | "/v1/work-items/{work_item}/close" => json!({"because": "r"}),
        _ => json!({}),
    };
    let mut routes: Vec<(&str, &str)> = Vec::new();
    for (path, item) in contract::DOCUMENT["paths"].as_object().unwrap() {
        routes.extend(
            item.as_object().unwrap().keys().filter(|_| path.contains('{')).map(|it| (it.as_str(), path.as_str())),
        );
    }
    assert!(routes.len() >= 27, "{routes:?}");
    // Removals last: they would take away what the others ask for.
    routes.sort_by_key(|(method, _)| *method == "delete");
    for (key, ours) in [(OTHER_KEY, false), (KEY, true)] {
        for (method, route) in &routes {
            let body = bodies(route);
            let body = ["post", "patch"].contains(method).then_some(&body);
            let headers = [("idempotency-key", "k-1"), ("if-match", "*")];
            let path = fill(route);
            let answer = app.call(&method.to_uppercase(), &path, key, &headers, body).await;
            if !ours {
                assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
                continue;
            }
            // What the state of things does not allow is refused for that, not for want of the id.
            let refused = match (*method, *route) {
                ("get", "/v1/orders/{order_no}/bill") => Some("no_bill"),
                ("post", "/v1/orders/{order_no}/estimate" | "/v1/orders/{order_no}/estimate/approve") => {
                    Some("order_not_held")
                }
                ("delete", "/v1/chargers/{charger}") => Some("charger_has_open_orders"),
                ("delete", "/v1/stations/{station}") => Some("station_has_chargers"),
                ("delete", "/v1/tariffs/{station}/{group}") => Some("tariff_in_use"),
                _ => None,
            };
            assert_eq!(answer.body["code"].as_str(), refused, "{method} {path}: {}", answer.body);
            assert_eq!((200..300).contains(&answer.status), refused.is_none(), "{method} {path}: {}", answer.body);
        }
    }
    // Ids inside a body.
    for (charger, once) in [(OCPP, "k-2"), (YKC, "k-3")] {
        let body = json!({"charger": charger, "connector": 1, "account": "a"});
        let answer = app.call("POST", "/v1/orders", OTHER_KEY, &[("idempotency-key", once)], Some(&body)).await;
        answer.problem(422, "unknown_charger");
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

/// Two tenants at the same time over the same few connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run `make test`"]
async fn concurrent_tenants_on_shared_connections_never_mix() {
    support::limited(async {
        let config = business_api::Config { postgres_connections: 2, ..business_api::Config::default() };
        let app = App::start_with(On::Postgres, events::clock::Clock::starting_at(support::T0, 1), config).await;
        let ask = |key: &'static str, chargers: usize| {
            let app = &app;
            async move {
                for _ in 0..40 {
                    let list = app.call("GET", "/v1/chargers?limit=200", key, &[], None).await.expect(200);
                    assert_eq!(list["items"].as_array().unwrap().len(), chargers);
                }
            }
        };
        futures::join!(ask(KEY, 42), ask(OTHER_KEY, 1), ask(KEY, 42), ask(OTHER_KEY, 1));
    })
    .await;
}

/// A table with a tenant column and without a forced policy is a hole, also one that a later migration brings.
#[tokio::test]
#[ignore = "needs PostgreSQL: run `make test`"]
async fn every_table_of_a_tenant_has_a_forced_policy() {
    let db = support::database(On::Postgres).await;
    drop(business_api::Store::open(&db.url).await.unwrap());
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&db.url).await.unwrap();
    let sql = "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced, \
               (SELECT COUNT(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies FROM pg_class c \
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' WHERE c.relkind = 'r'";
    let tables: Vec<(String, bool, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
    let open: Vec<&str> =
        tables.iter().filter(|(_, forced, n)| !*forced || *n != 1).map(|(name, ..)| name.as_str()).collect();
    let mut sorted = open.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["api_keys", "tenants"], "read before a tenant is known, all others are closed");
    assert!(tables.len() > 15);
}

/// The usual installation: a login that owns the database and is no superuser.
#[tokio::test]
#[ignore = "needs PostgreSQL: run `make test`"]
async fn an_ordinary_login_is_held_by_the_policies_too() {
    let db = support::database(On::Postgres).await;
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&db.url).await.unwrap();
    let name = db.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    for sql in
        [format!("CREATE ROLE {name} LOGIN PASSWORD 'only-a-test'"), format!("ALTER DATABASE {name} OWNER TO {name}")]
    {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    }
    let (scheme, rest) = db.url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let store = business_api::Store::open(&format!("{scheme}://{name}:only-a-test@{host}")).await.unwrap();
    business_api::registry::apply(&store, &support::example(), false, support::T0).await.unwrap();
    let mut tx = store.read(TenantId(1002)).await.unwrap();
    assert!(tx.station(TenantId(1002), "S01").await.unwrap().is_some());
    assert!(tx.station(T1001, "S01").await.unwrap().is_none());
}
