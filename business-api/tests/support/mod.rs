//! A whole API on a database of its own, with the demo registry, an embedded log, and chargers that are only events.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod contract;
pub mod counts;
pub mod logs;
pub mod sessions;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use business_api::{Config, Store, TenantId, registry};
use events::{
    clock::Clock,
    log::{Ack, Append, EmbeddedConfig, EventLog, embedded::EmbeddedLog},
    prost::Message as _,
    proto::{self, Envelope, envelope::Body},
    topic::Topic,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub const T1001: TenantId = TenantId(1001);
pub const KEY: &str = "evgate-demo-1001";
pub const OTHER_KEY: &str = "evgate-demo-1002";
pub const YKC: &str = "10010001000001";
pub const OCPP: &str = "EVGW-1001-S03-001";
/// 2026-03-10T12:10:00+08:00, in the flat period of tariff A-1.
pub const T0: i64 = 1_773_115_800_000;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug)]
pub enum On {
    Sqlite,
    Postgres,
}

/// One test function, run on SQLite always and on PostgreSQL when there is one.
#[macro_export]
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::support::limited(super::$name($crate::support::On::Sqlite)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs PostgreSQL: run `make test`"]
            async fn $name() {
                $crate::support::limited(super::$name($crate::support::On::Postgres)).await;
            })*
        }
    };
}

/// Every test ends by itself.
pub async fn limited(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test took longer than 120 s");
}

/// A database that nobody else uses.
pub struct TestDb {
    pub url: String,
    pub folder: TempDir,
}

pub async fn database(on: On) -> TestDb {
    let folder = tempfile::tempdir().unwrap();
    let url = match on {
        On::Sqlite => format!("sqlite:{}", folder.path().join("api.db").display()),
        On::Postgres => {
            let admin = std::env::var("EVGATE_TEST_POSTGRES")
                .expect("EVGATE_TEST_POSTGRES names a superuser database: run `make test`");
            let name = format!("api_{}", uuid::Uuid::now_v7().simple());
            let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&admin).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
            let (server, query) =
                admin.split_once('?').map_or((admin.as_str(), String::new()), |(s, q)| (s, format!("?{q}")));
            let server = server.rsplit_once('/').map_or(server, |(server, _)| server);
            format!("{server}/{name}{query}")
        }
    };
    TestDb { url, folder }
}

pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/registry.toml")
}

pub struct App {
    pub db: TestDb,
    pub store: Store,
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub base: String,
    pub config: Config,
    stop: CancellationToken,
    join: Option<tokio::task::JoinHandle<()>>,
    numbers: AtomicU64,
    http: reqwest::Client,
}

/// An answer, checked against the OpenAPI document.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self.body
    }
}

impl App {
    pub async fn start(on: On) -> Self {
        Self::start_at(on, Clock::starting_at(T0, 1)).await
    }

    pub async fn start_at(on: On, clock: Clock) -> Self {
        Self::start_with(on, clock, Config::default()).await
    }

