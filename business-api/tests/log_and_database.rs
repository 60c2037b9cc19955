//! A log and a database that are not of one moment: a restored backup of either, a new log, a log that lost something (docs/adr/0008).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use events::{
    log::{Ack, Append, KafkaConfig, LogConfig, open},
    proto::{self, envelope::Body},
    topic::Topic,
};
use serde_json::json;
use support::{
    App, On, T0, T1001, YKC, counts,
    logs::{back_up, embedded, file_of, history},
    record,
    sessions::{authorized, sample, session, sessions, settled},
    started,
};

const MISSED: &str = "evgate_events_missed_total";
const REPLACED: &str = "evgate_log_replaced_total";

on_both! {
    an_older_database_reads_the_log_again
    a_new_log_is_read_from_its_beginning
    an_older_copy_of_the_log_is_read_from_its_beginning
    reading_everything_again_changes_nothing
    what_the_log_has_deleted_is_said_and_passed
    a_hole_in_the_log_is_said_and_passed
    a_database_set_back_under_a_running_consumer_is_filled_again
}

/// A backup from before the first session is put in place: the log's committed position must not hide what it lacks.
async fn an_older_database_reads_the_log_again(on: On) {
    let mut app = App::start(on).await;
    sessions(&app, 0..5);
    settled(&app, 5).await;
    app.halt().await;
    let older = support::database(on).await;
    let store = business_api::Store::open(&older.url).await.unwrap();
    business_api::registry::apply(&store, &support::example(), false, T0).await.unwrap();
    app.config.database_url.clone_from(&older.url);
    app.store = store;
    app.run().await;
    let summary = settled(&app, 5).await;
    assert_eq!(summary["booked_fen"], 5 * 2147);
}

/// `events.db` was deleted, or the database goes to another cluster: its first events must not be taken for old ones.
async fn a_new_log_is_read_from_its_beginning(on: On) {
    let recorder = counts::recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
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
    assert_eq!(counts::count(&recorder, REPLACED), 1);
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
    assert_eq!(counts::count(&recorder, REPLACED), 2, "said once each time");
    assert_eq!(counts::count(&recorder, MISSED), 0);
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
async fn everything(app: &App) -> BTreeMap<&'static str, BTreeSet<String>> {
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
    let mut found = BTreeMap::new();
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
    let recorder = counts::recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
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
    assert_eq!((counts::count(&recorder, MISSED), counts::count(&recorder, REPLACED)), (3, 0));
}

async fn a_hole_in_the_log_is_said_and_passed(on: On) {
    let recorder = counts::recorder();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let mut app = App::start(on).await;
    app.halt().await;
    sessions(&app, 0..5);
    app.log.flush(Duration::from_secs(10)).await.unwrap();
    let sql = "DELETE FROM \"ev.device.v1\" WHERE off BETWEEN 3 AND 5 OR off BETWEEN 9 AND 11";
    sqlx::query(sql).execute(&mut file_of(&app, "events.db").await).await.unwrap();
    app.run().await;
    assert_eq!(settled(&app, 3).await["booked_fen"], 3 * 2147);
    assert_eq!(app.get("/status").await.expect(200)["parts"]["history"]["figures"]["missed"], 6);
    assert_eq!((counts::count(&recorder, MISSED), counts::count(&recorder, REPLACED)), (6, 0));
}

/// Somebody restores the database and does not stop the API.
async fn a_database_set_back_under_a_running_consumer_is_filled_again(on: On) {
    let app = App::start(on).await;
    sessions(&app, 0..3);
    settled(&app, 3).await;
    empty(&app).await;
    assert_eq!(settled(&app, 3).await["booked_fen"], 3 * 2147);
}
