//! Meter readings that are read before the start of their session are in its bill as if they had come after it, and what comes too late
//! for the bill is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::Config;
use events::{
    clock::Clock,
    proto::{self, envelope::Body},
};
use serde_json::{Value, json};
use support::{App, OCPP, On, T0, T1001, YKC, record, started};

on_both! {
    readings_before_their_start_are_in_the_bill
    readings_behind_a_late_start_are_in_the_bill
    live_data_of_a_session_that_only_its_record_names_is_in_the_bill
    readings_of_a_start_that_was_given_up_are_in_the_bill
    a_reading_after_the_bill_is_said_and_changes_nothing
    what_waits_is_bounded_counts_once_and_is_forgotten
}

const MINUTE: i64 = 60_000;
/// 10:40 to 12:00 in B-1: peak until 11:15, then deep valley.
const FROM: i64 = T0 - 90 * MINUTE;
const TO: i64 = T0 - 10 * MINUTE;

fn start(session: &str) -> Body {
    started(session, "Fleet1001", FROM, Some(10_000))
}

fn stop(session: &str) -> Body {
    Body::TransactionRecorded(proto::TransactionRecorded {
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(110_000),
        energy_e4: None,
        amount_e4: None,
        ..record(session, 0, TO, 100_000)
    })
}

/// A reading of the meter so many minutes after the start.
fn reading(app: &App, session: &str, after: i64, energy_e4: u64) -> proto::Envelope {
    let sample = proto::MeterSampled {
        session: session.to_owned(),
        register_e4: Some(10_000 + energy_e4),
        billable: true,
        ..proto::MeterSampled::default()
    };
    let body = Body::MeterSampled(sample);
    proto::Envelope { occurred_at_ms: FROM + after * MINUTE, ..app.event(OCPP, 1, 1, app.now(), body) }
}

/// Everything that was said is applied.
async fn applied(app: &App) {
    let vendor = uuid::Uuid::now_v7().to_string();
    let last = proto::ChargerBooted { vendor: vendor.clone(), ..proto::ChargerBooted::default() };
    app.say(OCPP, 0, app.now(), Body::ChargerBooted(last));
    app.until(&format!("/v1/chargers/{OCPP}"), |body| body["vendor"] == vendor.as_str()).await;
}

/// Source, segments and total of the bill of a session, as soon as it is made.
async fn bill(app: &App, session: &str) -> Value {
    let of = |body: &Value| {
        let items = body["items"].as_array().unwrap().iter();
        items.clone().find(|it| it["session"] == session && it["state"] == "COMPLETED").cloned()
    };
    let order = of(&app.until("/v1/orders?limit=100", |body| of(body).is_some()).await).unwrap();
    let bill = app.get(&format!("/v1/orders/{}/bill", order["order_no"].as_str().unwrap())).await.expect(200);
    let energies = bill["segments"].as_array().unwrap().iter().map(|it| it["energy_kwh"].clone());
    json!([bill["source"], energies.collect::<Vec<_>>(), bill["total_fen"]])
}

/// Start `s`, reading `m` (8 of 10 kWh in the first 35 minutes), stop `e`, in every order in which the reading is before the start.
async fn readings_before_their_start_are_in_the_bill(on: On) {
    let app = App::start(on).await;
    let say = |session: &str, what: char| match what {
        's' => app.say(OCPP, 1, app.now(), start(session)),
        'e' => app.say(OCPP, 1, app.now(), stop(session)),
        _ => app.append(&reading(&app, session, 35, 80_000)),
    };
    "sme".chars().for_each(|what| say("70", what));
    let usual = bill(&app, "70").await;
    assert_eq!((&usual[0], &usual[1]), (&json!("samples"), &json!(["8.0000", "2.0000"])));
    for (n, order) in ["mse", "mes", "ems"].into_iter().enumerate() {
        // In one batch, and each in one of its own.
        let (together, apart) = (format!("8{n}"), format!("9{n}"));
        order.chars().for_each(|what| say(&together, what));
        for what in order.chars() {
            say(&apart, what);
            applied(&app).await;
        }
        assert_eq!(bill(&app, &together).await, usual, "{order} in one batch");
        assert_eq!(bill(&app, &apart).await, usual, "{order} one by one");
    }
    let mut tx = app.store.read(T1001).await.unwrap();
    assert!(tx.waiting_counts(T1001, &[OCPP.to_owned()]).await.unwrap().is_empty(), "nothing waits any more");
}

