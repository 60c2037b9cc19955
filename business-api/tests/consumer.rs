//! What the consumer promises: every event counts once, whatever is delivered twice, out of place, or by two at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{sync::Arc, time::Duration};

use events::{
    clock::Clock,
    log::{
        Ack, Append, AppendError, Around, EmbeddedConfig, EventLog, Health, KafkaConfig, LogConfig, LogError, Position,
        Start, Subscription, embedded::EmbeddedLog, open,
    },
    proto::{self, envelope::Body},
    topic::Topic,
};
use futures::future::BoxFuture;
use serde_json::json;
use sqlx::Connection as _;
use support::{App, OCPP, On, T0, T1001, YKC, record, started};

on_both! {
    a_batch_delivered_twice_counts_once
    an_older_database_reads_the_log_again
    a_new_log_is_read_from_its_beginning
    an_older_copy_of_the_log_is_read_from_its_beginning
    reading_everything_again_changes_nothing
    what_the_log_has_deleted_is_said_and_passed
    a_hole_in_the_log_is_said_and_passed
    a_database_set_back_under_a_running_consumer_is_filled_again
    lag_grows_while_the_database_refuses
    two_consumers_of_one_log_count_once
    poison_goes_to_the_dead_letters_and_blocks_nothing
    an_older_connection_says_nothing_about_now_but_its_money_counts
    live_data_before_its_session_is_kept
    a_bill_waits_for_live_data_that_is_behind
    timers_fire_on_the_platforms_clock
    a_backlog_is_applied_before_timers
    a_card_is_paid_by_its_account
    records_without_a_number_are_orders_of_their_own
    offline_and_back
    samples_are_bounded
}

fn session(counter: u64) -> String {
    format!("{YKC}01{counter:016}")
}

fn authorized(session: &str, token: &str) -> Body {
    Body::SessionAuthorized(proto::SessionAuthorized {
        session: session.to_owned(),
        token: token.to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    })
}

fn sample(session: &str, energy_e4: u64) -> proto::MeterSampled {
    proto::MeterSampled {
        session: session.to_owned(),
        energy_e4: Some(energy_e4),
        power_w: Some(60_000),
        status: proto::ConnectorStatus::Charging.into(),
        ..proto::MeterSampled::default()
    }
}

/// A record whose charger did not split the energy: the bill needs samples when it crosses a price boundary.
fn unsplit(session: &str, from_ms: i64, to_ms: i64, energy_e4: u64) -> Body {
    let record = record(session, from_ms, to_ms, energy_e4);
    Body::TransactionRecorded(proto::TransactionRecorded { periods: vec![], amount_e4: None, ..record })
}

async fn settled(app: &App, orders: u64) -> serde_json::Value {
    app.until("/v1/summary", |body| body["orders"]["COMPLETED"].as_u64() == Some(orders)).await
}

/// Delivers everything to every new reader, wherever that reader stands: a rebalance that knew an older position.
#[derive(Debug)]
struct Repeating(Arc<dyn EventLog>);

impl EventLog for Repeating {
    fn append(&self, record: Append<'_>, ack: Ack) -> Result<(), AppendError> {
        self.0.append(record, ack)
    }

    fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, LogError> {
        self.0.subscribe(group, topics)
    }

    fn subscribe_from(&self, group: &str, topics: &[Topic], _: &[Position]) -> Result<Box<dyn Subscription>, LogError> {
        self.0.subscribe_from(group, topics, &[])
    }

    fn around<'a>(&'a self, positions: &'a [Position]) -> BoxFuture<'a, Result<Vec<(Position, Around)>, LogError>> {
        self.0.around(positions)
    }

    fn tail(&self, topics: &[Topic], start: Start) -> Result<Box<dyn Subscription>, LogError> {
        self.0.tail(topics, start)
    }

    fn flush(&self, within: Duration) -> BoxFuture<'_, Result<(), LogError>> {
        self.0.flush(within)
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}

