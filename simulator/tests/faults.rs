//! Chargers that behave badly on the wire lose nothing and never cost more than their limit of faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::collections::HashSet;
use std::time::Duration;

use platform::ocpp::OcppPlatform;
use platform::{YkcPlatform, config, until};
use simulator::{ChargerConfig, FaultPlan, Fleet, SessionPlan, StartBy};
use tokio::time::Instant;

const FAULTS: FaultPlan = FaultPlan {
    most: 40,
    drop_mid_message_per_mille: 10,
    split_write_per_mille: 60,
    broken_copy_per_mille: 60,
    duplicate_record_per_mille: 500,
    garbage_per_mille: 60,
};

fn plan() -> SessionPlan {
    SessionPlan {
        sessions: 3,
        starts: vec![StartBy::Card("00000000d14b0a54".into()), StartBy::IdTag("TAG001".into())],
        first_gap_ms: [0, 10_000],
        gap_ms: [10_000, 20_000],
        energy_e4: [20_000, 60_000],
        start_attempts: 50,
        ..SessionPlan::default()
    }
}

#[tokio::test]
async fn ykc_records_arrive_through_garbage_splits_drops_and_bad_checksums() {
    let platform = YkcPlatform::start().await;
    let mut config = config(1_200);
    (config.plan, config.faults) = (plan(), FAULTS);
    config.chargers =
        (1..=4).map(|n| ChargerConfig::ykc(format!("3201060000000{n}"), platform.address.to_string())).collect();
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(30)).await, "{:?}", fleet.progress());
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let sent: HashSet<String> = platform.records().iter().map(|r| r.trade_no.to_string()).collect();
    let believed: HashSet<String> = outcome.ledger.sessions.iter().map(|s| s.session.clone()).collect();
    assert_eq!((believed.len(), &sent), (12, &believed));
    assert_eq!((outcome.ledger.open(), outcome.unsettled), (0, 0));
    assert!(platform.bad() > 0, "the platform saw broken bytes");
    assert!(outcome.progress.duplicates > 0);
    assert!(platform.records().len() > 12, "duplicates came");
    assert!((1..=160).contains(&outcome.progress.faults), "{}", outcome.progress.faults);
}

#[tokio::test]
async fn ocpp_transactions_arrive_through_splits_drops_and_broken_json() {
    let platform = OcppPlatform::start().await;
    let mut config = config(1_200);
    (config.plan, config.faults) = (plan(), FAULTS);
    config.floors.ocpp_call_ms = 300;
    config.chargers = (1..=4).map(|n| ChargerConfig::ocpp16(format!("CP{n}"), platform.address.to_string())).collect();
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(30)).await, "{:?}", fleet.progress());
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.ledger.sessions.len(), outcome.ledger.open(), outcome.unsettled), (12, 0, 0));
    let stops: HashSet<i64> =
        platform.of("StopTransaction").iter().map(|s| s.payload["transactionId"].as_i64().unwrap()).collect();
    assert_eq!(stops.len(), 12);
    assert!(outcome.ledger.sessions.iter().all(|s| s.acknowledged && stops.contains(&s.session.parse().unwrap())));
    assert!(platform.unreadable() > 0, "the platform saw broken texts");
    assert!(outcome.progress.duplicates > 0);
    assert_eq!(outcome.progress.messages_bad, 0, "a repeated start got the transaction id of the first");
}

#[tokio::test]
async fn a_fleet_without_a_platform_waits_and_stops_at_once() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut config = config(1_000);
    config.chargers = vec![
        ChargerConfig::ykc("32010600000001", unused.to_string()),
        ChargerConfig::ocpp16("CP1", unused.to_string()),
    ];
    let fleet = Fleet::start(&config).unwrap();
    until("failed connects", || (fleet.progress().connect_failures >= 4).then_some(())).await;
    let begun = Instant::now();
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!((outcome.unsettled, outcome.progress.online), (0, 0));
}

#[test]
fn the_same_seed_gives_the_same_sessions() {
    let run = |seed: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let platform = YkcPlatform::start().await;
            let mut config = config(3_000);
            config.seed = seed;
            config.plan = SessionPlan { sessions: 2, energy_e4: [10_000, 90_000], ..plan() };
            config.chargers = vec![ChargerConfig::ykc("32010600000001", platform.address.to_string())];
            let fleet = Fleet::start(&config).unwrap();
            assert!(fleet.wait_done(Instant::now() + Duration::from_secs(20)).await);
            let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
            outcome.ledger.sessions.iter().map(|s| (s.meter_start_e4, s.energy_e4)).collect::<Vec<_>>()
        })
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
