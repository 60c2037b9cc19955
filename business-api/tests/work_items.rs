//! Work items: what needs a person can be found, read beside the figures that contradict each other, and closed; what no longer needs
//! one is closed by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use events::proto::envelope::Body;
use serde_json::{Value, json};
use sqlx::Connection as _;
use support::{
    App, KEY, OTHER_KEY, On, YKC, record,
    sessions::{authorized, session, sessions, settled},
};

on_both! {
    records_that_contradict_each_other_are_found_shown_and_closed_by_a_person
    what_was_held_needs_nobody_once_it_is_settled
    what_is_held_and_let_go_at_once_needs_nobody
    open_items_are_counted
    orders_and_items_of_an_older_release_are_found
}

const CARD: &str = "00000000d1000001";

/// A record of other figures than those of `sessions`.
fn other(app: &App, counter: u64) {
    let t = app.now();
    app.say(YKC, 1, t, Body::TransactionRecorded(record(&session(counter), t - 60_000 * 50, t, 210_000)));
}

fn orphan(app: &App, counter: u64) {
    let t = app.now();
    let record = events::proto::TransactionRecorded {
        start_mode: events::proto::StartMode::Card.into(),
        ..record(&session(counter), t - 60_000 * 50, t, 200_000)
    };
    app.say(YKC, 1, t, Body::TransactionRecorded(record));
}

async fn items(app: &App, path: &str, count: usize) -> Vec<Value> {
    let found = app.until(path, |body| body["items"].as_array().is_some_and(|items| items.len() == count)).await;
    found["items"].as_array().unwrap().clone()
}

async fn records_that_contradict_each_other_are_found_shown_and_closed_by_a_person(on: On) {
    let app = App::start(on).await;
    sessions(&app, 1..3);
    settled(&app, 2).await;
    other(&app, 1);
    let order = items(&app, "/v1/orders?record_status=conflict", 1).await.remove(0);
    assert_eq!((&order["state"], &order["total_fen"]), (&json!("COMPLETED"), &json!(2147)), "the first bill stands");
    items(&app, "/v1/orders?record_status=received&state=COMPLETED", 1).await;
    items(&app, "/v1/orders?record_status=none", 0).await;
    app.get("/v1/orders?record_status=odd").await.problem(400, "bad_query");
    app.get("/v1/orders?exception_code=odd").await.problem(400, "bad_query");
    let no = order["order_no"].as_str().unwrap();
    let records = format!("/v1/orders/{no}/records");
    let shown = items(&app, &records, 2).await;
    let brief = |record: &Value| {
        let said = ["energy_kwh", "charger_amount_yuan", "stop_reason", "raw_hex"].map(|it| &record["content"][it]);
        json!([record["version"], record["billed"], said])
    };
    assert_eq!(
        (brief(&shown[0]), brief(&shown[1])),
        (
            json!([1, true, ["20.0000", "21.4680", "full", "010203"]]),
            json!([2, false, ["21.0000", "22.5414", "full", "010203"]]),
        )
    );
    let first = app.get(&format!("{records}?limit=1")).await.expect(200);
    let next = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("{records}?limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&first["items"], &second), (&json!([shown[0]]), &json!({"items": [shown[1]], "next_cursor": null})));
    // A session that was settled once has one record, and nobody has to look.
    let quiet = items(&app, "/v1/orders?record_status=received", 1).await.remove(0);
    let quiet = quiet["order_no"].as_str().unwrap();
    items(&app, &format!("/v1/orders/{quiet}/records"), 1).await;
    items(&app, &format!("/v1/work-items?order_no={quiet}"), 0).await;

    let open = format!("/v1/work-items?open=true&kind=record_conflict&order_no={no}&charger={YKC}");
    let item = items(&app, &open, 1).await.remove(0);
    assert_eq!(
        (&item["kind"], &item["order_no"], &item["closed"]),
        (&json!("record_conflict"), &json!(no), &Value::Null)
    );
    app.get("/v1/work-items?kind=odd").await.problem(400, "bad_query");
    assert_eq!(app.call("GET", "/v1/work-items", OTHER_KEY, &[], None).await.expect(200)["items"], json!([]));
    let path = format!("/v1/work-items/{}", item["work_item"].as_str().unwrap());
    assert_eq!(app.get(&path).await.expect(200), item);
    let close = format!("{path}/close");
    for because in ["", " ", "a\nb", &"x".repeat(401)] {
        app.post(&close, json!({"because": because})).await.problem(422, "invalid_value");
    }
    app.post(&close, json!({})).await.problem(422, "invalid_body");
    let because = json!({"because": "the vendor confirms the first"});
    for replayed in [false, true] {
        let answer = app.call("POST", &close, KEY, &[("idempotency-key", "k")], Some(&because)).await;
        assert_eq!(answer.headers.contains_key("idempotency-replayed"), replayed);
        let closed = answer.expect(200)["closed"].clone();
        assert_eq!(closed["because"], because["because"]);
        assert!(closed["by"].as_str().unwrap().starts_with("api:") && closed["at"].is_string(), "{closed}");
    }
    app.post(&close, because).await.problem(409, "closed_before");
    items(&app, &open, 0).await;
    items(&app, "/v1/work-items?open=false", 1).await;
    assert_eq!(app.get(&format!("/v1/orders/{no}")).await.expect(200), order, "closing it changed nothing else");
    // Another record still is another thing to look at, once.
    for energy_e4 in [220_000, 230_000] {
        let t = app.now();
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session(1), t - 60_000 * 50, t, energy_e4)));
        items(&app, &records, if energy_e4 == 220_000 { 3 } else { 4 }).await;
        items(&app, &open, 1).await;
    }
}

