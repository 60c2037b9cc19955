//! The main job in the cluster form: gateway and API as processes, a real Kafka, a real PostgreSQL, 500 sessions, and an API
//! process that is killed twice on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{path::Path, time::Duration};

use common::{Addresses, BEFORE_SEVEN_MS, FOUR_PRICES, Process, TENANT, books, registry};
use events::{
    clock::Clock,
    log::{KafkaConfig, LogConfig},
};
use evgate::fleet_registry::FleetRegistry;
use simulator::{Fleet, FleetConfig, SessionPlan, SimClock};
use tokio::time::Instant;

const CHARGERS_OF_EACH: usize = 25;
const SESSIONS_EACH: u32 = 10;
const SESSIONS: usize = 2 * CHARGERS_OF_EACH * SESSIONS_EACH as usize;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn five_hundred_sessions_are_five_hundred_right_orders_although_the_api_is_killed_twice() {
    tokio::time::timeout(Duration::from_secs(400), main_job()).await.expect("in time");
}

async fn main_job() {
    let folder = tempfile::tempdir().unwrap();
    let unique = format!("main{:x}", std::process::id());
    let brokers = std::env::var("EVGATE_TEST_KAFKA").expect("EVGATE_TEST_KAFKA");
    let database = common_database(&unique).await;
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(CHARGERS_OF_EACH, CHARGERS_OF_EACH, &FOUR_PRICES)).unwrap();

    let clock = Clock::starting_at(BEFORE_SEVEN_MS, 60);
    let addresses = Addresses::free();
    let mut env = addresses.env(clock);
    env.push(("EVGATE__LOG__KIND", "kafka".to_owned()));
    env.push(("EVGATE__LOG__BROKERS", brokers.clone()));
    env.push(("EVGATE__LOG__TOPIC_PREFIX", format!("{unique}.")));
    env.push(("EVGATE__LOG__PARTITIONS", "4".to_owned()));
    env.push(("EVGATE__LOG__SPOOL__PATH", folder.path().join("spool").display().to_string()));
    env.push(("EVGATE__API__DATABASE_URL", database));
    let mut apply = Process::start(folder.path(), &["registry", "apply", file.to_str().unwrap()], &env);
    apply.wait_for_success(Duration::from_secs(60));
    let mut api = Process::start(folder.path(), &["api"], &env);
    api.ready(addresses.api).await;
    let mut gateway = Process::start(folder.path(), &["gateway"], &env);
    gateway.ready(addresses.admin).await;

    let fleet = Fleet::start(&fleet(&file, &addresses, clock)).unwrap();
    for share in [4, 2] {
        let wanted = SESSIONS as u64 / share;
        while fleet.progress().sessions_done < wanted {
            gateway.assert_runs();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        api.kill9();
        // Chargers charge, end and deliver records while nobody consumes.
        tokio::time::sleep(Duration::from_secs(2)).await;
        api.again();
        api.ready(addresses.api).await;
    }
    let done = fleet.wait_done(Instant::now() + Duration::from_secs(240)).await;
    assert!(done, "the chargers did not come to rest: {:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!((ended.unsettled, ended.ledger.sessions.len()), (0, SESSIONS), "{:?}", ended.progress);

    let orders = books::settled_orders(&addresses.platform(), SESSIONS, Duration::from_secs(120)).await;
    let log = LogConfig::Kafka(KafkaConfig { brokers, topic_prefix: format!("{unique}."), ..KafkaConfig::default() });
    let log = events::log::open(&log).unwrap();
    books::assert_agree(&ended.ledger, &orders, &log, SESSIONS).await;
    assert_eq!(gateway.terminate(Duration::from_secs(60)), 0, "{}", gateway.said());
    assert_eq!(api.terminate(Duration::from_secs(30)), 0, "{}", api.said());
}

fn fleet(file: &Path, addresses: &Addresses, clock: Clock) -> FleetConfig {
    let known = FleetRegistry::read(file).unwrap();
    let (ykc, ocpp) = (addresses.ykc.to_string(), addresses.ocpp.to_string());
    let chargers = known.select(TENANT, Some((CHARGERS_OF_EACH, &ykc)), Some((CHARGERS_OF_EACH, &ocpp)));
    assert_eq!(chargers.len(), 2 * CHARGERS_OF_EACH);
    FleetConfig {
        seed: 7,
        clock: SimClock { origin_ms: clock.origin_ms, real_origin_ms: clock.real_origin_ms, factor: clock.factor },
        plan: SessionPlan {
            sessions: SESSIONS_EACH,
            starts: known.starts_of(TENANT),
            energy_e4: [20_000, 100_000],
            ..SessionPlan::default()
        },
        tariffs: known.tariffs,
        chargers,
        ..FleetConfig::default()
    }
}

/// A database of its own in the PostgreSQL of the tests.
async fn common_database(unique: &str) -> String {
    let admin = std::env::var("EVGATE_TEST_POSTGRES").expect("EVGATE_TEST_POSTGRES");
    let status = std::process::Command::new("psql")
        .args([&admin, "-q", "-c", &format!("CREATE DATABASE {unique}")])
        .status()
        .expect("psql");
    assert!(status.success());
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{unique}")
}