    pub async fn start_with(on: On, clock: Clock, config: Config) -> Self {
        let db = database(on).await;
        let log = EmbeddedConfig { path: db.folder.path().join("events.db"), ..EmbeddedConfig::default() };
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&log).unwrap());
        let config = Config { database_url: db.url.clone(), listen: ([127, 0, 0, 1], 0).into(), ..config };
        let store = Store::open(&db.url).await.unwrap();
        registry::apply(&store, &example(), false, clock.now_ms()).await.unwrap();
        let mut app = Self {
            db,
            store,
            log,
            clock,
            base: String::new(),
            config,
            stop: CancellationToken::new(),
            join: None,
            numbers: AtomicU64::new(0),
            http: reqwest::Client::new(),
        };
        app.run().await;
        app
    }

    /// Starts the API (again).
    pub async fn run(&mut self) {
        self.stop = CancellationToken::new();
        let started =
            business_api::start(self.config.clone(), Arc::clone(&self.log), self.clock, None, self.stop.clone());
        let api = started.await.unwrap();
        self.base = format!("http://{}", api.addr);
        self.join = Some(tokio::spawn(async move { api.join.await.unwrap().unwrap() }));
    }

    /// Stops the API and waits until it is gone; database and log stay.
    pub async fn halt(&mut self) {
        self.stop.cancel();
        if let Some(join) = self.join.take() {
            join.await.unwrap();
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if !key.is_empty() {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        contract::check(method.as_str(), path, status, &headers, &bytes);
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, KEY, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let key = format!("\"{}\"", uuid::Uuid::now_v7());
        self.call("POST", path, KEY, &[("idempotency-key", &key)], Some(&body)).await
    }

    /// An event as the gateway writes it.
    pub fn event(&self, charger: &str, connector: u32, epoch: u64, at_ms: i64, body: Body) -> Envelope {
        let ocpp = charger.starts_with("EVGW");
        Envelope {
            event_id: uuid::Uuid::now_v7().as_bytes().to_vec().into(),
            tenant: 1001,
            charger: charger.to_owned(),
            connector,
            protocol: if ocpp { proto::Protocol::Ocpp16 } else { proto::Protocol::Ykc }.into(),
            epoch,
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            occurred_at_ms: at_ms,
            received_at_ms: at_ms,
            node: "test".to_owned(),
            body: Some(body),
            ..Envelope::default()
        }
    }

    pub fn say(&self, charger: &str, connector: u32, at_ms: i64, body: Body) {
        self.append(&self.event(charger, connector, 1, at_ms, body));
    }

    pub fn append(&self, event: &Envelope) {
        let telemetry = matches!(&event.body, Some(Body::MeterSampled(sample)) if !sample.billable);
        let topic = if telemetry { Topic::Telemetry } else { Topic::Device };
        self.append_raw(topic, event.charger.as_bytes(), &event.encode_to_vec());
    }

    pub fn append_raw(&self, topic: Topic, key: &[u8], payload: &[u8]) {
        let record = Append { topic, key, payload: Some(payload), headers: &[] };
        self.log.append(record, Ack::None).unwrap();
    }

    /// A charger comes online with its connectors available.
    pub async fn connect(&self, charger: &str) {
        let at_ms = self.now();
        self.say(charger, 0, at_ms, Body::Connected(proto::Connected { remote_address: "127.0.0.1:9".to_owned() }));
        for connector in 1..=2 {
            let status = proto::StatusChanged {
                status: proto::ConnectorStatus::Occupied.into(),
                plugged: Some(true),
                ..proto::StatusChanged::default()
            };
            self.say(charger, connector, at_ms, Body::StatusChanged(status));
        }
        self.until(&format!("/v1/chargers/{charger}"), |body| {
            body["online"] == true && body["connectors"][1]["status"] == "occupied"
        })
        .await;
    }

    /// Asks again until the answer is as wanted.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        path: &'a str,
        wanted: impl Fn(&Value) -> bool + 'a,
    ) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                let answer = self.get(path).await;
                if wanted(&answer.body) {
                    return answer.body;
                }
                assert!(Instant::now() < deadline, "{caller}: {path} stays {}", answer.body);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    pub async fn order_in(&self, order_no: &str, state: &str) -> Value {
        self.until(&format!("/v1/orders/{order_no}"), |body| body["state"] == state).await
    }

    /// What was published to a topic so far, at least `at_least` records.
    pub async fn published(&self, topic: Topic, at_least: usize) -> Vec<events::log::Record> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut tail = self.log.tail(&[topic], events::log::Start::Beginning).unwrap();
            let mut found = Vec::new();
            loop {
                let batch = tail.poll(1_000, Duration::from_millis(20)).await.unwrap();
                let end = batch.records.is_empty();
                found.extend(batch.records);
                if end {
                    break;
                }
            }
            if found.len() >= at_least {
                return found;
            }
            assert!(Instant::now() < deadline, "{topic}: {} of {at_least} records", found.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Commands published so far, at least `at_least`.
    pub async fn commands(&self, at_least: usize) -> Vec<events::commands::Command> {
        let records = self.published(Topic::Command, at_least).await;
        records
            .iter()
            .map(|record| events::commands::Command::decode(record.payload.clone().unwrap()).unwrap())
            .collect()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A YKC record of a session in one period.
pub fn record(session: &str, from_ms: i64, to_ms: i64, energy_e4: u64) -> proto::TransactionRecorded {
    let mut digest = [7_u8; 32];
    digest[..8].copy_from_slice(&energy_e4.to_le_bytes());
    let flat_p5 = 107_340; // 0.62340 + 0.45000
    proto::TransactionRecorded {
        session: session.to_owned(),
        digest: digest.to_vec().into(),
        started_at_ms: Some(from_ms),
        ended_at_ms: to_ms,
        meter_start_e4: Some(1_000_000),
        meter_end_e4: Some(1_000_000 + energy_e4),
        energy_e4: Some(energy_e4),
        amount_e4: Some(energy_e4 * flat_p5 / 100_000),
        currency: "CNY".to_owned(),
        periods: vec![proto::ChargerPeriod {
            kind: proto::PeriodKind::Flat.into(),
            price_p5: flat_p5,
            energy_e4,
            energy_loss_e4: energy_e4,
            amount_e4: energy_e4 * flat_p5 / 100_000,
        }],
        start_mode: proto::StartMode::Remote.into(),
        stop_reason: "full".to_owned(),
        stop_reason_raw: "41".to_owned(),
        raw: vec![1, 2, 3].into(),
        ..proto::TransactionRecorded::default()
    }
}

pub fn started(session: &str, token: &str, at_ms: i64, meter_start_e4: Option<u64>) -> Body {
    Body::SessionStarted(proto::SessionStarted {
        session: session.to_owned(),
        token: token.to_owned(),
        started_at_ms: at_ms,
        meter_start_e4,
        ..proto::SessionStarted::default()
    })
}
