//! Transaction messages: attempts and their waits, what is lost after the last one, and the queue of an offline station.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::time::Duration;

use platform::ocpp::OcppPlatform;
use platform::{config, until};
use simulator::{ChargerConfig, Control, Fleet, FleetConfig, SessionPlan, StartBy};
use tokio::time::Instant;

const ID: &str = "EVGW-1001-S03-001";

fn one_session(platform: &OcppPlatform, factor: u32, seed: u64) -> FleetConfig {
    let mut config = config(factor);
    config.seed = seed;
    config.plan = SessionPlan {
        sessions: 1,
        starts: vec![StartBy::IdTag("TAG001".into())],
        first_gap_ms: [0, 0],
        energy_e4: [50_000, 50_000],
        ..SessionPlan::default()
    };
    config.chargers =
        vec![ChargerConfig { tariff: Some("A".into()), ..ChargerConfig::ocpp16(ID, platform.address.to_string()) }];
    config
}

/// Both styles of retry occur, by the seed: the same message id again, or a new one.
#[tokio::test]
async fn unanswered_and_refused_messages_are_repeated_with_growing_waits() {
    let mut kept = Vec::new();
    for seed in 1..=6 {
        let platform = OcppPlatform::start().await;
        platform.knobs.ignore.lock().unwrap().insert("StartTransaction", 1);
        platform.knobs.fail.lock().unwrap().insert("StopTransaction", 2);
        let fleet = Fleet::start(&one_session(&platform, 600, seed)).unwrap();
        assert!(fleet.wait_done(Instant::now() + Duration::from_secs(15)).await, "{:?}", fleet.progress());
        let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
        let starts = platform.of("StartTransaction");
        assert_eq!(starts.len(), 2);
        assert_eq!(starts[0].payload, starts[1].payload, "the same start");
        kept.push(starts[0].id == starts[1].id);
        // 30 s without an answer, then one interval of 60 s.
        assert!(starts[1].at - starts[0].at >= Duration::from_millis(140), "{:?}", starts[1].at - starts[0].at);
        let stops = platform.of("StopTransaction");
        assert_eq!(stops.len(), 3);
        assert!(stops[1].at - stops[0].at >= Duration::from_millis(95), "one interval");
        assert!(stops[2].at - stops[1].at >= Duration::from_millis(195), "two intervals");
        let line = &outcome.ledger.sessions[0];
        assert_eq!((line.transmissions, line.acknowledged, line.lost), (3, true, false));
        assert_eq!(outcome.progress.retries, 3);
        let order: Vec<String> = platform.actions().into_iter().filter(|a| a.ends_with("Transaction")).collect();
        assert!(order.is_sorted_by_key(|action| action == "StopTransaction"), "no stop before the start is answered");
    }
    assert!(kept.contains(&true) && kept.contains(&false), "{kept:?}");
}

#[tokio::test]
async fn a_message_is_lost_after_the_last_attempt() {
    let platform = OcppPlatform::start().await;
    platform.knobs.fail.lock().unwrap().insert("StopTransaction", 3);
    let fleet = Fleet::start(&one_session(&platform, 3_000, 1)).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(15)).await, "given up counts as settled");
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(platform.of("StopTransaction").len(), 3);
    let line = &outcome.ledger.sessions[0];
    assert_eq!((line.acknowledged, line.lost, outcome.progress.records_lost), (false, true, 1));
}

#[tokio::test]
async fn an_offline_session_is_told_later_in_order_with_old_times() {
    let platform = OcppPlatform::start().await;
    let mut config = one_session(&platform, 1_200, 3);
    config.plan.energy_e4 = [150_000, 150_000];
    let fleet = Fleet::start(&config).unwrap();
    until("the charge", || (fleet.progress().charging == 1).then_some(())).await;
    assert!(fleet.control(ID, Control::Disconnect { for_ms: 2_000 }));
    until("the end of the session, offline", || (fleet.progress().sessions_done == 1).then_some(())).await;
    assert!(platform.of("StopTransaction").is_empty());
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(10)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let line = &outcome.ledger.sessions[0];
    assert!(line.acknowledged && line.samples_lost == 0 && line.expected.is_some());
    let stop = &platform.of("StopTransaction")[0];
    assert_eq!(stop.connection, 2);
    let texts: Vec<String> = platform
        .log()
        .iter()
        .filter(|said| said.connection == 2)
        .filter_map(|said| match said.action.as_str() {
            "MeterValues" => Some(said.payload["meterValue"][0]["timestamp"].as_str().unwrap().to_owned()),
            "StopTransaction" => Some(said.payload["timestamp"].as_str().unwrap().to_owned()),
            _ => None,
        })
        .collect();
    assert!(texts.len() >= 2, "meter values were kept as well: {texts:?}");
    assert!(texts.is_sorted(), "in the order in which they happened: {texts:?}");
    assert_eq!(platform.of("BootNotification").len(), 1, "no boot after a mere reconnect");
}

#[tokio::test]
async fn a_lost_connection_costs_no_attempt() {
    let platform = OcppPlatform::start().await;
    platform.knobs.ignore.lock().unwrap().insert("StopTransaction", 4);
    let mut config = one_session(&platform, 3_000, 2);
    // No time-out while the test cuts the line.
    config.floors.ocpp_call_ms = 60_000;
    let fleet = Fleet::start(&config).unwrap();
    for times in 1..=4 {
        until("a stop", || (platform.of("StopTransaction").len() == times).then_some(())).await;
        platform.cut();
    }
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(10)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let line = &outcome.ledger.sessions[0];
    assert_eq!((line.acknowledged, line.lost, line.transmissions), (true, false, 5), "more than three attempts");
}