/// The same log gives everything once more.
async fn a_batch_delivered_twice_counts_once(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 0..20);
    let summary = settled(&app, 20).await;
    assert_eq!(summary["booked_fen"], 20 * 2147);
    app.halt().await;
    app.log = Arc::new(Repeating(Arc::clone(&app.log)));
    let t = app.now();
    app.say(YKC, 2, t, authorized(&session(99), "00000000d1000001"));
    app.run().await;
    app.until("/v1/summary", |body| body["orders"]["STARTING"] == 1).await;
    let again = app.get("/v1/summary").await.expect(200);
    assert_eq!((&again["orders"]["COMPLETED"], &again["booked_fen"]), (&json!(20), &json!(20 * 2147)));
    let no = app.get("/v1/orders?state=COMPLETED").await.expect(200)["items"][0]["order_no"].clone();
    let timeline = app.get(&format!("/v1/orders/{}/timeline", no.as_str().unwrap())).await.expect(200);
    assert_eq!(timeline["items"].as_array().unwrap().len(), 4, "no line twice: {timeline}");
    assert_eq!(history(&app).await, json!(null), "one log: nothing to say");
}

/// Whole sessions of 20 kWh, 2147 fen each.
fn sessions(app: &App, numbers: std::ops::Range<u64>) {
    let t = app.now();
    for n in numbers {
        let session = session(n);
        app.say(YKC, 1, t, authorized(&session, "00000000d1000001"));
        app.say(YKC, 1, t, started(&session, "", t, None));
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session, t - 60_000 * 50, t, 200_000)));
    }
}

/// What `/status` says about the log's history: null, or since when and why.
async fn history(app: &App) -> serde_json::Value {
    app.get("/status").await.expect(200)["parts"]["history"]["degraded"].clone()
}

fn embedded(app: &App, name: &str) -> Arc<dyn EventLog> {
    let config = EmbeddedConfig { path: app.db.folder.path().join(name), ..EmbeddedConfig::default() };
    Arc::new(EmbeddedLog::open(&config).unwrap())
}

/// The log's own file, for what only an operator does to it.
async fn file_of(app: &App, name: &str) -> sqlx::SqliteConnection {
    let path = app.db.folder.path().join(name);
    sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap()
}

/// As `sqlite3 events.db ".backup COPY"` makes it.
async fn back_up(app: &App, to: &str) {
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    let sql = format!("VACUUM INTO '{}'", app.db.folder.path().join(to).display());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut file_of(app, "events.db").await).await.unwrap();
}

/// `events.db` was deleted, or the database goes to another cluster: its first events must not be taken for old ones.
async fn a_new_log_is_read_from_its_beginning(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 0..5);
    settled(&app, 5).await;
    app.halt().await;
    app.log = embedded(&app, "new.db");
    sessions(&app, 5..12); // more than before: the old position lies within
    app.run().await;
    let summary = settled(&app, 12).await;
    assert_eq!(summary["booked_fen"], 12 * 2147);
    let why = history(&app).await["why"].as_str().unwrap().to_owned();
    assert!(why.contains("ev.device.v1 partition 0: not the log"), "{why}");
    // The gateways know no charger, token or tariff but from the log.
    let keys: Vec<_> = app.published(Topic::Registry, 3).await.into_iter().map(|record| record.key).collect();
    for kind in ["charger/", "token/", "tariff/"] {
        assert!(keys.iter().any(|key| key.starts_with(kind.as_bytes())), "{kind}: {keys:?}");
    }
    // Once more, and shorter than before.
    app.halt().await;
    app.log = embedded(&app, "newer.db");
    app.run().await;
    sessions(&app, 12..13);
    assert_eq!(settled(&app, 13).await["booked_fen"], 13 * 2147);
    // It is the log now.
    app.halt().await;
    app.run().await;
    sessions(&app, 13..14);
    settled(&app, 14).await;
    assert_eq!(history(&app).await, json!(null));
}