/// The spool of the gateway that the charger left: its start, and behind it the reading that it had taken too.
async fn readings_behind_a_late_start_are_in_the_bill(on: On) {
    let app = App::start(on).await;
    app.append(&reading(&app, "71", 70, 95_000));
    app.say(OCPP, 1, app.now(), stop("71"));
    applied(&app).await;
    app.say(OCPP, 1, app.now(), start("71"));
    app.append(&reading(&app, "71", 35, 80_000));
    assert_eq!(bill(&app, "71").await[1], json!(["8.0000", "2.0000"]));
}

/// An offline card: nobody approved it, nothing says that it starts.
async fn live_data_of_a_session_that_only_its_record_names_is_in_the_bill(on: On) {
    let app = App::start(on).await;
    let trade = format!("{YKC}01{:016}", 1);
    // 11:30 to 12:10 in A-1: peak until 12:00. On the topic of live data.
    let sample = support::sessions::sample(&trade, 150_000);
    app.say(YKC, 1, T0 - 10 * MINUTE, Body::MeterSampled(sample));
    let counts = async || app.store.read(T1001).await.unwrap().waiting_counts(T1001, &[YKC.to_owned()]).await.unwrap();
    while counts().await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let offline = proto::TransactionRecorded {
        start_mode: proto::StartMode::OfflineCard.into(),
        card: "00000000d1000001".to_owned(),
        periods: vec![],
        amount_e4: None,
        ..record(&trade, T0 - 40 * MINUTE, T0, 200_000)
    };
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(offline));
    assert_eq!(bill(&app, &trade).await[1], json!(["15.0000", "5.0000"]));
}

/// T8, then it starts all the same: its record is billed (T9), by its readings.
async fn readings_of_a_start_that_was_given_up_are_in_the_bill(on: On) {
    let app = App::start_at(on, Clock::starting_at(T0, 600)).await;
    app.connect(OCPP).await;
    let order = app.post("/v1/orders", json!({"charger": OCPP, "connector": 1, "account": "user-1"})).await.expect(201);
    let tag = app.commands(1).await.into_iter().find_map(|command| match command.action {
        Some(events::commands::command::Action::StartCharging(start)) => Some(start.id_tag),
        _ => None,
    });
    app.order_in(order["order_no"].as_str().unwrap(), "START_FAILED").await;
    app.say(OCPP, 1, app.now(), started("71", &tag.unwrap(), FROM, Some(10_000)));
    app.append(&reading(&app, "71", 35, 80_000));
    app.say(OCPP, 1, app.now(), stop("71"));
    assert_eq!(bill(&app, "71").await[1], json!(["8.0000", "2.0000"]));
}

async fn a_reading_after_the_bill_is_said_and_changes_nothing(on: On) {
    let app = App::start(on).await;
    app.say(OCPP, 1, app.now(), start("71"));
    app.say(OCPP, 1, app.now(), stop("71"));
    let before = bill(&app, "71").await;
    assert_eq!(before[0], "linear");
    for after in [35, 40, 80, 90] {
        app.append(&reading(&app, "71", after, 80_000));
    }
    applied(&app).await;
    assert_eq!(bill(&app, "71").await, before, "a settled order is not changed");
    let orders = app.get("/v1/orders").await.expect(200);
    let no = orders["items"][0]["order_no"].as_str().unwrap();
    let timeline = app.get(&format!("/v1/orders/{no}/timeline")).await.expect(200);
    let lines = timeline["items"].as_array().unwrap().iter().filter(|line| line["what"] == "sample_after_bill");
    assert_eq!(lines.count(), 1, "{timeline}");
}

async fn what_waits_is_bounded_counts_once_and_is_forgotten(on: On) {
    let config = Config { samples_per_order: 2, ..Config::default() };
    let mut app = App::start_with(on, Clock::starting_at(T0, 1), config).await;
    app.halt().await;
    for session in ["1", "2", "3", "4", "5"] {
        for after in [10, 10, 20, 30] {
            app.append(&reading(&app, session, after, 10_000));
        }
    }
    app.log.flush(std::time::Duration::from_secs(10)).await.unwrap(); // one batch
    app.run().await;
    applied(&app).await;
    let mut tx = app.store.write(T1001).await.unwrap();
    let counts = tx.waiting_counts(T1001, &[OCPP.to_owned()]).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|((_, session), count)| (session.as_str(), *count)).collect();
    assert_eq!(counts, [("1", 2), ("2", 2), ("3", 2), ("4", 2)], "per session and per charger");
    assert_eq!(tx.forget_waiting(T1001, T0 - 1).await.unwrap(), 0);
    assert_eq!(tx.forget_waiting(T1001, app.now() + MINUTE).await.unwrap(), 8);
}
