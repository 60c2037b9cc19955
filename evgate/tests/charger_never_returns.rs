//! The platform is killed while chargers charge, and they never come back: the next process says that they are gone, so that their
//! orders can go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Addresses, BEFORE_SEVEN_MS, FOUR_PRICES, Process, TENANT, registry};
use events::clock::Clock;
use evgate::fleet_registry::FleetRegistry;
use serde_json::Value;
use simulator::{Fleet, FleetConfig, SessionPlan, SimClock};
use tokio::time::Instant;

const CHARGERS: [&str; 2] = ["10010001000001", "TEST-0001"];

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_back_after_a_kill_is_offline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(1, 1, &FOUR_PRICES)).unwrap();
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
            sessions: 1,
            starts: known.starts_of(TENANT),
            // More than the test lasts.
            energy_e4: [2_000_000, 3_000_000],
            ..SessionPlan::default()
        },
        chargers: known.select(TENANT, Some((1, &ykc)), Some((1, &ocpp))),
        tariffs: known.tariffs,
        ..FleetConfig::default()
    })
    .unwrap();
    let platform = addresses.platform();
    let charging = async || platform.get("/v1/orders", &[("state", "CHARGING")]).await.unwrap()["items"].clone();
    let deadline = Instant::now() + Duration::from_secs(60);
    while charging().await.as_array().unwrap().len() < 2 {
        assert!(Instant::now() < deadline, "not everybody charges: {:?}", fleet.progress());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    serve.kill9();
    fleet.stop(Instant::now()).await;
    serve.again();
    serve.ready(addresses.admin).await;

    let offline = |at: &Value| at["online"] == false && at["connectors"][0]["status"] == "offline";
    let deadline = Instant::now() + Duration::from_secs(10);
    for charger in CHARGERS {
        loop {
            let said = platform.get(&format!("/v1/chargers/{charger}"), &[]).await.unwrap();
            if offline(&said) {
                break;
            }
            assert!(Instant::now() < deadline, "{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let orders = charging().await;
    assert_eq!(orders.as_array().unwrap().len(), 2, "money waits for its record: {orders}");
    assert!(orders.as_array().unwrap().iter().all(|order| order["charger_offline"] == true), "{orders}");
    while !serve.said().contains("process that died are given up") {
        assert!(Instant::now() < deadline, "{}", serve.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(serve.terminate(Duration::from_secs(60)), 0, "{}", serve.said());
    // Nor is there anything more to be said by the next one: it was a goodbye in order.
    serve.again();
    serve.ready(addresses.admin).await;
    assert_eq!(serve.terminate(Duration::from_secs(60)), 0, "{}", serve.said());
    assert_eq!(serve.said().matches("saying for it that its chargers are gone").count(), 1, "{}", serve.said());
}
