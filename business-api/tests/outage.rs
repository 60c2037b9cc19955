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

use business_api::store::outbox::Outgoing;
use events::{
    log::{Ack, AckSink, Append, AppendError, Around, EventLog, Health, LogError, Position, Start, Subscription},
    proto::envelope::Body,
    topic::Topic,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::Connection as _;
use support::{App, On, YKC, counts, limited, record, started};

on_both! {
    a_log_that_refuses_and_forgets_gets_everything_in_order
    what_the_log_will_never_take_keeps_nothing_back
}

/// What the log does with a record that somebody waits for.
enum Does {
    Takes,
    Refuses(AppendError),
    /// Takes it, and says this of it.
    Fails(LogError),
}

#[derive(Debug)]
struct Flaky {
    inner: Arc<dyn EventLog>,
    calls: AtomicU64,
    does: fn(u64, &Append<'_>) -> Does,
}

struct Loses {
    inner: Arc<dyn AckSink>,
    error: LogError,
}

impl AckSink for Loses {
    fn acked(&self, token: u64, _: Result<Position, LogError>) {
        self.inner.acked(token, Err(self.error.clone()));
    }
}

impl EventLog for Flaky {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let Ack::Notify { sink, token } = ack else { return self.inner.append(record, ack) };
        match (self.does)(call, &record) {
            Does::Takes => self.inner.append(record, Ack::Notify { sink, token }),
            Does::Refuses(error) => Err(error),
            Does::Fails(error) if error == LogError::TooLarge => {
                sink.acked(token, Err(error)); // and nobody will ever read it
                Ok(())
            }
            Does::Fails(error) => {
                let sink = Arc::new(Loses { inner: sink, error });
                self.inner.append(record, Ack::Notify { sink, token })
            }
        }
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
    // Refuses every third append, and loses every fourth confirmation of those it took.
    let does = |call, _: &Append<'_>| match call {
        call if call % 3 == 2 => Does::Refuses(AppendError::Full),
        call if call % 4 == 3 => Does::Fails(LogError::Timeout),
        _ => Does::Takes,
    };
    app.log = Arc::new(Flaky { inner: Arc::clone(&healthy), calls: AtomicU64::new(0), does });
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

/// Larger than we take ourselves, or than the brokers do, who say so later.
async fn what_the_log_will_never_take_keeps_nothing_back(on: On) {
    let recorder = counts::recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let mut app = App::start(on).await;
    app.halt().await;
    let healthy = Arc::clone(&app.log);
    let does = |_, record: &Append<'_>| match record.payload.map_or(0, <[u8]>::len) {
        50_000.. => Does::Refuses(AppendError::TooLarge),
        20_000.. => Does::Fails(LogError::TooLarge),
        _ => Does::Takes,
    };
    app.log = Arc::new(Flaky { inner: Arc::clone(&healthy), calls: AtomicU64::new(0), does });
    let store = app.store.clone();
    let push = async |records: &[(&str, usize)]| {
        let outgoing = records.iter().map(|(key, bytes)| Outgoing {
            topic: Topic::Registry,
            key: key.as_bytes().to_vec(),
            payload: Some(vec![b'x'; *bytes]),
            headers: Vec::new(),
        });
        let mut tx = store.write_platform().await.unwrap();
        tx.push_outbox(outgoing.collect(), 0).await.unwrap();
        tx.commit().await.unwrap();
    };
    push(&[("tariff/1", 1), ("tariff/2", 60_000), ("tariff/3", 3), ("tariff/4", 30_000), ("tariff/5", 5)]).await;
    app.run().await;
    app.until("/status", |body| body["parts"]["outbox"]["figures"]["refused"] == 2).await;
    let status = app.get("/status").await.expect(200);
    let why = &status["parts"]["outbox"]["degraded"]["why"];
    assert_eq!(why, "2 records are larger than the log takes", "{status}");
    let ours = async || {
        let records = app.published(Topic::Registry, 1).await;
        let ours = records.iter().filter(|record| record.key.starts_with(b"tariff/") && record.key.len() == 8);
        ours.map(|record| record.payload.as_ref().unwrap().len()).collect::<Vec<_>>()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while ours().await != [1, 3, 5] {
        assert!(std::time::Instant::now() < deadline, "{:?}", ours().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let depth = async || app.store.read_platform().await.unwrap().outbox_depth().await.unwrap();
    assert_eq!((depth().await, counts::count(&recorder, "evgate_api_outbox_refused")), (2, 2), "kept, and counted");
    // A newer value that fits replaces one that does not; it must not come back after it.
    push(&[("tariff/2", 2), ("tariff/4", 4)]).await;
    app.until("/status", |body| body["status"] == "ok").await;
    assert_eq!((depth().await, ours().await), (0, vec![1, 3, 5, 2, 4]));
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