async fn what_was_held_needs_nobody_once_it_is_settled(on: On) {
    let app = App::start(on).await;
    orphan(&app, 1);
    orphan(&app, 2);
    other(&app, 1);
    items(&app, "/v1/orders?exception_code=orphan_record", 2).await;
    items(&app, "/v1/orders?exception_code=bad_time", 0).await;
    items(&app, "/v1/work-items?open=true&kind=orphan_record", 2).await;
    app.say(YKC, 1, app.now(), authorized(&session(1), CARD));
    settled(&app, 1).await;
    items(&app, "/v1/orders?exception_code=orphan_record", 1).await;
    items(&app, "/v1/work-items?open=true&kind=orphan_record", 1).await;
    let over = items(&app, "/v1/work-items?open=false", 1).await.remove(0);
    assert_eq!((&over["kind"], &over["closed"]["by"]), (&json!("orphan_record"), &json!("evgate")));
    assert!(over["closed"]["because"].as_str().unwrap().ends_with("COMPLETED"), "{over}");
    // That two records contradict each other is not over with that.
    items(&app, "/v1/work-items?open=true&kind=record_conflict", 1).await;
}

async fn what_is_held_and_let_go_at_once_needs_nobody(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    orphan(&app, 1);
    app.say(YKC, 1, app.now(), authorized(&session(1), CARD));
    app.run().await;
    settled(&app, 1).await;
    items(&app, "/v1/work-items", 0).await;
}

async fn open_items_are_counted(on: On) {
    let app = App::start(on).await;
    orphan(&app, 1);
    orphan(&app, 2);
    app.until("/status", |body| body["parts"]["database"]["figures"]["work_items_open"] == 2).await;
}

/// As the release before work items could be closed left its database.
async fn go_back(app: &App, on: On) {
    let older = "DROP INDEX work_items_newest; DROP INDEX work_items_open; \
        ALTER TABLE work_items DROP COLUMN closed_at_ms; ALTER TABLE work_items DROP COLUMN closed_by; \
        ALTER TABLE work_items DROP COLUMN closed_because; ALTER TABLE orders DROP COLUMN record_status; \
        DELETE FROM _sqlx_migrations WHERE version = 12";
    match on {
        On::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&app.db.url).await.unwrap();
            sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
        }
        On::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&app.db.url).await.unwrap();
            sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
        }
    }
}

async fn orders_and_items_of_an_older_release_are_found(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 1..2);
    orphan(&app, 2);
    orphan(&app, 3);
    settled(&app, 1).await;
    other(&app, 1);
    items(&app, "/v1/work-items?open=true", 3).await;
    app.say(YKC, 1, app.now(), authorized(&session(3), CARD));
    settled(&app, 2).await;
    app.halt().await;
    go_back(&app, on).await;
    app.run().await;
    items(&app, "/v1/orders?record_status=conflict", 1).await;
    items(&app, "/v1/orders?record_status=received", 2).await;
    let open = items(&app, "/v1/work-items?open=true", 2).await;
    let mut kinds: Vec<&str> = open.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["orphan_record", "record_conflict"]);
    let over = items(&app, "/v1/work-items?open=false", 1).await.remove(0);
    assert_eq!((&over["kind"], &over["closed"]["by"]), (&json!("orphan_record"), &json!("evgate")));
}
