//! A record that nobody confirms: 30 s apart three times, once more at 300 s, then kept until the next login.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use codecs::ykc::kind;
use platform::{YkcPlatform, config, until};
use simulator::{ChargerConfig, Control, Fleet, SessionPlan, StartBy};
use tokio::time::Instant;

const FACTOR: u32 = 100;

fn one_session(platform: &YkcPlatform) -> simulator::FleetConfig {
    let mut config = config(FACTOR);
    config.plan = SessionPlan {
        sessions: 1,
        starts: vec![StartBy::Card("00000000d14b0a54".into())],
        first_gap_ms: [0, 0],
        energy_e4: [3_000, 3_000],
        ..SessionPlan::default()
    };
    config.chargers = vec![ChargerConfig::ykc("32010600000001", platform.address.to_string())];
    config
}

#[tokio::test]
async fn the_schedule_of_the_protocol_is_kept() {
    let platform = YkcPlatform::start().await;
    platform.knobs.confirm_from.store(6, Relaxed);
    let fleet = Fleet::start(&one_session(&platform)).unwrap();
    until("five transmissions", || (platform.records().len() >= 5).then_some(())).await;
    let sent: Vec<_> = platform.of_kind(kind::RECORD).iter().map(|got| got.at).collect();
    let gaps: Vec<f64> = sent.windows(2).map(|w| (w[1] - w[0]).as_secs_f64() * f64::from(FACTOR)).collect();
    for (gap, stated) in gaps.iter().zip([30.0, 30.0, 30.0, 210.0]) {
        // Never early (but for the time the frame before was under way); late by what a busy machine needs.
        assert!((stated - 15.0..stated + 200.0).contains(gap), "{gaps:?}");
    }
    let seqs: std::collections::HashSet<_> = platform.of_kind(kind::RECORD).iter().map(|got| got.seq).collect();
    assert_eq!(seqs.len(), 5, "each transmission has its own sequence number");
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    assert_eq!(platform.records().len(), 5, "then it rests");
    assert_eq!(fleet.ledger().open(), 1);

    platform.cut();
    until("the record after the next login", || (platform.records().len() == 6).then_some(())).await;
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(5)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let line = &outcome.ledger.sessions[0];
    assert_eq!((line.transmissions, line.acknowledged, outcome.unsettled), (6, true, 0));
    assert_eq!(outcome.progress.retries, 5);
    let records = platform.records();
    assert!(records.iter().all(|r| r == &records[0]), "always the same record");
    let last = platform.of_kind(kind::RECORD).pop().unwrap();
    assert_eq!(last.connection, 2);
}

#[tokio::test]
async fn an_impatient_charger_gives_a_record_up_but_a_new_login_begins_the_count_again() {
    let platform = YkcPlatform::start().await;
    platform.knobs.confirm_from.store(u64::MAX, Relaxed);
    let mut config = one_session(&platform);
    config.records_sent_most = 4;
    let fleet = Fleet::start(&config).unwrap();
    until("two transmissions", || (platform.records().len() >= 2).then_some(())).await;
    platform.cut();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(15)).await, "given up counts as settled");
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let line = &outcome.ledger.sessions[0];
    assert_eq!((line.acknowledged, line.lost, outcome.progress.records_lost), (false, true, 1));
    let last = platform.of_kind(kind::RECORD).pop().unwrap();
    let on_last = platform.of_kind(kind::RECORD).iter().filter(|got| got.connection == last.connection).count();
    assert_eq!((last.connection, on_last), (2, 4));
}

#[tokio::test]
async fn records_survive_reconnects_and_the_charge_goes_on_without_a_line() {
    let platform = YkcPlatform::start().await;
    let mut config = one_session(&platform);
    config.clock = simulator::SimClock::starting_at(platform::EVENING, 1_200);
    config.plan.energy_e4 = [100_000, 100_000];
    let fleet = Fleet::start(&config).unwrap();
    until("the charge", || (fleet.progress().charging == 1).then_some(())).await;
    assert!(fleet.control("32010600000001", Control::Disconnect { for_ms: 1_500 }));
    until("the line to be down", || (fleet.progress().online == 0).then_some(())).await;
    let before = fleet.progress().energy_e4;
    until("the end of the charge, offline", || (fleet.progress().sessions_done == 1).then_some(())).await;
    assert!(fleet.progress().energy_e4 > before);
    assert!(platform.records().is_empty(), "no line, no record");
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(10)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(platform.records().len(), 1);
    assert_eq!(platform.of_kind(kind::RECORD)[0].connection, 2);
    assert_eq!(u64::from(platform.records()[0].total_energy.0), outcome.ledger.energy_e4());
    assert_eq!(outcome.ledger.sessions[0].energy_e4, 100_000);
    assert!(outcome.ledger.sessions[0].acknowledged);
}

#[tokio::test]
async fn an_unconfirmed_record_is_reported_at_the_deadline() {
    let platform = YkcPlatform::start().await;
    platform.knobs.confirm_from.store(u64::MAX, Relaxed);
    let fleet = Fleet::start(&one_session(&platform)).unwrap();
    until("the record", || (!platform.records().is_empty()).then_some(())).await;
    assert!(!fleet.wait_done(Instant::now() + Duration::from_millis(300)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_millis(500)).await;
    assert_eq!((outcome.unsettled, outcome.ledger.open(), outcome.progress.records_acknowledged), (1, 1, 0));
    assert!(!outcome.ledger.sessions[0].lost, "a YKC charger never gives a record up");
}
