//! A charge point from boot to a confirmed stop, by a driver and by the platform.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use platform::ocpp::OcppPlatform;
use platform::{config, tariff, until};
use serde_json::{Value, json};
use simulator::rating::{Sample, by_samples};
use simulator::{ChargerConfig, Fleet, SessionPlan, StartBy, TariffBook};
use tokio::time::Instant;

fn charger(platform: &OcppPlatform) -> ChargerConfig {
    ChargerConfig {
        tariff: Some("A".into()),
        rated_power_w: 7_000,
        password: Some("0123456789abcdef".into()),
        ..ChargerConfig::ocpp16("EVGW-1001-S03-001", platform.address.to_string())
    }
}

fn by_tag(sessions: u32) -> SessionPlan {
    SessionPlan {
        sessions,
        starts: vec![StartBy::IdTag("TAG001".into())],
        first_gap_ms: [0, 0],
        energy_e4: [200_000, 200_000],
        ..SessionPlan::default()
    }
}

fn time(text: &Value) -> i64 {
    codecs::ocpp::Timestamp::from_text(text.as_str().unwrap().to_owned().into()).utc_ms().unwrap()
}

#[tokio::test]
async fn a_session_over_a_price_boundary_and_its_cost() {
    let platform = OcppPlatform::start().await;
    // 7 kW: about three hours, which cross a price boundary wherever in the evening a busy machine lets them begin.
    let mut config = config(2_000);
    config.plan = by_tag(1);
    config.chargers = vec![charger(&platform)];
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(50)).await, "{:?}", fleet.progress());
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.ledger.open(), outcome.progress.messages_bad), (0, 0, 0));
    let line = &outcome.ledger.sessions[0];

    let (path, authorization) = platform.upgrades()[0].clone();
    assert_eq!(path, "/ocpp/EVGW-1001-S03-001");
    assert_eq!(authorization.as_deref(), Some("Basic RVZHVy0xMDAxLVMwMy0wMDE6MDEyMzQ1Njc4OWFiY2RlZg=="));
    let actions = platform.actions();
    let first = |action: &str| actions.iter().position(|a| a == action).unwrap_or_else(|| panic!("no {action}"));
    assert_eq!(first("BootNotification"), 0);
    assert!(first("Authorize") < first("StartTransaction") && first("StartTransaction") < first("MeterValues"));
    assert_eq!(actions.iter().filter(|a| *a == "StopTransaction").count(), 1);
    let statuses: Vec<String> =
        platform.of("StatusNotification").iter().map(|s| s.payload["status"].as_str().unwrap().to_owned()).collect();
    let mut changes = statuses.clone();
    changes.dedup();
    assert!(changes.join(" ").contains("Preparing Charging Finishing"), "{statuses:?}");

    let start = &platform.of("StartTransaction")[0].payload;
    let stop = &platform.of("StopTransaction")[0].payload;
    let (meter_start, meter_stop) = (start["meterStart"].as_u64().unwrap(), stop["meterStop"].as_u64().unwrap());
    assert_eq!(stop["transactionId"], 101);
    assert_eq!((line.session.as_str(), line.token.as_str()), ("101", "TAG001"));
    assert_eq!(line.energy_e4, (meter_stop - meter_start) * 10);
    assert_eq!((line.start_ms, line.end_ms), (time(&start["timestamp"]), time(&stop["timestamp"])));

    let energy = |payload: &Value| {
        payload["meterValue"][0]["sampledValue"][0]["value"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let sent: Vec<Sample> = platform
        .of("MeterValues")
        .iter()
        .map(|said| {
            assert_eq!(said.payload["transactionId"], 101);
            let since_start = (energy(&said.payload) - meter_start) * 10;
            Sample {
                at_ms: time(&said.payload["meterValue"][0]["timestamp"]),
                energy_e4: i64::try_from(since_start).unwrap(),
            }
        })
        .collect();
    assert_eq!(line.samples, sent, "what was confirmed is what was sent, in order");
    assert!(sent.is_sorted(), "{sent:?}");
    let boundaries = [0, 2, 4].map(|hours| platform::EVENING + 1_800_000 + hours * 3_600_000);
    let crossed: Vec<i64> = boundaries.into_iter().filter(|at| line.start_ms < *at && *at < line.end_ms).collect();
    assert!(!crossed.is_empty(), "19:00, 21:00 or 23:00 is in the session");
    assert!(crossed.iter().all(|at| sent.iter().any(|s| s.at_ms == *at)), "a sample exactly at each price boundary");
    assert!(sent.len() > 10);
    let book = TariffBook::always(tariff());
    let cost = by_samples(&book, line.start_ms, line.end_ms, i64::try_from(line.energy_e4).unwrap(), &sent);
    assert_eq!(line.expected, cost);
    assert!(cost.unwrap().electricity_fen > 0);
}

#[tokio::test]
async fn remote_start_and_remote_stop() {
    let platform = OcppPlatform::start().await;
    let mut config = config(300);
    config.plan.energy_e4 = [350_000, 350_000];
    config.chargers = vec![charger(&platform)];
    let fleet = Fleet::start(&config).unwrap();
    until("the boot", || (fleet.progress().accepted == 1).then_some(())).await;
    let result = |id: &'static str| until(id, || platform.answer(id).map(|a| a["status"].as_str().unwrap().to_owned()));

    platform.order("a", "RemoteStartTransaction", &json!({ "idTag": "R0123456789ABCDEFGHI", "connectorId": 2 }));
    assert_eq!(result("a").await, "Rejected", "no such connector");
    platform.order("b", "RemoteStartTransaction", &json!({ "idTag": "R0123456789ABCDEFGHI", "connectorId": 1 }));
    assert_eq!(result("b").await, "Accepted");
    let start = until("the start", || platform.of("StartTransaction").first().cloned()).await;
    assert_eq!(start.payload["idTag"], "R0123456789ABCDEFGHI");
    platform.order("c", "RemoteStartTransaction", &json!({ "idTag": "R0", "connectorId": 1 }));
    assert_eq!(result("c").await, "Rejected", "already charging");
    platform.order("d", "RemoteStopTransaction", &json!({ "transactionId": 999 }));
    assert_eq!(result("d").await, "Rejected", "not ours");
    until("a meter value", || platform.of("MeterValues").first().cloned()).await;
    platform.order("e", "RemoteStopTransaction", &json!({ "transactionId": 101 }));
    assert_eq!(result("e").await, "Accepted");
    let stop = until("the stop", || platform.of("StopTransaction").first().cloned()).await;
    assert_eq!((stop.payload["reason"].as_str(), stop.payload["transactionId"].as_i64()), (Some("Remote"), Some(101)));
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.ledger.sessions.len(), outcome.ledger.open()), (0, 1, 0));
}