/// The same on Kafka: an older database under the same topics, then other topics under the same database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka: run `make test`"]
async fn on_kafka_an_older_database_reads_again_and_other_topics_are_read_from_their_beginning() {
    support::limited(async {
        let mut app = App::start(On::Sqlite).await;
        app.halt().await;
        let run = uuid::Uuid::now_v7().simple().to_string();
        let kafka = |which: &str| {
            let config = KafkaConfig {
                brokers: std::env::var("EVGATE_TEST_KAFKA").expect("EVGATE_TEST_KAFKA names a broker"),
                topic_prefix: format!("api-{run}-{which}."),
                partitions: 3,
                session_timeout_ms: 6000,
                ..KafkaConfig::default()
            };
            open(&LogConfig::Kafka(config)).unwrap()
        };
        app.log = kafka("a");
        sessions(&app, 0..5);
        app.run().await;
        settled(&app, 5).await;
        app.halt().await;
        empty(&app).await;
        sessions(&app, 5..6);
        app.run().await;
        assert_eq!(settled(&app, 6).await["booked_fen"], 6 * 2147);
        assert_eq!(history(&app).await, json!(null));
        app.halt().await;
        app.log = kafka("b");
        sessions(&app, 6..14);
        app.run().await;
        assert_eq!(settled(&app, 14).await["booked_fen"], 14 * 2147);
        let why = history(&app).await["why"].as_str().unwrap().to_owned();
        assert!(why.contains("not the log"), "{why}");
        app.halt().await;
    })
    .await;
}

