//! T22: what has no record is settled by what one person estimates and another approves, once; and what a record changes about that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::{Config, order::Policy, registry};
use events::{
    clock::Clock,
    proto::{self, envelope::Body},
};
use serde_json::{Value, json};
use support::{Answer, App, KEY, OTHER_KEY, On, T0, YKC, record, started};

on_both! {
    two_people_settle_what_has_no_record
    a_record_after_the_estimate_is_a_conflict_only_if_it_differs
    a_record_that_comes_first_counts
    an_estimate_that_cannot_be_billed_gives_way_to_the_record
    an_estimate_that_was_held_is_billed_when_it_is_approved_again
    an_orphan_is_paid_by_whom_the_estimate_names
    only_what_is_held_is_estimated_and_only_with_figures_that_can_be
}

const MINUTE: i64 = 60_000;
/// The second person's key.
const SECOND: &str = "evgate-second-1001";

/// Records count as missing at once, and tenant 1001 has two keys.
async fn app(on: On) -> App {
    let orders = Policy { record_late_ms: 1, record_missing_ms: 2, ..Policy::default() };
    let app = App::start_with(on, Clock::starting_at(T0, 1), Config { orders, ..Config::default() }).await;
    let path = app.db.folder.path().join("keys.toml");
    let keys = format!("{{ name = \"ann\", key = \"{KEY}\" }}, {{ name = \"bob\", key = \"{SECOND}\" }}");
    std::fs::write(&path, format!("[[tenants]]\nid = 1001\nname = \"t\"\nkeys = [{keys}]\n")).unwrap();
    registry::apply(&app.store, &path, false, app.now()).await.unwrap();
    app
}

fn session(counter: u64) -> String {
    format!("{YKC}01{counter:016}")
}

/// A card charged from 12:00 and the charger said no more: its order, held.
async fn held(app: &App, counter: u64) -> String {
    let (t, session) = (app.now(), session(counter));
    let authorized = proto::SessionAuthorized {
        session: session.clone(),
        token: "00000000d1000001".to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    };
    app.say(YKC, 1, t, Body::SessionAuthorized(authorized));
    app.say(YKC, 1, t, started(&session, "", T0 - 10 * MINUTE, None));
    let ended = proto::SessionEnded { session, ..proto::SessionEnded::default() };
    app.say(YKC, 1, t, Body::SessionEnded(ended));
    let list = app.until("/v1/orders?state=EXCEPTION", |body| body["items"][0]["exception_code"] == "record_missing");
    list.await["items"][0]["order_no"].as_str().unwrap().to_owned()
}

/// 20 kWh from 12:00 to 12:10, all in one period: 2147 fen.
fn figures() -> Value {
    json!({"energy_kwh": "20.0000", "started_at": "2026-03-10T12:00:00+08:00", "ended_at": "2026-03-10T12:10:00+08:00",
        "reason": "the charger burnt down"})
}

async fn say(app: &App, key: &str, path: &str, body: &Value) -> Answer {
    let once = format!("\"{}\"", uuid::Uuid::now_v7());
    app.call("POST", path, key, &[("idempotency-key", &once)], Some(body)).await
}

async fn settle(app: &App, order_no: &str, figures: &Value) -> Value {
    let path = format!("/v1/orders/{order_no}/estimate");
    say(app, KEY, &path, figures).await.expect(202);
    say(app, SECOND, &format!("{path}/approve"), figures).await.expect(202)
}

async fn recorded(app: &App, counter: u64, energy_e4: u64) {
    let mut body = record(&session(counter), T0 - 10 * MINUTE, T0, energy_e4);
    body.amount_e4 = None;
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(body));
}

async fn booked(app: &App) -> Value {
    app.get("/v1/summary").await.expect(200)["booked_fen"].clone()
}

async fn lines(app: &App, order_no: &str) -> Vec<Value> {
    let timeline = app.get(&format!("/v1/orders/{order_no}/timeline")).await.expect(200);
    timeline["items"].as_array().unwrap().clone()
}

