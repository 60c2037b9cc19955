//! How fast the consumer applies events: the mix of a charging fleet (telemetry, status, starts, records), read from a log that
//! is already full. Prints the figure; the floor is far below what is measured, so that it fails on a lost batch, not on a busy
//! machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::float_arithmetic
)]

mod support;

use std::time::Instant;

use events::{
    clock::Clock,
    proto::{self, envelope::Body},
};
use support::{App, On, T0, record, started};

on_both! { a_full_log_is_read_fast }

const SESSIONS: u64 = 1_000;
const SAMPLES: u64 = 17;

async fn a_full_log_is_read_fast(on: On) {
    let mut app = App::start_at(on, Clock::starting_at(T0 + 7_200_000, 1)).await;
    app.halt().await;
    let chargers: Vec<String> = (1..=10).map(|n| format!("10010001{n:06}")).collect();
    for charger in &chargers {
        app.say(charger, 0, T0, Body::Connected(proto::Connected::default()));
    }
    let mut events = chargers.len() as u64;
    // Twenty connectors, one session after the other on each.
    for n in 0..SESSIONS {
        let (charger, gun) = (&chargers[(n % 10) as usize], (n / 10 % 2 + 1) as u32);
        let (session, from) = (format!("{charger}{gun:02}{n:016}"), T0 + (n / 20) as i64 * 120_000);
        let authorized = proto::SessionAuthorized {
            session: session.clone(),
            token: "00000000d1000001".into(),
            start_mode: proto::StartMode::Card.into(),
            tariff: "S01/1".into(),
        };
        app.say(charger, gun, from, Body::SessionAuthorized(authorized));
        app.say(charger, gun, from, started(&session, "", from, None));
        for at in 1..=SAMPLES {
            let sample = proto::MeterSampled {
                session: session.clone(),
                energy_e4: Some(at * 100),
                power_w: Some(60_000),
                status: proto::ConnectorStatus::Charging.into(),
                ..proto::MeterSampled::default()
            };
            app.say(charger, gun, from + at as i64 * 5_000, Body::MeterSampled(sample));
        }
        app.say(charger, gun, from + 100_000, Body::TransactionRecorded(record(&session, from, from + 100_000, 1_800)));
        events += SAMPLES + 3;
        if n % 50 == 49 {
            app.log.flush(std::time::Duration::from_secs(10)).await.unwrap();
        }
    }
    let begun = Instant::now();
    app.run().await;
    let done = |body: &serde_json::Value| body["orders"]["COMPLETED"].as_u64() == Some(SESSIONS);
    let summary = app.until("/v1/summary", done).await;
    let took = begun.elapsed();
    let rate = events as f64 / took.as_secs_f64();
    println!("{on:?}: {events} events, {SESSIONS} settled orders in {took:.2?}: {rate:.0} events/s");
    assert_eq!(summary["energy_kwh"], "180.0000");
    assert!(rate > if cfg!(debug_assertions) { 300.0 } else { 2_000.0 }, "{rate} events/s");
}