/// As a backup from before the first session.
async fn empty(app: &App) {
    let mut tx = app.store.write(T1001).await.unwrap();
    for table in ["ledger", "bills", "records", "order_samples", "order_timeline", "orders"] {
        tx.execute(&format!("DELETE FROM {table} WHERE tenant_id = 1001"), Vec::new()).await.unwrap();
    }
    tx.execute("DELETE FROM positions", Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A backup of the log is put in place, and new events take the offsets of those that it lacks, before anybody looks.
async fn an_older_copy_of_the_log_is_read_from_its_beginning(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 0..3);
    settled(&app, 3).await;
    back_up(&app, "older.db").await;
    sessions(&app, 3..6);
    settled(&app, 6).await;
    app.halt().await;
    app.log = embedded(&app, "older.db");
    sessions(&app, 6..12);
    app.run().await;
    let summary = settled(&app, 12).await;
    assert_eq!(summary["booked_fen"], 12 * 2147);
    assert_eq!(summary["orders"], json!({"COMPLETED": 12}));
    assert!(history(&app).await.is_object());
}

/// Everything that an event can do, done twice. An older log tells of what is long over; what runs now must not hear of it.
async fn reading_everything_again_changes_nothing(on: On) {
    let mut app = App::start(on).await;
    let t = app.now();
    app.connect(YKC).await;
    app.say(YKC, 0, t, Body::ChargerBooted(proto::ChargerBooted { vendor: "v".into(), ..Default::default() }));
    app.say(YKC, 0, t, Body::ClockReported(proto::ClockReported { skew_ms: 7 }));
    sessions(&app, 0..2);
    // A remote start, answered, charging, stopped.
    let asked = json!({"charger": YKC, "connector": 2, "account": "a"});
    let order = app.post("/v1/orders", asked).await.expect(201)["order_no"].as_str().unwrap().to_owned();
    let command = app.commands(1).await.remove(0);
    let answer = proto::CommandAnswered {
        command_id: command.command_id.clone(),
        outcome: proto::CommandOutcome::Accepted.into(),
        ..Default::default()
    };
    app.say(YKC, 2, t + 10, Body::CommandAnswered(answer));
    let remote = app.get(&format!("/v1/orders/{order}")).await.expect(200)["session"].as_str().unwrap().to_owned();
    app.say(YKC, 2, t + 20, started(&remote, "", t + 20, None));
    for n in 1..4 {
        let at = t + 20 + i64::try_from(n).unwrap() * 15_000;
        app.say(YKC, 2, at, Body::MeterSampled(sample(&remote, n * 1_000)));
    }
    // The connector was free before, and the session before this one began: neither is news when it is read again.
    let free = proto::StatusChanged {
        status: proto::ConnectorStatus::Available.into(),
        plugged: Some(false),
        ..Default::default()
    };
    app.say(YKC, 1, t + 50_000, Body::StatusChanged(free));
    app.say(YKC, 1, t + 60_000, authorized(&session(7), "00000000d1000001"));
    app.say(YKC, 1, t + 61_000, started(&session(7), "", t + 61_000, None));
    app.say(YKC, 1, t + 70_000, Body::SessionEnded(proto::SessionEnded { session: session(7), ..Default::default() }));
    app.say(YKC, 1, t + 80_000, authorized(&session(8), "00000000d1000001"));
    app.say(YKC, 1, t + 81_000, started(&session(8), "", t + 81_000, None));
    app.say(YKC, 1, t + 90_000, Body::MeterSampled(sample(&session(8), 500)));
    app.until("/v1/summary", |body| body["orders"] == json!({"COMPLETED": 2, "CHARGING": 2, "AWAITING_RECORD": 1}))
        .await;
    app.until(&format!("/v1/chargers/{YKC}"), |body| body["connectors"][0]["energy_kwh"] == "0.0500").await;
    let before = everything(&app).await;
    app.halt().await;
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    // The same events in another log.
    let again = embedded(&app, "again.db");
    for topic in [Topic::Device, Topic::Telemetry] {
        for record in app.published(topic, 3).await {
            let payload = record.payload.as_deref();
            again.append(Append { topic, key: &record.key, payload, headers: &[] }, Ack::None).unwrap();
        }
    }
    app.log = again;
    app.run().await;
    app.until("/status", |body| body["parts"]["history"]["degraded"].is_object()).await;
    // What comes last, on another charger, says that all of it was read.
    let (other, last) = ("10010001000002", "100100010000020100000000000000aa");
    app.say(other, 1, t, authorized(last, "00000000d1000001"));
    app.say(other, 1, t, started(last, "", t, None));
    app.say(other, 1, t, Body::TransactionRecorded(record(last, t - 60_000 * 50, t, 200_000)));
    settled(&app, 3).await;
    let after = everything(&app).await;
    for (table, rows) in &before {
        for row in rows {
            assert!(after[table].contains(row), "{table}: lost or changed {row}\nnow {:#?}", after[table]);
        }
    }
    let grown: Vec<_> = after.iter().map(|(table, rows)| (*table, rows.len() - before[table].len())).collect();
    let lines = (1..).zip(&grown).map(|(_, grown)| *grown).collect::<Vec<_>>();
    assert_eq!(
        lines,
        [
            ("bills", 1),
            ("commands", 0),
            ("ledger", 1),
            ("order_samples", 0),
            ("order_timeline", 4),
            ("orders", 1),
            ("records", 1),
            ("work_items", 0)
        ]
    );
}

/// Rows as text, of all that orders and money are made of. Not what counts deliveries (versions, record status).
async fn everything(app: &App) -> std::collections::BTreeMap<&'static str, std::collections::BTreeSet<String>> {
    let tables = [
        (
            "orders",
            "order_no || state || coalesce(session, '') || coalesce(total_fen, -1) || coalesce(ended_at_ms, -1) \
             || CASE WHEN facts LIKE '%\"unplugged_at_ms\":1%' THEN 'unplugged' ELSE '' END",
        ),
        ("order_timeline", "order_no || at_ms || event || transition || to_state || detail"),
        ("order_samples", "order_no || at_ms || energy_e4"),
        ("records", "charger || session || version || order_no"),
        ("bills", "order_no || total_fen || verdict"),
        ("ledger", "order_no || account || amount_fen"),
        ("work_items", "item_id || kind"),
        ("commands", "command_id || state || code || coalesce(answered_at_ms, -1)"),
    ];
    let mut found = std::collections::BTreeMap::new();
    for (table, columns) in tables {
        let mut tx = app.store.read(T1001).await.unwrap();
        let sql = format!("SELECT {columns} AS line FROM {table} WHERE tenant_id = 1001");
        let rows = tx.all(&sql, Vec::new()).await.unwrap();
        found.insert(table, rows.iter().map(|row| row.text("line").unwrap()).collect());
    }
    found
}

/// Retention (Kafka's, or a hand's) was faster than the consumer.
async fn what_the_log_has_deleted_is_said_and_passed(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 0..2);
    settled(&app, 2).await;
    app.halt().await;
    sessions(&app, 2..5);
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    let sql = "DELETE FROM \"ev.device.v1\" WHERE off < 9";
    sqlx::query(sql).execute(&mut file_of(&app, "events.db").await).await.unwrap();
    app.run().await;
    assert_eq!(settled(&app, 4).await["booked_fen"], 4 * 2147);
    let status = app.get("/status").await.expect(200);
    let why = status["parts"]["history"]["degraded"]["why"].as_str().unwrap();
    assert_eq!(why, "ev.device.v1 partition 0: events 6 to 8 were not in the log any more");
    assert_eq!((&status["status"], &status["parts"]["history"]["figures"]["missed"]), (&json!("degraded"), &json!(3)));
}