async fn two_people_settle_what_has_no_record(on: On) {
    let app = app(on).await;
    let order_no = held(&app, 1).await;
    let ask = format!("/v1/orders/{order_no}/estimate");
    let approve = format!("{ask}/approve");
    say(&app, SECOND, &approve, &figures()).await.problem(409, "no_estimate");
    let asked = say(&app, KEY, &ask, &figures()).await.expect(202);
    assert_eq!((&asked["state"], &asked["energy_source"]), (&json!("EXCEPTION"), &Value::Null));
    let estimate = &asked["estimate"];
    assert_eq!((&estimate["requested_by"], &estimate["approved_by"]), (&json!("ann"), &Value::Null));
    assert_eq!((&estimate["energy_kwh"], &estimate["account"]), (&json!("20.0000"), &asked["account"]));
    // Asked again it is the same question, also by whom is to approve it.
    let before = lines(&app, &order_no).await;
    say(&app, KEY, &ask, &figures()).await.expect(202);
    assert_eq!(say(&app, SECOND, &ask, &figures()).await.expect(202)["estimate"]["requested_by"], "ann");
    assert_eq!(lines(&app, &order_no).await, before);
    // One person is not two, and nobody approves what they have not seen.
    say(&app, KEY, &approve, &figures()).await.problem(409, "second_person_needed");
    for (name, value) in [("energy_kwh", "2.0000"), ("ended_at", "2026-03-10T12:09:00+08:00"), ("reason", "other")] {
        let mut other = figures();
        other[name] = json!(value);
        say(&app, SECOND, &approve, &other).await.problem(409, "estimate_differs");
    }
    assert_eq!(booked(&app).await, 0);
    let settled = say(&app, SECOND, &approve, &figures()).await.expect(202);
    assert_eq!((&settled["state"], &settled["total_fen"]), (&json!("COMPLETED"), &json!(2147)), "{settled}");
    assert_eq!((&settled["energy_source"], &settled["estimate"]["approved_by"]), (&json!("estimate"), &json!("bob")));
    let lines = lines(&app, &order_no).await;
    let line = lines.iter().find(|line| line["transition"] == "T22").unwrap();
    assert_eq!(line["detail"], "20.0000 kWh, asked by ann, approved by bob: the charger burnt down");
    // Approved again it is the same approval; asked again it is too late.
    assert_eq!(say(&app, SECOND, &approve, &figures()).await.expect(202)["version"], settled["version"]);
    say(&app, KEY, &ask, &figures()).await.problem(409, "order_not_held");
    assert_eq!(booked(&app).await, 2147);
    assert_eq!(app.get(&format!("/v1/orders/{order_no}/bill")).await.expect(200)["total_fen"], 2147);
}

async fn a_record_after_the_estimate_is_a_conflict_only_if_it_differs(on: On) {
    let app = app(on).await;
    // The tolerance is 0.1 kWh.
    for (counter, energy_e4, status) in [(1, 200_900, "received"), (2, 201_100, "conflict")] {
        let order_no = held(&app, counter).await;
        settle(&app, &order_no, &figures()).await;
        recorded(&app, counter, energy_e4).await;
        let path = format!("/v1/orders/{order_no}");
        let order = app.until(&path, |body| body["record_status"] != "none").await;
        assert_eq!((&order["record_status"], &order["state"]), (&json!(status), &json!("COMPLETED")));
        assert_eq!((&order["energy_kwh"], &order["energy_source"]), (&json!("20.0000"), &json!("estimate")));
        assert_eq!(booked(&app).await, 2147 * counter);
    }
}

async fn a_record_that_comes_first_counts(on: On) {
    let app = app(on).await;
    let order_no = held(&app, 1).await;
    let ask = format!("/v1/orders/{order_no}/estimate");
    say(&app, KEY, &ask, &figures()).await.expect(202);
    recorded(&app, 1, 100_000).await;
    let order = app.order_in(&order_no, "COMPLETED").await;
    assert_eq!((&order["energy_source"], &order["estimate"]), (&json!("record"), &Value::Null));
    say(&app, SECOND, &format!("{ask}/approve"), &figures()).await.problem(409, "order_not_held");
    assert_eq!(booked(&app).await, order["total_fen"]);
}

async fn an_estimate_that_cannot_be_billed_gives_way_to_the_record(on: On) {
    let app = app(on).await;
    let order_no = held(&app, 1).await;
    let mut too_much = figures();
    too_much["energy_kwh"] = json!("999.0000");
    let order = settle(&app, &order_no, &too_much).await;
    assert_eq!((&order["state"], &order["exception_code"]), (&json!("EXCEPTION"), &json!("energy_implausible")));
    assert_eq!(booked(&app).await, 0);
    recorded(&app, 1, 200_000).await;
    let order = app.order_in(&order_no, "COMPLETED").await;
    assert_eq!((&order["energy_kwh"], &order["energy_source"]), (&json!("20.0000"), &json!("record")));
    assert_eq!((&order["record_status"], booked(&app).await), (&json!("received"), json!(2147)));
}

