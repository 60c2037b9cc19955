//! Which order a session is: an id that came twice by chance is two sessions, a repeat never is, and a trade number is one session
//! whoever delivers it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::{Config, order::Policy};
use events::{
    clock::Clock,
    proto::{self, Envelope, envelope::Body},
};
use serde_json::{Value, json};
use sqlx::Connection as _;
use support::{App, OCPP, On, T0, YKC, record, started};

on_both! {
    an_id_that_comes_again_months_later_is_another_session
    an_order_asked_for_is_found_though_its_id_was_another_sessions
    what_may_be_a_repeat_is_held_and_billed_once
    a_stop_before_the_start_of_the_second_session_is_held_not_billed_twice
    a_start_after_an_orphan_of_long_ago_is_not_its_start
    a_trade_number_is_one_session_whoever_delivers_it
    a_record_settles_an_order_that_its_own_charger_has_left
    no_charger_settles_or_ends_an_order_that_another_still_has
    a_foreign_record_is_held_before_and_after_the_true_one
    a_start_under_anothers_number_finds_no_payer
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

/// An offline card, told under both numbers of a charger, either one first: whose it is pays once.
async fn a_trade_number_is_one_session_whoever_delivers_it(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let [a, b] = [(YKC_2, 2), (YKC, 3)].map(|(charger, n)| event(&app, charger, t, card(&number(n), 200_000, t)));
    let [c, d] = [(YKC, 2), (YKC_2, 3)].map(|(charger, n)| event(&app, charger, t, card(&number(n), 200_000, t)));
    say(&app, &[a, b, c, d]).await;
    let all = orders(&app).await;
    assert_eq!(brief(&all), [("COMPLETED", "20.0000"); 2]);
    // Other figures are another version of it, for a person, as from the charger itself.
    let once = booked(&app).await;
    say(&app, &[event(&app, YKC_2, t, card(&number(2), 210_000, t))]).await;
    assert_eq!((orders(&app).await, booked(&app).await), (all, once.clone()));
    // Under the number that has no such order they are an order of its own, which nobody pays for yet, though the card is known.
    say(&app, &[event(&app, YKC_2, t, card(&number(3), 210_000, t))]).await;
    let held = by_number(&app).await;
    assert_eq!((held.len(), &held[2]["state"], &held[2]["account"]), (3, &json!("EXCEPTION"), &Value::Null));
    assert_eq!((in_short(&held)[2].0.as_str(), booked(&app).await), ("3 of 2", once));
}

fn number(n: u64) -> String {
    format!("{YKC}01{n:016}")
}

/// A card that was approved at the charger of the number, and charges there since `from_ms`.
fn charging(app: &App, session: &str, from_ms: i64) -> [Envelope; 2] {
    let authorized = proto::SessionAuthorized {
        session: session.to_owned(),
        token: "00000000d1000001".to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    };
    let approved = event(app, YKC, from_ms, Body::SessionAuthorized(authorized));
    [approved, event(app, YKC, from_ms, started(session, "", from_ms, None))]
}

fn bill(app: &App, charger: &str, session: &str, energy_e4: u64, at_ms: i64) -> Envelope {
    event(app, charger, at_ms, Body::TransactionRecorded(record(session, at_ms - 10 * MINUTE, at_ms, energy_e4)))
}

/// The orders by trade number, then by charger.
async fn by_number(app: &App) -> Vec<Value> {
    let page = app.get("/v1/orders?limit=100").await.expect(200);
    let mut orders = page["items"].as_array().unwrap().clone();
    orders.sort_by_key(|order| (order["session"].to_string(), order["charger"].to_string()));
    orders
}

/// Last digit of the trade number and of the charger, state, fen.
fn in_short(orders: &[Value]) -> Vec<(String, &str, i64)> {
    let last = |order: &Value, name: &str| order[name].as_str().unwrap().chars().next_back().unwrap();
    let short = |order| format!("{} of {}", last(order, "session"), last(order, "charger"));
    let fen = |order: &Value| order["total_fen"].as_i64().unwrap_or(0);
    orders.iter().map(|order| (short(order), order["state"].as_str().unwrap(), fen(order))).collect()
}

fn are(wanted: &[(&str, &'static str, i64)]) -> Vec<(String, &'static str, i64)> {
    wanted.iter().map(|(name, state, fen)| ((*name).to_owned(), *state, *fen)).collect()
}

/// What the timeline of an order says of another charger.
async fn of_others(app: &App, order: &Value) -> Vec<(String, String)> {
    let timeline = app.get(&format!("/v1/orders/{}/timeline", order["order_no"].as_str().unwrap())).await.expect(200);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = timeline["items"].as_array().unwrap().iter().map(|line| (text(line, "what"), text(line, "detail")));
    lines.filter(|(what, _)| what == "number_of_another" || what == "record_by_another").collect()
}

/// The charger's board was changed and has a number of its own now: it says what it still had.
async fn a_record_settles_an_order_that_its_own_charger_has_left(on: On) {
    let orders = Policy { record_late_ms: 1, record_missing_ms: 2, ..Policy::default() };
    let app = App::start_with(on, Clock::starting_at(T0, 1), Config { orders, ..Config::default() }).await;
    let t = app.now();
    app.connect(YKC).await;
    for n in [1, 2] {
        say(&app, &charging(&app, &number(n), t - 10 * MINUTE)).await;
        let ended = proto::SessionEnded { session: number(n), ..proto::SessionEnded::default() };
        app.append(&event(&app, YKC, app.now(), Body::SessionEnded(ended)));
        let held = |body: &Value| body["items"].as_array().unwrap().len() as u64 == n;
        app.until("/v1/orders?state=EXCEPTION", held).await;
    }
    // While its own charger is here it may still say it.
    say(&app, &[bill(&app, YKC_2, &number(1), 200_000, t)]).await;
    let held = [("1 of 1", "EXCEPTION", 0), ("1 of 2", "EXCEPTION", 0), ("2 of 1", "EXCEPTION", 0)];
    assert_eq!(in_short(&by_number(&app).await), are(&held));
    app.append(&event(&app, YKC, app.now(), Body::Disconnected(proto::Disconnected::default())));
    app.until(&format!("/v1/chargers/{YKC}"), |body| body["online"] == false).await;
    let told = bill(&app, YKC_2, &number(2), 200_000, t);
    say(&app, &[told.clone(), told]).await;
    let orders = by_number(&app).await;
    assert_eq!(in_short(&orders), are(&[held[0], held[1], ("2 of 1", "COMPLETED", 2147)]));
    assert_eq!(booked(&app).await, 2147);
    let by = ("record_by_another".to_owned(), format!("charger {YKC_2} delivers its record"));
    assert_eq!(of_others(&app, &orders[2]).await, [by]);
}

/// Whatever another charger says under the number of an order that runs: the order goes on, and its own record is billed.
async fn no_charger_settles_or_ends_an_order_that_another_still_has(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    app.connect(YKC_2).await;
    let t = app.now();
    say(&app, &charging(&app, &number(1), t - 10 * MINUTE)).await;
    // It ends the session, charges under its number, takes samples, misses its record, is unplugged, ends it again.
    let ended = || Body::SessionEnded(proto::SessionEnded { session: number(1), ..proto::SessionEnded::default() });
    let sample = proto::MeterSampled {
        session: number(1),
        energy_e4: Some(9_000_000),
        billable: true,
        ..proto::MeterSampled::default()
    };
    let unplugged = proto::StatusChanged {
        status: proto::ConnectorStatus::Available.into(),
        plugged: Some(false),
        ..proto::StatusChanged::default()
    };
    let alarm = proto::AlarmRaised { code: "record_missing".to_owned(), detail: number(1), active: true };
    let said = [
        ended(),
        Body::MeterSampled(sample.clone()),
        started(&number(1), "", t, None),
        Body::MeterSampled(sample),
        Body::AlarmRaised(alarm),
        Body::StatusChanged(unplugged),
        ended(),
    ];
    let said: Vec<_> = said.into_iter().map(|body| event(&app, YKC_2, app.now(), body)).collect();
    say(&app, &said).await;
    let orders = by_number(&app).await;
    assert_eq!((orders.len(), &orders[0]["state"], &orders[1]["account"]), (2, &json!("CHARGING"), &Value::Null));
    assert_eq!(orders[0]["energy_seen_kwh"], Value::Null, "{}", orders[0]);
    // Nor is an order that charges on while its charger is offline settled: the charger comes back with its record.
    let gone = Body::Disconnected(proto::Disconnected::default());
    say(&app, &[event(&app, YKC, app.now(), gone), bill(&app, YKC_2, &number(1), 100_000, t)]).await;
    let orders = by_number(&app).await;
    assert_eq!(in_short(&orders), are(&[("1 of 1", "CHARGING", 0), ("1 of 2", "EXCEPTION", 0)]));
    assert_eq!((&orders[0]["charger_offline"], &orders[1]["exception_code"]), (&json!(true), &json!("orphan_record")));
    say(&app, &[bill(&app, YKC, &number(1), 200_000, t)]).await;
    let orders = by_number(&app).await;
    assert_eq!(in_short(&orders), are(&[("1 of 1", "COMPLETED", 2147), ("1 of 2", "EXCEPTION", 0)]));
    assert_eq!((&orders[0]["record_status"], booked(&app).await), (&json!("received"), json!(2147)));
}

async fn a_foreign_record_is_held_before_and_after_the_true_one(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    // Its own charger is here, and may say it however long that takes: two of the orders wait for their records already.
    app.connect(YKC).await;
    for n in [1, 2, 3] {
        say(&app, &charging(&app, &number(n), t - 10 * MINUTE)).await;
    }
    let [first, second, third] = [1, 2, 3].map(|n| bill(&app, YKC, &number(n), 200_000, t));
    // Foreign first, one of an offline card that is known.
    let foreign = [bill(&app, YKC_2, &number(1), 100_000, t), event(&app, YKC_2, t, card(&number(2), 100_000, t))];
    say(&app, &foreign).await;
    let orders = by_number(&app).await;
    for (order, n) in [(&orders[1], 1), (&orders[3], 2)] {
        assert_eq!((&order["charger"], &order["session"]), (&json!(YKC_2), &json!(number(n))));
        assert_eq!((&order["exception_code"], &order["account"]), (&json!("orphan_record"), &Value::Null));
    }
    assert_eq!(booked(&app).await, 0);
    // True first: the same record from elsewhere is a repeat, another one is held.
    let repeat = bill(&app, YKC_2, &number(3), 200_000, t);
    let other = bill(&app, YKC_2, &number(3), 100_000, t);
    say(&app, &[first.clone(), second.clone(), third.clone(), repeat.clone()]).await;
    assert_eq!(by_number(&app).await.len(), 5);
    say(&app, std::slice::from_ref(&other)).await;
    let wanted = [1, 2, 3].map(|n| [(format!("{n} of 1"), "COMPLETED", 2147), (format!("{n} of 2"), "EXCEPTION", 0)]);
    assert_eq!(in_short(&by_number(&app).await), wanted.concat());
    let all: Vec<_> = [vec![other, repeat, third, second, first], foreign.to_vec()].concat();
    say(&app, &all).await;
    let orders = by_number(&app).await;
    assert_eq!((in_short(&orders), booked(&app).await), (wanted.concat(), json!(3 * 2147)));
    for pair in orders.chunks(2) {
        assert_ne!(pair[0]["record_status"], "conflict", "{}", pair[0]);
        for (one, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let name = |name: &str| other[name].as_str().unwrap().to_owned();
            let detail = format!("order {} of charger {} has this trade number", name("order_no"), name("charger"));
            assert_eq!(of_others(&app, one).await, [("number_of_another".to_owned(), detail)]);
        }
    }
}

/// Nor does a start with a known card, before the record or after it, say who pays.
async fn a_start_under_anothers_number_finds_no_payer(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    for n in [1, 2] {
        say(&app, &charging(&app, &number(n), t - 10 * MINUTE)).await;
        let start = event(&app, YKC_2, t, started(&number(n), "00000000d1000002", t - 10 * MINUTE, None));
        let mut said = [start, bill(&app, YKC_2, &number(n), 100_000, t)];
        said.rotate_left(usize::from(n == 2));
        say(&app, &said).await;
    }
    let orders = by_number(&app).await;
    for order in [&orders[1], &orders[3]] {
        assert_eq!((&order["exception_code"], &order["account"]), (&json!("orphan_record"), &Value::Null), "{order}");
    }
    assert_eq!((orders.len(), booked(&app).await), (4, json!(0)));
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