async fn a_hole_in_the_log_is_said_and_passed(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    sessions(&app, 0..5);
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    let sql = "DELETE FROM \"ev.device.v1\" WHERE off BETWEEN 3 AND 5 OR off BETWEEN 9 AND 11";
    sqlx::query(sql).execute(&mut file_of(&app, "events.db").await).await.unwrap();
    app.run().await;
    assert_eq!(settled(&app, 3).await["booked_fen"], 3 * 2147);
    assert_eq!(app.get("/status").await.expect(200)["parts"]["history"]["figures"]["missed"], 6);
}

/// Somebody restores the database and does not stop the API.
async fn a_database_set_back_under_a_running_consumer_is_filled_again(on: On) {
    let app = App::start(on).await;
    sessions(&app, 0..3);
    settled(&app, 3).await;
    empty(&app).await;
    assert_eq!(settled(&app, 3).await["booked_fen"], 3 * 2147);
}

async fn lag_grows_while_the_database_refuses(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let lag = |body: &serde_json::Value| body["parts"]["consumer"]["figures"]["lag_ms"].as_i64().unwrap();
    app.until("/status", |body| lag(body) == 0).await;
    let mut admin = app.store.write_platform().await.unwrap();
    let lock = match on {
        On::Sqlite => "UPDATE positions SET seal = seal", // the transaction alone keeps every other writer out
        On::Postgres => "LOCK TABLE positions IN ACCESS EXCLUSIVE MODE",
    };
    admin.execute(lock, Vec::new()).await.unwrap();
    let t = app.now();
    app.say(YKC, 1, t, authorized(&session(1), "00000000d1000001"));
    app.until("/status", |body| lag(body) > 3_000).await;
    admin.commit().await.unwrap();
    app.until("/v1/summary", |body| body["orders"]["STARTING"] == 1).await;
    app.until("/status", |body| lag(body) == 0).await;
}

/// A backup from before the first session is put in place: the log's committed position must not hide what it lacks.
async fn an_older_database_reads_the_log_again(on: On) {
    let mut app = App::start(on).await;
    let t = app.now();
    for n in 0..5 {
        let session = session(n);
        app.say(YKC, 1, t, authorized(&session, "00000000d1000001"));
        app.say(YKC, 1, t, started(&session, "", t, None));
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session, t - 60_000 * 50, t, 200_000)));
    }
    settled(&app, 5).await;
    app.halt().await;
    let older = support::database(on).await;
    let store = business_api::Store::open(&older.url).await.unwrap();
    business_api::registry::apply(&store, &support::example(), false, support::T0).await.unwrap();
    app.config.database_url.clone_from(&older.url);
    app.store = store;
    app.run().await;
    let summary = settled(&app, 5).await;
    assert_eq!(summary["booked_fen"], 5 * 2147);
}

/// Two processes that both believe they own the partition (a rebalance): positions move by compare-and-set.
async fn two_consumers_of_one_log_count_once(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    let t = app.now();
    for n in 0..200 {
        let session = session(n);
        app.say(YKC, 1, t, authorized(&session, "00000000d1000001"));
        app.say(YKC, 1, t, started(&session, "", t, None));
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session, t - 60_000 * 50, t, 200_000)));
    }
    app.config.batch = 7;
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    // A copy of the log is a second reader with offsets of its own that mean the same.
    back_up(&app, "copy.db").await;
    let copy = embedded(&app, "copy.db");
    let stop = tokio_util::sync::CancellationToken::new();
    let second = business_api::start(app.config.clone(), copy, app.clock, None, stop.clone()).await.unwrap();
    app.run().await;
    let summary = settled(&app, 200).await;
    assert_eq!(summary["booked_fen"], 200 * 2147);
    assert_eq!(summary["orders"], json!({"COMPLETED": 200}));
    stop.cancel();
    second.join.await.unwrap().unwrap();
}

