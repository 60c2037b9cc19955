//! `kill -9` of the API at random moments while it works off a log: in the end every session is one order, billed and booked once.
//!
//! The victim is a program of its own, `kill_nine/victim.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    clock::Clock,
    log::{EmbeddedConfig, embedded::EmbeddedLog},
    proto::{self, envelope::Body},
    topic::Topic,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use support::{App, On, T0, record, started};

on_both! { every_session_is_settled_once }

const SESSIONS: u64 = 1_500;
const KILLS: u32 = 6;

struct Victim(Child);

impl Victim {
    fn start(app: &App) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_kill-nine-victim"))
            .arg(&app.db.url)
            .arg(app.db.folder.path().join("events.db"))
            .arg((T0 + 7_200_000).to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap(); // SIGKILL
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Already gone where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn every_session_is_settled_once(on: On) {
    let mut app = App::start_at(on, Clock::starting_at(T0 + 7_200_000, 1)).await;
    app.halt().await;
    let charger = support::YKC;
    for n in 0..SESSIONS {
        let session = format!("{charger}01{n:016}");
        let authorized = proto::SessionAuthorized {
            session: session.clone(),
            token: "00000000d1000001".into(),
            start_mode: proto::StartMode::Card.into(),
            tariff: "S01/1".into(),
        };
        app.say(charger, 1, T0, Body::SessionAuthorized(authorized));
        app.say(charger, 1, T0, started(&session, "", T0, None));
        let record = Body::TransactionRecorded(record(&session, T0, T0 + 50 * 60_000, 200_000));
        app.say(charger, 1, T0 + 50 * 60_000, record.clone());
        app.say(charger, 1, T0 + 50 * 60_000, record); // the charger did not hear the answer
    }
    app.log.flush(Duration::from_secs(20)).await.unwrap();
    // The log has one writing process: it is the victim's now.
    app.log = Arc::new(
        EmbeddedLog::open(&EmbeddedConfig {
            path: app.db.folder.path().join("unused.db"),
            ..EmbeddedConfig::default()
        })
        .unwrap(),
    );
    let mut random = StdRng::seed_from_u64(9);
    let mut grew = BTreeSet::new();
    for _ in 0..KILLS {
        let mut victim = Victim::start(&app);
        let before = completed(&app).await;
        let deadline = Instant::now() + Duration::from_secs(30);
        while completed(&app).await == before && before < SESSIONS {
            assert!(Instant::now() < deadline, "the victim does not work");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        victim.kill();
        grew.insert(completed(&app).await);
    }
    assert!(grew.len() > 2, "killed in the middle of the work: {grew:?}");
    app.log = Arc::new(
        EmbeddedLog::open(&EmbeddedConfig {
            path: app.db.folder.path().join("events.db"),
            ..EmbeddedConfig::default()
        })
        .unwrap(),
    );
    app.run().await;
    let summary = app.until("/v1/summary", |body| body["orders"]["COMPLETED"] == SESSIONS).await;
    assert_eq!(summary["orders"].as_object().unwrap().len(), 1, "{summary}");
    assert_eq!(summary["booked_fen"], SESSIONS * 2147);
    assert_eq!(summary["energy_kwh"], format!("{}.0000", SESSIONS * 20));
    // What was told to the outside: everything, in order, some of it perhaps twice.
    app.until("/status", |body| body["status"] == "ok").await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.store.read_platform().await.unwrap().outbox_depth().await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "the outbox does not empty");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in app.published(Topic::Order, 1).await {
        let body: Value = serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap();
        let states = told.entry(body["order_no"].as_str().unwrap().to_owned()).or_default();
        let state = body["state"].as_str().unwrap();
        states.push(state.to_owned());
    }
    assert_eq!(told.len() as u64, SESSIONS);
    for (order_no, states) in told {
        assert_eq!(states.last().map(String::as_str), Some("COMPLETED"), "{order_no}: {states:?}");
    }
}

async fn completed(app: &App) -> u64 {
    let summary = app.store.summary(support::T1001, T0).await.unwrap();
    summary.orders.get("COMPLETED").copied().unwrap_or(0).unsigned_abs()
}
