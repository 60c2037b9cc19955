//! Which order a session is: an id that came twice by chance is two sessions, a repeat never is, and a trade number is one session
//! whoever delivers it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use events::proto::{self, Envelope, envelope::Body};
use serde_json::{Value, json};
use sqlx::Connection as _;
use support::{App, OCPP, On, YKC, record, started};

on_both! {
    an_id_that_comes_again_months_later_is_another_session
    an_order_asked_for_is_found_though_its_id_was_another_sessions
    what_may_be_a_repeat_is_held_and_billed_once
    a_stop_before_the_start_of_the_second_session_is_held_not_billed_twice
    a_start_after_an_orphan_of_long_ago_is_not_its_start
    a_trade_number_is_one_session_whoever_delivers_it
    a_number_made_of_no_chargers_is_each_chargers_own
    orders_of_an_older_release_are_found
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const YKC_2: &str = "10010001000002";

/// An event of the charger at the moment it happened.
fn event(app: &App, charger: &str, at_ms: i64, body: Body) -> Envelope {
    app.event(charger, 1, 1, at_ms, body)
}

/// 10 kWh from this meter reading on, over ten minutes, under transaction 71: start, one sample, stop.
fn session(app: &App, at_ms: i64, token: &str, meter_e4: u64) -> [Envelope; 3] {
    let sample = proto::MeterSampled {
        session: "71".to_owned(),
        register_e4: Some(meter_e4 + 50_000),
        billable: true,
        ..proto::MeterSampled::default()
    };
    [
        event(app, OCPP, at_ms, started("71", token, at_ms, Some(meter_e4))),
        event(app, OCPP, at_ms + 5 * MINUTE, Body::MeterSampled(sample)),
        event(app, OCPP, at_ms + 10 * MINUTE, stopped(at_ms + 10 * MINUTE, meter_e4 + 100_000)),
    ]
}

fn stopped(at_ms: i64, meter_end_e4: u64) -> Body {
    let mut digest = [3_u8; 32];
    digest[..8].copy_from_slice(&at_ms.to_le_bytes());
    digest[8..16].copy_from_slice(&meter_end_e4.to_le_bytes());
    Body::TransactionRecorded(proto::TransactionRecorded {
        digest: digest.to_vec().into(),
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(meter_end_e4),
        energy_e4: None,
        amount_e4: None,
        ..record("71", 0, at_ms, 0)
    })
}

async fn say(app: &App, events: &[Envelope]) {
    events.iter().for_each(|event| app.append(event));
    // Applied, all of them: whatever comes last says so.
    let vendor = format!("after {}", uuid::Uuid::now_v7());
    let last = proto::ChargerBooted { vendor: vendor.clone(), ..proto::ChargerBooted::default() };
    app.say(OCPP, 0, app.now() + DAY, Body::ChargerBooted(last));
    app.until(&format!("/v1/chargers/{OCPP}"), |body| body["vendor"] == vendor.as_str()).await;
}

/// State, account, energy, amount and what is known of the record, of every order, oldest first.
async fn orders(app: &App) -> Vec<Value> {
    let page = app.get("/v1/orders?limit=100").await.expect(200);
    let facts = |order: &Value| {
        ["state", "account", "energy_kwh", "total_fen", "charger", "session"].map(|name| order[name].clone())
    };
    let mut orders: Vec<_> = page["items"].as_array().unwrap().iter().map(|order| json!(facts(order))).collect();
    orders.reverse();
    orders
}

fn brief(orders: &[Value]) -> Vec<(&str, &str)> {
    orders.iter().map(|order| (order[0].as_str().unwrap(), order[2].as_str().unwrap_or("-"))).collect()
}

async fn booked(app: &App) -> Value {
    app.get("/v1/summary").await.expect(200)["booked_fen"].clone()
}

async fn an_id_that_comes_again_months_later_is_another_session(on: On) {
    let app = App::start(on).await;
    let (old, new) = (app.now() - 90 * DAY, app.now() - 30 * MINUTE);
    let first = session(&app, old, "Fleet1001", 10_000);
    let second = session(&app, new, "Fleet1001", 9_000_000);
    say(&app, &first).await;
    let once = booked(&app).await;
    say(&app, &second).await;
    let settled = orders(&app).await;
    assert_eq!(brief(&settled), [("COMPLETED", "10.0000"), ("COMPLETED", "10.0000")]);
    let twice = booked(&app).await;
    assert!(twice.as_i64() > once.as_i64() && once.as_i64() > Some(0), "{once} {twice}");
    // A station that repeats itself, a gateway's spool that is drained late, a log that is read again from its start.
    let all: Vec<_> = first.iter().chain(&second).cloned().collect();
    for round in [all.clone(), all.iter().rev().cloned().collect(), [second.to_vec(), first.to_vec()].concat()] {
        say(&app, &round).await;
        assert_eq!(orders(&app).await, settled);
    }
    // Sent again now, under an id of the message that is new: received now, happened then.
    let again: Vec<_> = all.iter().map(|it| Envelope { received_at_ms: app.now(), ..it.clone() }).collect();
    say(&app, &again).await;
    assert_eq!((orders(&app).await, booked(&app).await), (settled, twice));
}

async fn an_order_asked_for_is_found_though_its_id_was_another_sessions(on: On) {
    let app = App::start(on).await;
    let first = session(&app, app.now() - 90 * DAY, "Fleet1001", 10_000);
    say(&app, &first).await;
    app.connect(OCPP).await;
    let order = app.post("/v1/orders", json!({"charger": OCPP, "connector": 1, "account": "user-1"})).await.expect(201);
    let order_no = order["order_no"].as_str().unwrap();
    let second = session(&app, app.now(), order["id_tag"].as_str().unwrap(), 9_000_000);
    app.append(&second[0]);
    let charging = app.order_in(order_no, "CHARGING").await;
    assert_eq!(charging["session"], "71");
    // Stopping it names the session to the charger as always.
    app.post(&format!("/v1/orders/{order_no}/stop"), json!({})).await.expect(202);
    say(&app, &second[1..]).await;
    let settled = app.order_in(order_no, "COMPLETED").await;
    assert_eq!((&settled["energy_kwh"], &settled["account"]), (&json!("10.0000"), &json!("user-1")));
    let known = orders(&app).await;
    assert_eq!((known.len(), known[0][0].as_str()), (2, Some("COMPLETED")));
    say(&app, &first).await;
    say(&app, &second).await;
    assert_eq!(orders(&app).await, known);
}

/// The same tag and meter at another time, or another meter at nearly the same time: it may be one start, read differently.
async fn what_may_be_a_repeat_is_held_and_billed_once(on: On) {
    let app = App::start(on).await;
    let t = app.now() - 30 * DAY;
    say(&app, &session(&app, t, "Fleet1001", 10_000)).await;
    let once = booked(&app).await;
    // A time that cannot be read is the time of receipt, each time another.
    say(&app, &[event(&app, OCPP, t + 20 * DAY, started("71", "FLEET1001", t + 20 * DAY, Some(10_000)))]).await;
    assert_eq!(brief(&orders(&app).await), [("COMPLETED", "10.0000")]);
    for (at_ms, meter_e4) in [(t + 20 * DAY, 10_000), (t + 47 * 60 * MINUTE, 9_000_000)] {
        say(&app, &session(&app, at_ms, "Fleet1001", meter_e4)).await;
        let page = app.get("/v1/orders").await.expect(200);
        assert_eq!(brief(&orders(&app).await), [("COMPLETED", "10.0000")]);
        assert_eq!(page["items"][0]["record_status"], "conflict", "kept, and a person is told");
        assert_eq!(booked(&app).await, once);
    }
}

async fn a_stop_before_the_start_of_the_second_session_is_held_not_billed_twice(on: On) {
    let app = App::start(on).await;
    let [start, sample, stop] = session(&app, app.now() - 30 * MINUTE, "Fleet1001", 9_000_000);
    say(&app, &session(&app, app.now() - 90 * DAY, "Fleet1001", 10_000)).await;
    let once = booked(&app).await;
    say(&app, &[stop.clone(), start, sample, stop]).await;
    let known = orders(&app).await;
    assert_eq!(brief(&known), [("COMPLETED", "10.0000"), ("CHARGING", "-")]);
    let page = app.get("/v1/orders").await.expect(200);
    assert_eq!((&page["items"][1]["record_status"], booked(&app).await), (&json!("conflict"), once));
}

async fn a_start_after_an_orphan_of_long_ago_is_not_its_start(on: On) {
    let app = App::start(on).await;
    let [_, _, orphan] = session(&app, app.now() - 90 * DAY, "Fleet1001", 10_000);
    say(&app, &[orphan]).await;
    say(&app, &session(&app, app.now() - 30 * MINUTE, "Fleet1001", 9_000_000)).await;
    assert_eq!(brief(&orders(&app).await), [("EXCEPTION", "-"), ("COMPLETED", "10.0000")]);
}

fn card(session: &str, energy_e4: u64, at_ms: i64) -> Body {
    let mut body = record(session, at_ms - 10 * MINUTE, at_ms, energy_e4);
    body.start_mode = proto::StartMode::OfflineCard.into();
    body.card = "00000000d1000002".to_owned();
    body.amount_e4 = None;
    Body::TransactionRecorded(body)
}

async fn a_trade_number_is_one_session_whoever_delivers_it(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let number = |n: u64| format!("{YKC}01{n:016}");
    // The charger's board was changed and has a number of its own now: it says what it still had.
    let authorized = proto::SessionAuthorized {
        session: number(1),
        token: "00000000d1000001".to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    };
    let approved = event(&app, YKC, t, Body::SessionAuthorized(authorized));
    let seen = event(&app, YKC_2, t, started(&number(1), "", t - 10 * MINUTE, None));
    let told = event(&app, YKC_2, t, Body::TransactionRecorded(record(&number(1), t - 10 * MINUTE, t, 200_000)));
    say(&app, &[approved.clone(), seen.clone(), told.clone()]).await;
    let settled = orders(&app).await;
    assert_eq!(brief(&settled), [("COMPLETED", "20.0000")]);
    assert_eq!(settled[0][4], YKC);
    // An offline card, told under both numbers, either one first: whose it is pays once.
    let [a, b] = [(YKC_2, 2), (YKC, 3)].map(|(charger, n)| event(&app, charger, t, card(&number(n), 200_000, t)));
    let [c, d] = [(YKC, 2), (YKC_2, 3)].map(|(charger, n)| event(&app, charger, t, card(&number(n), 200_000, t)));
    say(&app, &[a, b, c, d, told, seen, approved]).await;
    let all = orders(&app).await;
    assert_eq!(brief(&all), [("COMPLETED", "20.0000"); 3]);
    // Other figures are another version of it, for a person, as from the charger itself.
    let once = booked(&app).await;
    say(&app, &[event(&app, YKC_2, t, card(&number(2), 210_000, t))]).await;
    assert_eq!((orders(&app).await, booked(&app).await), (all, once));
}

/// Two chargers that were never given a number make the same ones at the same second.
async fn a_number_made_of_no_chargers_is_each_chargers_own(on: On) {
    let app = App::start(on).await;
    let (t, number) = (app.now(), format!("{:014}01{:016}", 0, 7));
    let both = [YKC, YKC_2].map(|charger| event(&app, charger, t, card(&number, 200_000, t)));
    say(&app, &both).await;
    let settled = orders(&app).await;
    assert_eq!(brief(&settled), [("COMPLETED", "20.0000"); 2]);
    say(&app, &both).await;
    assert_eq!(orders(&app).await, settled);
}

/// As the release before `session_use` left its database.
async fn go_back(app: &App, on: On) {
    let older = "DROP INDEX orders_by_session; ALTER TABLE orders DROP COLUMN session_use; \
        CREATE UNIQUE INDEX orders_by_session ON orders (tenant_id, session, charger); \
        UPDATE orders SET facts = REPLACE(REPLACE(facts, ',\"session_use\":0', ''), ',\"estimate_asked\":null', ''); \
        DELETE FROM _sqlx_migrations WHERE version = 7";
    let left = "SELECT COUNT(*) FROM orders WHERE facts LIKE '%session_use%' OR facts LIKE '%estimate_asked%'";
    let left: i64 = match on {
        On::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&app.db.url).await.unwrap();
            sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
            sqlx::query_scalar(left).fetch_one(&mut connection).await.unwrap()
        }
        On::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&app.db.url).await.unwrap();
            sqlx::raw_sql(older).execute(&mut connection).await.unwrap();
            sqlx::query_scalar(left).fetch_one(&mut connection).await.unwrap()
        }
    };
    assert_eq!(left, 0);
}

async fn orders_of_an_older_release_are_found(on: On) {
    let mut app = App::start(on).await;
    let first = session(&app, app.now() - 90 * DAY, "Fleet1001", 10_000);
    say(&app, &first).await;
    let settled = orders(&app).await;
    app.halt().await;
    go_back(&app, on).await;
    app.run().await;
    assert_eq!(orders(&app).await, settled);
    say(&app, &first).await;
    assert_eq!(orders(&app).await, settled, "the same session");
    say(&app, &session(&app, app.now() - 30 * MINUTE, "Fleet1001", 9_000_000)).await;
    assert_eq!(brief(&orders(&app).await), [("COMPLETED", "10.0000"); 2]);
}