async fn poison_goes_to_the_dead_letters_and_blocks_nothing(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    app.append_raw(Topic::Device, b"x", b"\xff\xff no protobuf");
    app.append_raw(Topic::Telemetry, b"y", b"");
    let mut stranger = app.event("99999999999999", 1, 1, t, Body::ClockReported(proto::ClockReported { skew_ms: 1 }));
    app.append(&stranger);
    stranger.tenant = 0;
    app.append(&stranger);
    let mut bad = record(&session(1), t, t, 1);
    bad.digest = vec![1, 2].into();
    app.say(YKC, 1, t, Body::TransactionRecorded(bad));
    // Texts that PostgreSQL cannot hold.
    app.say(YKC, 1, t, started("nul\0", "", t, None));
    let mut odd = record(&session(2), t - 60_000, t, 100);
    odd.vin = "V\0N".into();
    odd.stop_reason_raw = "\0".into();
    app.say(YKC, 1, t, Body::TransactionRecorded(odd));
    let boot = proto::ChargerBooted { vendor: "a\0b".into(), model: "m".into(), ..Default::default() };
    app.say(YKC, 0, t, Body::ChargerBooted(boot));
    app.say(YKC, 1, t, authorized(&session(3), "00000000d1000001"));
    app.until("/v1/summary", |body| body["orders"]["STARTING"] == 1 && body["orders"]["EXCEPTION"] == 1).await;
    assert_eq!(app.get(&format!("/v1/chargers/{YKC}")).await.expect(200)["vendor"], "ab");
    let dead = app.published(Topic::DeviceDlq, 5).await;
    let reasons: Vec<String> = dead
        .iter()
        .map(|record| {
            let header = |name: &str| {
                let value = &record.headers.iter().find(|(known, _)| known == name).unwrap().1;
                String::from_utf8(value.to_vec()).unwrap()
            };
            assert_eq!((header("dlq-topic").as_str(), header("dlq-partition").as_str()), ("ev.device.v1", "0"));
            header("dlq-offset").parse::<i64>().unwrap();
            header("dlq-reason")
        })
        .collect();
    let mut sorted = reasons.clone();
    sorted.sort();
    assert_eq!(sorted, ["impossible", "impossible", "no_tenant", "undecodable", "unknown_charger"]);
    let undecodable = &dead[reasons.iter().position(|reason| reason == "undecodable").unwrap()];
    assert_eq!(undecodable.payload.as_deref(), Some(b"\xff\xff no protobuf".as_slice()), "the original bytes");
    assert_eq!(app.published(Topic::TelemetryDlq, 1).await.len(), 1);
}

async fn an_older_connection_says_nothing_about_now_but_its_money_counts(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let say = |epoch: u64, connector: u32, body: Body| app.append(&app.event(YKC, connector, epoch, t, body));
    let online = || Body::Connected(proto::Connected::default());
    let charging = |status: proto::ConnectorStatus| {
        Body::StatusChanged(proto::StatusChanged { status: status.into(), ..Default::default() })
    };
    say(5, 0, online());
    say(5, 1, charging(proto::ConnectorStatus::Occupied));
    say(5, 1, authorized(&session(1), "00000000d1000001"));
    say(5, 1, started(&session(1), "", t, None));
    say(4, 1, charging(proto::ConnectorStatus::Faulted));
    say(4, 0, Body::Disconnected(proto::Disconnected { reason: "superseded".into() }));
    say(4, 2, Body::TransactionRecorded(record(&session(7), t - 60_000 * 50, t, 200_000)));
    app.until("/v1/summary", |body| body["orders"]["EXCEPTION"] == 1).await;
    let charger = app.get(&format!("/v1/chargers/{YKC}")).await.expect(200);
    assert_eq!((&charger["online"], &charger["connectors"][0]["status"]), (&json!(true), &json!("occupied")));
    assert_eq!(app.get("/v1/orders?state=CHARGING").await.expect(200)["items"][0]["charger_offline"], false);
    say(5, 0, Body::Disconnected(proto::Disconnected { reason: "peer_left".into() }));
    let charger = app.until(&format!("/v1/chargers/{YKC}"), |body| body["online"] == false).await;
    assert_eq!(charger["connectors"][0]["status"], "offline");
    app.until("/v1/orders?state=CHARGING", |body| body["items"][0]["charger_offline"] == true).await;
}

