//! Log and database that fail for a while: nothing is lost, nothing is told in the wrong order, clients hear 503 and not 500.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use events::{
    log::{Ack, AckSink, Append, AppendError, Around, EventLog, Health, LogError, Position, Start, Subscription},
    proto::envelope::Body,
    topic::Topic,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::Connection as _;
use support::{App, On, YKC, limited, record, started};

on_both! { a_log_that_refuses_and_forgets_gets_everything_in_order }

/// Refuses every third append, and loses every fourth confirmation of those it took.
#[derive(Debug)]
struct Flaky {
    inner: Arc<dyn EventLog>,
    calls: AtomicU64,
}

struct Loses {
    inner: Arc<dyn AckSink>,
    fails: bool,
}

impl AckSink for Loses {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        self.inner.acked(token, if self.fails { Err(LogError::Timeout) } else { outcome });
    }
}

impl EventLog for Flaky {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let Ack::Notify { sink, token } = ack else { return self.inner.append(record, ack) };
        if call % 3 == 2 {
            return Err(AppendError::Full);
        }
        let sink = Arc::new(Loses { inner: sink, fails: call % 4 == 3 });
        self.inner.append(record, Ack::Notify { sink, token })
    }

    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        self.inner.subscribe(group, topics)
    }

    fn subscribe_from(
        &self,
        group: &str,
        topics: &[Topic],
        stored: &[Position],
    ) -> Result<Box<dyn Subscription>, LogError> {
        self.inner.subscribe_from(group, topics, stored)
    }

    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        self.inner.around(positions)
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        self.inner.tail(topics, start)
    }

    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        self.inner.flush(within)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

async fn a_log_that_refuses_and_forgets_gets_everything_in_order(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    let healthy = Arc::clone(&app.log);
    app.log = Arc::new(Flaky { inner: Arc::clone(&healthy), calls: AtomicU64::new(0) });
    let t = app.now();
    for n in 0..5 {
        let session = format!("{YKC}01{n:016}");
        let start = started(&session, "", t, None);
        healthy.append(append(&app.event(YKC, 1, 1, t, start)).as_append(), Ack::None).unwrap();
        let record = Body::TransactionRecorded(record(&session, t - 60_000, t, 1_000));
        healthy.append(append(&app.event(YKC, 1, 1, t, record)).as_append(), Ack::None).unwrap();
    }
    healthy.flush(Duration::from_secs(5)).await.unwrap();
    app.config.batch = 1;
    app.run().await;
    // Every session: CHARGING, then EXCEPTION (nobody pays), at least once each, the last word last.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while app.get("/v1/orders?state=EXCEPTION").await.body["items"].as_array().map(Vec::len) != Some(5)
        || app.store.read_platform().await.unwrap().outbox_depth().await.unwrap() > 0
    {
        assert!(std::time::Instant::now() < deadline, "the outbox does not empty");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.log = healthy;
    let mut last = std::collections::BTreeMap::new();
    for record in app.published(Topic::Order, 10).await {
        let body: Value = serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap();
        last.insert(body["order_no"].to_string(), body["state"].clone());
    }
    assert_eq!(last.values().collect::<Vec<_>>(), vec![&json!("EXCEPTION"); 5]);
}

struct Owned(Vec<u8>, Vec<u8>);

impl Owned {
    fn as_append(&self) -> Append<'_> {
        Append { topic: Topic::Device, key: &self.0, payload: Some(&self.1), headers: &[] }
    }
}

fn append(event: &events::proto::Envelope) -> Owned {
    Owned(event.charger.as_bytes().to_vec(), events::prost::Message::encode_to_vec(event))
}

/// Somebody holds the write lock for longer than SQLite waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_sqlite_file_is_a_503_and_then_work_goes_on() {
    limited(async {
        let app = App::start(On::Sqlite).await;
        app.connect(YKC).await;
        let mut other = sqlx::SqliteConnection::connect(&app.db.url).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let t = app.now();
        let session = format!("{YKC}01{:016}", 1);
        app.say(YKC, 1, t, started(&session, "", t, None));
        let answer = app.post("/v1/orders", json!({"charger": YKC, "connector": 2, "account": "a"})).await;
        assert!(answer.headers.contains_key("retry-after"));
        answer.problem(503, "database_unavailable");
        app.get("/v1/orders").await.expect(200); // reading goes on
        app.until("/status", |body| body["parts"]["consumer"]["degraded"].is_object()).await;
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        app.until("/v1/orders?state=CHARGING", |body| body["items"][0].is_object()).await;
        app.until("/status", |body| body["status"] == "ok").await;
    })
    .await;
}

/// PostgreSQL ends every connection of the API, again and again, while it works off a log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run `make test`"]
async fn connections_that_break_lose_nothing() {
    limited(async {
        let mut app = App::start(On::Postgres).await;
        app.halt().await;
        let t = app.now();
        for n in 0..300 {
            let session = format!("{YKC}01{n:016}");
            app.say(YKC, 1, t, started(&session, "", t, None));
            app.say(YKC, 1, t, Body::TransactionRecorded(record(&session, t - 60_000, t, 1_000)));
        }
        app.config.batch = 3;
        app.run().await;
        let admin = std::env::var("EVGATE_TEST_POSTGRES").unwrap();
        let mut admin = sqlx::PgConnection::connect(&admin).await.unwrap();
        let database = app.db.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        for _ in 0..8 {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            sqlx::query(sql).bind(&database).execute(&mut admin).await.unwrap();
            tokio::time::sleep(Duration::from_millis(70)).await;
        }
        app.until("/v1/summary", |body| body["orders"] == json!({"EXCEPTION": 300})).await;
        app.until("/status", |body| body["status"] == "ok").await;
        assert!(app.published(Topic::DeviceDlq, 0).await.is_empty(), "no event was taken for poison");
    })
    .await;
}
