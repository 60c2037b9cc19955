//! What the consumer promises: every event counts once, whatever is delivered twice, out of place, or by two at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{sync::Arc, time::Duration};

use events::{
    clock::Clock,
    log::{Ack, Append, AppendError, Around, EventLog, Health, LogError, Position, Start, Subscription},
    proto::{self, envelope::Body},
    topic::Topic,
};
use futures::future::BoxFuture;
use serde_json::json;
use support::{
    App, OCPP, On, T0, T1001, YKC,
    logs::{back_up, embedded, history},
    record,
    sessions::{authorized, sample, session, sessions, settled},
    started,
};

on_both! {
    a_batch_delivered_twice_counts_once
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

/// A record whose charger did not split the energy: the bill needs samples when it crosses a price boundary.
fn unsplit(session: &str, from_ms: i64, to_ms: i64, energy_e4: u64) -> Body {
    let record = record(session, from_ms, to_ms, energy_e4);
    Body::TransactionRecorded(proto::TransactionRecorded { periods: vec![], amount_e4: None, ..record })
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

/// Two processes that both believe they own the partition (a rebalance): positions move by compare-and-set.
async fn two_consumers_of_one_log_count_once(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    sessions(&app, 0..200);
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
    let ended = proto::SessionEnded { session: session(9), ..proto::SessionEnded::default() };
    let mut stranger = app.event("99999999999999", 1, 1, t, Body::SessionEnded(ended));
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
    // Said again for a gateway that died: it is offline since the first time, and nobody saw it.
    let lost = Body::Disconnected(proto::Disconnected { reason: "gateway_lost".into() });
    app.append(&proto::Envelope { number: 0, ..app.event(YKC, 0, 5, t + 60_000, lost) });
    let other = Body::Connected(proto::Connected::default());
    app.append(&app.event(OCPP, 0, 5, t, other));
    app.until(&format!("/v1/chargers/{OCPP}"), |body| body["online"] == true).await;
    let after = app.get(&format!("/v1/chargers/{YKC}")).await.expect(200);
    assert_eq!((&after["since"], &after["seen_at"]), (&charger["since"], &charger["seen_at"]));
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