/// Telemetry is a topic of its own: in a batch it may stand before the start of its session.
async fn live_data_before_its_session_is_kept(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    let t = app.now();
    app.say(YKC, 1, t + 1_000, Body::MeterSampled(sample(&session(1), 1_000)));
    app.say(YKC, 1, t, authorized(&session(1), "00000000d1000001"));
    app.say(YKC, 1, t, started(&session(1), "", t, None));
    app.log.flush(Duration::from_secs(10)).await.unwrap(); // one batch
    app.run().await;
    let found = app.until("/v1/orders?state=CHARGING", |body| body["items"][0].is_object()).await;
    let no = found["items"][0]["order_no"].as_str().unwrap().to_owned();
    assert_eq!(app.store.read(T1001).await.unwrap().samples_of(T1001, &[no]).await.unwrap().len(), 1);
    let connector = app.get(&format!("/v1/chargers/{YKC}/connectors/1")).await.expect(200);
    assert_eq!((&connector["energy_kwh"], &connector["power_w"]), (&json!("0.1000"), &json!(60_000)));
}

/// The record is applied before the live data of the session: the bill is made when that had its chance.
async fn a_bill_waits_for_live_data_that_is_behind(on: On) {
    let mut app = App::start_at(on, Clock::starting_at(T0 + 7_200_000, 1)).await;
    app.halt().await;
    // 13:30 to 14:30, flat to peak at 14:00: of 20 kWh 15 flow before the boundary.
    let (from, boundary) = (T0 + 80 * 60_000, T0 + 110 * 60_000);
    let to = T0 + 140 * 60_000;
    app.say(YKC, 1, from, authorized(&session(1), "00000000d1000001"));
    app.say(YKC, 1, from, started(&session(1), "", from, None));
    app.say(YKC, 1, to, unsplit(&session(1), from, to, 200_000));
    app.config.batch = 3;
    app.append(&app.event(YKC, 1, 1, boundary, Body::MeterSampled(sample(&session(1), 150_000))));
    app.run().await;
    settled(&app, 1).await;
    let no = app.get("/v1/orders").await.expect(200)["items"][0]["order_no"].as_str().unwrap().to_owned();
    let bill = app.get(&format!("/v1/orders/{no}/bill")).await.expect(200);
    let parts: Vec<&str> =
        bill["segments"].as_array().unwrap().iter().map(|it| it["energy_kwh"].as_str().unwrap()).collect();
    assert_eq!((bill["source"].as_str(), parts), (Some("samples"), vec!["15.0000", "5.0000"]), "{bill}");
}

/// T8 after 90 s, T20 and T21 after 30 s and 10 min: seconds at this pace.
async fn timers_fire_on_the_platforms_clock(on: On) {
    let app = App::start_at(on, Clock::starting_at(T0, 120)).await;
    app.connect(YKC).await;
    let order = app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    let failed = app.order_in(order["order_no"].as_str().unwrap(), "START_FAILED").await;
    assert_eq!(failed["close_reason"], "start_timeout", "{failed}");
    let t = app.now();
    app.say(YKC, 2, t, authorized(&session(1), "00000000d1000001"));
    app.say(YKC, 2, t, started(&session(1), "", t, None));
    let ended = proto::SessionEnded { session: session(1), reason: "idle".into() };
    app.say(YKC, 2, t, Body::SessionEnded(ended));
    let held = app.until("/v1/orders?state=EXCEPTION", |body| body["items"][0].is_object()).await;
    assert_eq!(held["items"][0]["exception_code"], "record_missing");
    assert_eq!(held["items"][0]["record_late"], true);
    // Very late, the record is billed all the same.
    app.say(YKC, 2, app.now(), Body::TransactionRecorded(record(&session(1), t - 50 * 60_000, t, 200_000)));
    settled(&app, 1).await;
}

