//! The main job in the embedded form: one `evgate serve` process that is killed in the middle. Chargers keep what was not
//! confirmed, and the orders are right all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Addresses, BEFORE_SEVEN_MS, FOUR_PRICES, Process, TENANT, books, registry};
use events::{
    clock::Clock,
    log::{EmbeddedConfig, LogConfig},
};
use evgate::fleet_registry::FleetRegistry;
use simulator::{Fleet, FleetConfig, SessionPlan, SimClock};
use tokio::time::Instant;

const CHARGERS_OF_EACH: usize = 8;
const SESSIONS_EACH: u32 = 3;
const SESSIONS: usize = 2 * CHARGERS_OF_EACH * SESSIONS_EACH as usize;

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_right_although_the_whole_platform_is_killed_once() {
    tokio::time::timeout(Duration::from_secs(200), main_job()).await.expect("in time");
}

async fn main_job() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(CHARGERS_OF_EACH, CHARGERS_OF_EACH, &FOUR_PRICES)).unwrap();
    let clock = Clock::starting_at(BEFORE_SEVEN_MS, 60);
    let addresses = Addresses::free();
    let data = folder.path().join("data");
    let args = ["serve", "--registry", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut serve = Process::start(folder.path(), &args, &addresses.env(clock));
    serve.ready(addresses.admin).await;

    let known = FleetRegistry::read(&file).unwrap();
    let (ykc, ocpp) = (addresses.ykc.to_string(), addresses.ocpp.to_string());
    let fleet = Fleet::start(&FleetConfig {
        seed: 11,
        clock: SimClock { origin_ms: clock.origin_ms, real_origin_ms: clock.real_origin_ms, factor: clock.factor },
        plan: SessionPlan {
            sessions: SESSIONS_EACH,
            starts: known.starts_of(TENANT),
            energy_e4: [20_000, 100_000],
            ..SessionPlan::default()
        },
        chargers: known.select(TENANT, Some((CHARGERS_OF_EACH, &ykc)), Some((CHARGERS_OF_EACH, &ocpp))),
        tariffs: known.tariffs,
        ..FleetConfig::default()
    })
    .unwrap();
    while fleet.progress().sessions_done < SESSIONS as u64 / 3 {
        serve.assert_runs();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    serve.kill9();
    tokio::time::sleep(Duration::from_secs(1)).await;
    serve.again();
    serve.ready(addresses.admin).await;
    let done = fleet.wait_done(Instant::now() + Duration::from_secs(120)).await;
    assert!(done, "the chargers did not come to rest: {:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!((ended.unsettled, ended.ledger.sessions.len()), (0, SESSIONS), "{:?}", ended.progress);

    let orders = books::settled_orders(&addresses.platform(), SESSIONS, Duration::from_secs(60)).await;
    assert_eq!(serve.terminate(Duration::from_secs(60)), 0, "{}", serve.said());
    let log = LogConfig::Embedded(EmbeddedConfig { path: data.join("events.db"), ..EmbeddedConfig::default() });
    let log = events::log::open(&log).unwrap();
    books::assert_agree(&ended.ledger, &orders, &log, SESSIONS).await;
}