#[tokio::test]
async fn orders_and_configuration() {
    let platform = OcppPlatform::start().await;
    platform.knobs.pending_boots.store(1, Relaxed);
    let mut config = config(300);
    config.chargers = vec![charger(&platform)];
    let fleet = Fleet::start(&config).unwrap();
    until("the boot, asked twice", || (fleet.progress().accepted == 1).then_some(())).await;
    assert_eq!(platform.of("BootNotification").len(), 2);
    let before_boot = platform.actions().iter().position(|a| a != "BootNotification").unwrap_or(2);
    assert!(before_boot >= 2, "nothing else before the boot is accepted");
    let answer = |id: &'static str| until(id, || platform.answer(id));

    platform.order("a", "GetConfiguration", &json!({ "key": ["NumberOfConnectors", "Nonsense"] }));
    let got = answer("a").await;
    assert_eq!(got["configurationKey"][0], json!({ "key": "NumberOfConnectors", "readonly": true, "value": "1" }));
    assert_eq!(got["unknownKey"], json!(["Nonsense"]));
    platform.order("b", "ChangeConfiguration", &json!({ "key": "HeartbeatInterval", "value": "60" }));
    assert_eq!(answer("b").await["status"], "Accepted");
    let statuses = platform.of("StatusNotification").len();
    platform.order("c", "TriggerMessage", &json!({ "requestedMessage": "StatusNotification", "connectorId": 1 }));
    assert_eq!(answer("c").await["status"], "Accepted");
    until("the triggered status", || (platform.of("StatusNotification").len() > statuses).then_some(())).await;
    platform.order("d", "TriggerMessage", &json!({ "requestedMessage": "MeterValues", "connectorId": 1 }));
    let meter = until("the triggered meter values", || platform.of("MeterValues").first().cloned()).await;
    assert!(meter.payload.get("transactionId").is_none());
    platform.order("e", "TriggerMessage", &json!({ "requestedMessage": "BootNotification" }));
    until("the triggered boot", || (platform.of("BootNotification").len() == 3).then_some(())).await;
    assert_eq!(fleet.progress().accepted, 1);
    platform.order("f", "DataTransfer", &json!({ "vendorId": "nobody" }));
    assert_eq!(answer("f").await["status"], "UnknownVendorId");
    platform.order("g", "MakeCoffee", &json!({}));
    answer("g").await;
    platform.text("not json at all");
    platform.ping();
    until("the pong", || (platform.pongs() == 1).then_some(())).await;
    platform.order("h", "Reset", &json!({ "type": "Soft" }));
    assert_eq!(answer("h").await["status"], "Accepted");
    until("the boot after the reset", || (platform.of("BootNotification").len() == 4).then_some(())).await;
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.progress.messages_bad), (0, 1));
}

#[tokio::test]
async fn a_refused_tag_and_a_refused_upgrade() {
    let platform = OcppPlatform::start().await;
    platform.knobs.refuse_upgrade.store(true, Relaxed);
    platform.knobs.refuse_tags.store(true, Relaxed);
    let mut config = config(3_000);
    config.plan = SessionPlan { start_attempts: 2, ..by_tag(1) };
    config.chargers = vec![charger(&platform)];
    let fleet = Fleet::start(&config).unwrap();
    until("three tries", || (platform.upgrades().len() >= 3).then_some(())).await;
    platform.knobs.refuse_upgrade.store(false, Relaxed);
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(50)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(platform.of("Authorize").len(), 2);
    assert_eq!((outcome.progress.sessions_skipped, outcome.progress.starts_refused), (1, 2));
    assert!(platform.of("StartTransaction").is_empty());
}