/// The API was down for longer than every timer: what happened meanwhile decides, not how late it is read.
async fn a_backlog_is_applied_before_timers(on: On) {
    let mut app = App::start(on).await;
    app.connect(YKC).await;
    app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    let order = app.get("/v1/orders").await.expect(200)["items"][0].clone();
    let session = order["session"].as_str().unwrap();
    app.halt().await;
    let t = app.now();
    app.config.batch = 5;
    for n in 0..100 {
        app.append(&app.event(YKC, 2, 1, t + n, Body::ClockReported(proto::ClockReported { skew_ms: n })));
    }
    app.say(YKC, 1, t + 1_000, started(session, "", t + 1_000, None));
    app.clock = Clock::starting_at(T0 + 3_600_000, 1);
    app.run().await;
    app.order_in(order["order_no"].as_str().unwrap(), "CHARGING").await;
}

async fn a_card_is_paid_by_its_account(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    app.say(OCPP, 1, t, started("77", "fleet1001", t, Some(10_000)));
    let stop = proto::TransactionRecorded {
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(110_000),
        energy_e4: None,
        amount_e4: None,
        token: "Fleet1001".into(),
        ..record("77", t, t + 20 * 60_000, 0)
    };
    app.say(OCPP, 1, t + 20 * 60_000, Body::TransactionRecorded(stop.clone()));
    settled(&app, 1).await;
    // An offline card: the record is the first that anybody hears of it.
    let offline = proto::TransactionRecorded {
        card: "00000000D1000002".into(),
        start_mode: proto::StartMode::OfflineCard.into(),
        ..record(&session(5), t - 60_000 * 50, t, 200_000)
    };
    app.say(YKC, 1, t, Body::TransactionRecorded(offline));
    settled(&app, 2).await;
    for (account, fen) in [("fleet-001", 420), ("user-002", 2147)] {
        let list = app.get(&format!("/v1/orders?account={account}")).await.expect(200);
        assert_eq!(list["items"][0]["total_fen"], fen, "{list}");
    }
}

/// The gateway names such a record by its digest: two are two orders, one that comes again is still one.
async fn records_without_a_number_are_orders_of_their_own(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    for energy_e4 in [200_000, 100_000, 200_000] {
        let mut record = record("", t - 60_000 * 50, t, energy_e4);
        record.session = record.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        record.card = "00000000d1000002".into();
        record.start_mode = proto::StartMode::OfflineCard.into();
        app.say(YKC, 1, t, Body::TransactionRecorded(record));
    }
    app.say(YKC, 1, t, authorized(&session(9), "00000000d1000001"));
    app.until("/v1/summary", |body| body["orders"]["STARTING"] == 1).await;
    let summary = app.get("/v1/summary").await.expect(200);
    assert_eq!(
        (&summary["orders"]["COMPLETED"], &summary["booked_fen"]),
        (&json!(2), &json!(2147 + 1073)),
        "{summary}"
    );
}

async fn offline_and_back(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let t = app.now();
    app.say(YKC, 1, t, authorized(&session(1), "00000000d1000001"));
    app.say(YKC, 1, t, started(&session(1), "", t, None));
    app.say(YKC, 0, t + 10, Body::Disconnected(proto::Disconnected { reason: "silent".into() }));
    app.until("/v1/orders?state=CHARGING", |body| body["items"][0]["charger_offline"] == true).await;
    app.append(&app.event(YKC, 0, 2, t + 20, Body::Connected(proto::Connected::default())));
    app.append(&app.event(YKC, 1, 2, t + 30, started(&session(1), "", t, None)));
    app.until("/v1/orders?state=CHARGING", |body| body["items"][0]["charger_offline"] == false).await;
}

async fn samples_are_bounded(on: On) {
    let config = business_api::Config { samples_per_order: 40, ..Default::default() };
    let app = App::start_with(on, Clock::starting_at(T0 + 7_200_000, 1), config).await;
    app.say(YKC, 1, T0, authorized(&session(1), "00000000d1000001"));
    app.say(YKC, 1, T0, started(&session(1), "", T0, None));
    for n in 1..=100 {
        app.say(YKC, 1, T0 + n * 15_000, Body::MeterSampled(sample(&session(1), n.unsigned_abs() * 10)));
    }
    app.until("/v1/orders", |body| body["items"][0]["energy_seen_kwh"] == "0.1000").await;
    let no = app.get("/v1/orders").await.expect(200)["items"][0]["order_no"].as_str().unwrap().to_owned();
    let samples = app.store.read(T1001).await.unwrap().samples_of(T1001, &[no]).await.unwrap();
    assert_eq!(samples.len(), 40);
}