/// 20 kWh in ten minutes are too much for 7 kW. Once the power in the registry is put right, the same two people say the same again.
async fn an_estimate_that_was_held_is_billed_when_it_is_approved_again(on: On) {
    let app = app(on).await;
    let order_no = held(&app, 1).await;
    let power = |watts: u32| {
        let (app, body) = (&app, json!({"rated_power_w": watts}));
        async move { app.call("PATCH", &format!("/v1/chargers/{YKC}"), KEY, &[], Some(&body)).await.expect(200) }
    };
    let rated = power(7_000).await["rated_power_w"].clone();
    assert_eq!(rated, 7_000);
    let order = settle(&app, &order_no, &figures()).await;
    assert_eq!((&order["state"], &order["exception_code"]), (&json!("EXCEPTION"), &json!("energy_implausible")));
    let approve = format!("/v1/orders/{order_no}/estimate/approve");
    say(&app, SECOND, &approve, &figures()).await.problem(409, "no_estimate");
    power(180_000).await;
    let order = settle(&app, &order_no, &figures()).await;
    assert_eq!((&order["state"], &order["total_fen"]), (&json!("COMPLETED"), &json!(2147)));
    assert_eq!(say(&app, SECOND, &approve, &figures()).await.expect(202)["version"], order["version"]);
    assert_eq!(booked(&app).await, 2147);
}

async fn an_orphan_is_paid_by_whom_the_estimate_names(on: On) {
    let app = app(on).await;
    recorded(&app, 1, 200_000).await;
    let list = app.until("/v1/orders", |body| body["items"][0]["exception_code"] == "orphan_record").await;
    let order_no = list["items"][0]["order_no"].as_str().unwrap();
    let ask = format!("/v1/orders/{order_no}/estimate");
    let refused = say(&app, KEY, &ask, &figures()).await.problem(422, "invalid_value");
    assert_eq!(refused["errors"][0]["pointer"], "/account");
    let mut named = figures();
    named["account"] = json!("user-7");
    say(&app, KEY, &ask, &named).await.expect(202);
    let mut other = figures();
    other["account"] = json!("user-8");
    say(&app, SECOND, &format!("{ask}/approve"), &other).await.problem(409, "estimate_differs");
    let order = say(&app, SECOND, &format!("{ask}/approve"), &named).await.expect(202);
    assert_eq!((&order["state"], &order["account"]), (&json!("COMPLETED"), &json!("user-7")));
    recorded(&app, 1, 200_000).await;
    let path = format!("/v1/orders/{order_no}");
    app.until(&path, |body| body["record_status"] == "duplicate").await;
    assert_eq!(booked(&app).await, 2147);
}

async fn only_what_is_held_is_estimated_and_only_with_figures_that_can_be(on: On) {
    let app = app(on).await;
    app.connect(YKC).await;
    let body = json!({"charger": YKC, "connector": 2, "account": "user-1"});
    let order = app.post("/v1/orders", body).await.expect(201);
    let starting = format!("/v1/orders/{}/estimate", order["order_no"].as_str().unwrap());
    say(&app, KEY, &starting, &figures()).await.problem(409, "order_not_held");
    say(&app, SECOND, &format!("{starting}/approve"), &figures()).await.problem(409, "order_not_held");
    say(&app, KEY, "/v1/orders/none/estimate", &figures()).await.problem(404, "not_found");
    let order_no = held(&app, 1).await;
    let ask = format!("/v1/orders/{order_no}/estimate");
    say(&app, OTHER_KEY, &ask, &figures()).await.problem(404, "not_found");
    for (name, value) in [
        ("energy_kwh", "-1"),
        ("energy_kwh", "1.00001"),
        ("started_at", "yesterday"),
        ("ended_at", "2026-03-10T11:59:59+08:00"),
        ("ended_at", "2026-03-10T23:00:00+08:00"),
        ("reason", " "),
        ("account", "somebody else"),
    ] {
        let mut wrong = figures();
        wrong[name] = json!(value);
        let refused = say(&app, KEY, &ask, &wrong).await.problem(422, "invalid_value");
        assert_eq!(refused["errors"][0]["pointer"], format!("/{name}"), "{value}");
    }
    // Nothing was delivered: nothing is due.
    let mut nothing = figures();
    nothing["energy_kwh"] = json!("0");
    assert_eq!(settle(&app, &order_no, &nothing).await["state"], "CLOSED_ZERO");
    assert_eq!(booked(&app).await, 0);
}
