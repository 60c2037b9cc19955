//! Dead letters: every one is there to be seen by whom it concerns, and redriving one has its effect exactly once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::{sync::Arc, time::Duration};

use business_api::{
    TenantId,
    dead_letters::{self, NOBODY},
    store::dead_letters::{LetterFilter, WholeLetter},
};
use events::{
    log::{Ack, Append, EmbeddedConfig, EventLog, embedded::EmbeddedLog},
    proto::{self, envelope::Body},
    topic::Topic,
};
use serde_json::{Value, json};
use support::{App, OCPP, OTHER_KEY, On, T1001, YKC, record, started};

on_both! {
    a_chargers_message_is_shown_and_cannot_be_redriven
    money_of_an_unknown_charger_is_an_order_once_it_is_redriven
    what_was_redriven_leaves_even_if_the_process_dies_at_once
    an_event_that_fails_again_is_a_new_letter_that_says_so
    letters_of_nobody_are_the_operators
    poison_holds_nothing_behind_it_back
    the_same_letter_read_twice_is_one
    a_redriven_event_says_nothing_about_now
    what_the_log_forgot_is_forgotten
    a_letter_too_large_for_the_log_keeps_nothing_back
    lists_are_filtered_and_paged
    a_dismissed_letter_waits_for_nobody_and_loses_nothing
    that_a_removed_charger_is_gone_is_no_letter_but_its_money_is
}

/// Not in the registry file.
const STRANGER: &str = "10010001009999";

fn session(charger: &str, counter: u64) -> String {
    format!("{charger}01{counter:016}")
}

/// A whole session: 20 kWh, 2147 fen.
fn charge(app: &App, charger: &str, counter: u64) {
    let (t, session) = (app.now(), session(charger, counter));
    let authorized = proto::SessionAuthorized {
        session: session.clone(),
        token: "00000000d1000001".to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    };
    app.say(charger, 1, t, Body::SessionAuthorized(authorized));
    app.say(charger, 1, t, started(&session, "", t, None));
    app.say(charger, 1, t, Body::TransactionRecorded(record(&session, t - 60_000 * 50, t, 200_000)));
}

async fn letters(app: &App, query: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/dead-letters?limit=200{query}");
    let list = app.until(&path, |body| body["items"].as_array().is_some_and(|items| items.len() == count)).await;
    list["items"].as_array().unwrap().clone()
}

fn id(letter: &Value) -> &str {
    letter["letter"].as_str().unwrap()
}

async fn redrive(app: &App, letter: &Value) -> support::Answer {
    app.post(&format!("/v1/dead-letters/{}/redrive", id(letter)), json!({})).await
}

async fn register(app: &App) {
    let charger = json!({"charger": STRANGER, "station": "S01", "protocol": "ykc", "rated_power_w": 120_000,
        "connector_count": 2});
    app.post("/v1/chargers", charger).await.expect(201);
}

async fn of_nobody(app: &App, count: usize) -> Vec<WholeLetter> {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let mut tx = app.store.read(NOBODY).await.unwrap();
        let heads = tx.dead_letters(NOBODY, &LetterFilter::default(), (i64::MAX, i64::MAX, ""), 100).await.unwrap();
        if heads.len() == count {
            let mut found = Vec::new();
            for head in heads {
                found.push(tx.dead_letter(NOBODY, &head.id).await.unwrap().unwrap());
            }
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{heads:?}");
        drop(tx);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As the gateway writes it.
fn gateway_letter(app: &App, tenant: &[u8], key: &str, bytes: &[u8]) {
    let headers: [(&str, &[u8]); 6] = [
        ("reason", b"ykc_record_unparsable"),
        ("tenant", tenant),
        ("node", b"n1"),
        ("epoch", b"7"),
        ("protocol", b"PROTOCOL_YKC"),
        ("received_at_ms", b"1773115800000"),
    ];
    let append = Append { topic: Topic::DeviceDlq, key: key.as_bytes(), payload: Some(bytes), headers: &headers };
    app.log.append(append, Ack::None).unwrap();
}

async fn a_chargers_message_is_shown_and_cannot_be_redriven(on: On) {
    let app = App::start(on).await;
    gateway_letter(&app, b"1001", YKC, &[0x68, 4, 0, 0xff]);
    let letter = letters(&app, "", 1).await.remove(0);
    assert_eq!((&letter["source"], &letter["origin"]), (&json!("gateway"), &Value::Null));
    assert_eq!((&letter["charger"], &letter["reason"]), (&json!(YKC), &json!("ykc_record_unparsable")));
    assert_eq!((&letter["bytes"], &letter["redrivable"]), (&json!(4), &json!(false)));
    let path = format!("/v1/dead-letters/{}", id(&letter));
    let whole = app.get(&path).await.expect(200);
    assert_eq!(
        (&whole["payload_hex"], &whole["text"], &whole["event"]),
        (&json!("680400ff"), &Value::Null, &Value::Null)
    );
    assert_eq!(whole["headers"][3], json!({"name": "epoch", "value": "7"}));
    let problem = redrive(&app, &letter).await.problem(409, "holds_no_event");
    assert!(problem["detail"].as_str().unwrap().contains("evgate dlq show"), "{problem}");
    // Another tenant's answers are those of an id that does not exist.
    assert_eq!(app.call("GET", "/v1/dead-letters", OTHER_KEY, &[], None).await.expect(200)["items"], json!([]));
    app.call("GET", &path, OTHER_KEY, &[], None).await.problem(404, "not_found");
    let key = [("idempotency-key", "k")];
    app.call("POST", &format!("{path}/redrive"), OTHER_KEY, &key, Some(&json!({}))).await.problem(404, "not_found");
    assert!(app.published(Topic::Device, 0).await.is_empty());
}

async fn money_of_an_unknown_charger_is_an_order_once_it_is_redriven(on: On) {
    let app = App::start(on).await;
    charge(&app, STRANGER, 1);
    let mut waiting = letters(&app, "&reason=unknown_charger", 3).await;
    waiting.reverse(); // oldest first
    let shown = app.get(&format!("/v1/dead-letters/{}", id(&waiting[2]))).await.expect(200);
    assert_eq!(shown["event"]["transaction_recorded"]["energy_e4"], 200_000, "{shown}");
    assert_eq!((&shown["origin"]["topic"], &shown["charger"]), (&json!("ev.device.v1"), &json!(STRANGER)));
    register(&app).await;
    for letter in &waiting {
        let body = redrive(&app, letter).await.expect(202);
        let by = body["redriven"]["by"].as_str().unwrap();
        assert!(by.starts_with("api:") && body["redriven"]["times"] == 1, "{body}");
    }
    let summary = app.until("/v1/summary", |body| body["orders"] == json!({"COMPLETED": 1})).await;
    assert_eq!(summary["booked_fen"], 2147);
    // Once more, asked by name: nothing. By force: the event goes round again, and counts no second time.
    redrive(&app, &waiting[2]).await.problem(409, "redriven_before");
    for letter in &waiting {
        let path = format!("/v1/dead-letters/{}/redrive", id(letter));
        assert_eq!(app.post(&path, json!({"force": true})).await.expect(202)["redriven"]["times"], 2);
    }
    app.published(Topic::Device, 9).await;
    charge(&app, YKC, 2);
    let summary = app.until("/v1/summary", |body| body["orders"]["COMPLETED"] == 2).await;
    assert_eq!((&summary["orders"], &summary["booked_fen"]), (&json!({"COMPLETED": 2}), &json!(2 * 2147)));
    letters(&app, "", 3).await;
    letters(&app, "&redriven=false", 0).await;
}

/// The mark is committed, and then nothing of the process is left: what `kill -9` between mark and append leaves behind.
async fn what_was_redriven_leaves_even_if_the_process_dies_at_once(on: On) {
    let mut app = App::start(on).await;
    charge(&app, STRANGER, 1);
    let mut waiting = letters(&app, "", 3).await;
    waiting.reverse();
    register(&app).await;
    app.halt().await;
    for letter in &waiting {
        // Begun and not committed: as if it had never been.
        let mut tx = app.store.write(T1001).await.unwrap();
        dead_letters::redrive(&mut tx, T1001, id(letter), "cli:x", false, app.now()).await.unwrap();
        drop(tx);
        let mut tx = app.store.write(T1001).await.unwrap();
        dead_letters::redrive(&mut tx, T1001, id(letter), "cli:x", false, app.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(app.published(Topic::Device, 3).await.len(), 3, "nothing has left yet");
    app.run().await;
    let summary = app.until("/v1/summary", |body| body["orders"] == json!({"COMPLETED": 1})).await;
    assert_eq!(summary["booked_fen"], 2147);
    let records = app.published(Topic::Device, 6).await;
    assert_eq!(records[3].key, STRANGER.as_bytes());
    assert_eq!(records[3].payload, records[0].payload, "the original bytes, oldest first");
    let header = |name: &str| records[3].headers.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!((header("redriven-by"), header("redriven-letter")), ("cli:x".into(), id(&waiting[0]).to_owned().into()));
}

async fn an_event_that_fails_again_is_a_new_letter_that_says_so(on: On) {
    let app = App::start(on).await;
    app.say(STRANGER, 1, app.now(), started(&session(STRANGER, 1), "", app.now(), None));
    let first = letters(&app, "", 1).await.remove(0);
    assert_eq!(first["attempts"], 0);
    redrive(&app, &first).await.expect(202);
    let second = letters(&app, "&redriven=false", 1).await.remove(0);
    assert_eq!((&second["attempts"], &second["reason"]), (&json!(1), &json!("unknown_charger")));
    redrive(&app, &second).await.expect(202);
    let third = letters(&app, "&redriven=false", 1).await.remove(0);
    assert_eq!(third["attempts"], 2);
    let payload = async |letter: &Value| {
        app.get(&format!("/v1/dead-letters/{}", id(letter))).await.expect(200)["payload_hex"].clone()
    };
    assert_eq!(payload(&first).await, payload(&third).await);
}

async fn letters_of_nobody_are_the_operators(on: On) {
    let app = App::start(on).await;
    app.append_raw(Topic::Device, b"x", b"\xff\xff no protobuf");
    app.append_raw(Topic::Device, b"\0\xff", b"");
    let ended = proto::SessionEnded { session: session(YKC, 1), ..proto::SessionEnded::default() };
    let mut event = app.event("a\0b", 1, 1, app.now(), Body::SessionEnded(ended));
    app.append(&event);
    event.charger = YKC.to_owned();
    event.tenant = 4711; // the registry has no such tenant
    app.append(&event);
    gateway_letter(&app, b"0", "1", b"?");
    gateway_letter(&app, b"-5", "2", b"?");
    let found = of_nobody(&app, 5).await;
    assert!(found.iter().any(|it| it.payload.as_deref() == Some(b"\xff\xff no protobuf")), "{found:?}");
    assert!(found.iter().any(|it| it.letter.charger == YKC && it.letter.reason == "unknown_charger"), "{found:?}");
    // The one that names a tenant, and a charger with U+0000, is that tenant's.
    assert_eq!(letters(&app, "", 1).await[0]["charger"], "ab");
    assert!(app.call("GET", "/v1/dead-letters", OTHER_KEY, &[], None).await.expect(200)["items"] == json!([]));
    let undecodable = found.iter().find(|it| it.letter.reason == "undecodable").unwrap();
    app.get(&format!("/v1/dead-letters/{}", undecodable.letter.id)).await.problem(404, "not_found");
    let mut tx = app.store.read(T1001).await.unwrap();
    let across = tx.dead_letter(NOBODY, &undecodable.letter.id).await.unwrap();
    assert_eq!(across.is_some(), matches!(on, On::Sqlite), "PostgreSQL keeps them apart by policy");
}

/// In one partition: a session, poison, a session. The second is applied as if there were no poison.
async fn poison_holds_nothing_behind_it_back(on: On) {
    let app = App::start(on).await;
    charge(&app, YKC, 1);
    for n in 0..40 {
        app.append_raw(Topic::Device, YKC.as_bytes(), format!("\u{ff}poison {n}").as_bytes());
    }
    let mut bad = record(&session(YKC, 3), app.now(), app.now(), 1);
    bad.digest = vec![1, 2].into();
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(bad));
    charge(&app, YKC, 2);
    let summary = app.until("/v1/summary", |body| body["orders"]["COMPLETED"] == 2).await;
    assert_eq!(summary["booked_fen"], 2 * 2147);
    of_nobody(&app, 40).await;
    assert_eq!(letters(&app, "", 1).await[0]["reason"], "impossible");
    let status = app.get("/status").await.expect(200);
    assert!(status["parts"]["consumer"]["degraded"].is_null(), "{status}");
}

/// The outbox may publish twice, and another log may bring the same letters: what was redriven stays redriven.
async fn the_same_letter_read_twice_is_one(on: On) {
    let mut app = App::start(on).await;
    app.say(STRANGER, 1, app.now(), started(&session(STRANGER, 1), "", app.now(), None));
    let letter = letters(&app, "", 1).await.remove(0);
    register(&app).await;
    redrive(&app, &letter).await.expect(202);
    app.published(Topic::Device, 2).await;
    app.halt().await;
    let config = EmbeddedConfig { path: app.db.folder.path().join("other.db"), ..EmbeddedConfig::default() };
    let other: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(&config).unwrap());
    for record in app.published(Topic::DeviceDlq, 1).await.iter().cycle().take(3) {
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
        let append =
            Append { topic: Topic::DeviceDlq, key: &record.key, payload: record.payload.as_deref(), headers: &headers };
        other.append(append, Ack::None).unwrap();
    }
    app.log = other;
    app.run().await;
    gateway_letter(&app, b"1001", YKC, b"last");
    let all = letters(&app, "", 2).await;
    assert_eq!((id(&all[1]), &all[1]["redriven"]["times"]), (id(&letter), &json!(1)));
    assert_eq!(all[1]["offset"], 2, "where the log has it now");
}

/// The charger has gone on since: an old status must not be taken for its present one.
async fn a_redriven_event_says_nothing_about_now(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let status = |status: proto::ConnectorStatus| {
        let session = session(STRANGER, 2);
        Body::StatusChanged(proto::StatusChanged { status: status.into(), session, ..proto::StatusChanged::default() })
    };
    app.say(STRANGER, 1, t, started(&session(STRANGER, 1), "", t, None));
    let letter = letters(&app, "", 1).await.remove(0);
    register(&app).await;
    app.say(STRANGER, 1, t + 1_000, status(proto::ConnectorStatus::Charging));
    let path = format!("/v1/chargers/{STRANGER}");
    app.until(&path, |body| body["connectors"][0]["status"] == "charging").await;
    redrive(&app, &letter).await.expect(202);
    app.published(Topic::Device, 3).await;
    app.say(STRANGER, 2, t + 2_000, status(proto::ConnectorStatus::Reserved));
    let body = app.until(&path, |body| body["connectors"][1]["status"] == "reserved").await;
    assert_eq!(body["connectors"][0]["session"], session(STRANGER, 2), "{body}");
}

async fn what_the_log_forgot_is_forgotten(on: On) {
    let app = App::start(on).await;
    for n in 0..3 {
        gateway_letter(&app, b"1001", YKC, format!("{n}").as_bytes());
    }
    letters(&app, "", 3).await;
    let mut tx = app.store.write(T1001).await.unwrap();
    assert_eq!(tx.forget_dead_letters(T1001, Topic::DeviceDlq, 0, 2).await.unwrap(), 2);
    assert_eq!(tx.forget_dead_letters(T1001, Topic::TelemetryDlq, 0, 9).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(letters(&app, "", 1).await[0]["offset"], 2);
}

/// Poison as large as the log takes: with the headers of a letter it does not fit any more.
async fn a_letter_too_large_for_the_log_keeps_nothing_back(on: On) {
    let mut app = App::start(on).await;
    app.halt().await;
    let path = app.db.folder.path().join("narrow.db");
    let narrow = EmbeddedConfig { path, record_kbytes_max: 16, ..EmbeddedConfig::default() };
    app.log = Arc::new(EmbeddedLog::open(&narrow).unwrap());
    app.append_raw(Topic::Device, b"k", &vec![0xff; 16 * 1024 - 10]);
    // An event that is as large, for a charger that nobody knows.
    let body = started(&session(STRANGER, 1), &"m".repeat(16 * 1024 - 170), app.now(), None);
    app.append(&app.event(STRANGER, 0, 1, app.now(), body));
    charge(&app, YKC, 1);
    app.run().await;
    let told = app.published(Topic::Order, 1).await; // comes behind the letters in the outbox
    assert!(!told.is_empty());
    let nobodys = of_nobody(&app, 1).await.remove(0);
    assert_eq!((nobodys.letter.partition, nobodys.letter.bytes), (-1, 16 * 1024 - 10));
    assert_eq!((nobodys.letter.reason.as_str(), nobodys.letter.origin.unwrap().offset), ("undecodable", 0));
    let ours = letters(&app, "", 1).await.remove(0);
    assert_eq!((&ours["partition"], &ours["reason"]), (&json!(-1), &json!("unknown_charger")));
    // Redriven it does not fit either, and says so instead of keeping the outbox.
    redrive(&app, &ours).await.expect(202);
    let again = letters(&app, "&redriven=false", 1).await.remove(0);
    assert_eq!((&again["reason"], &again["attempts"]), (&json!("too_large"), &json!(1)));
    assert!(app.published(Topic::DeviceDlq, 0).await.is_empty());
    app.until("/status", |body| body["parts"]["outbox"]["degraded"].is_null()).await;
}

async fn lists_are_filtered_and_paged(on: On) {
    let app = App::start(on).await;
    for n in 0..5 {
        gateway_letter(&app, b"1001", YKC, format!("{n}").as_bytes());
    }
    gateway_letter(&app, b"1001", OCPP, b"{}");
    gateway_letter(&app, b"1002", "10020001000001", b"theirs");
    let (session, energy_e4) = (session(STRANGER, 1), Some(1));
    let sample = proto::MeterSampled { session, energy_e4, ..proto::MeterSampled::default() };
    app.append(&app.event(STRANGER, 1, 1, app.now(), Body::MeterSampled(sample)));
    letters(&app, "", 7).await;
    letters(&app, &format!("&charger={YKC}"), 5).await;
    letters(&app, "&topic=ev.telemetry.v1", 1).await;
    letters(&app, "&topic=ev.telemetry.v1.dlq&reason=unknown_charger", 1).await;
    letters(&app, "&from=2100-01-01T00:00:00Z", 0).await;
    letters(&app, "&to=2020-01-01T00:00:00Z", 0).await;
    letters(&app, "&from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&redriven=false", 7).await;
    app.get("/v1/dead-letters?from=yesterday").await.problem(400, "bad_query");
    let (mut seen, mut path) = (Vec::new(), "/v1/dead-letters?limit=3".to_owned());
    loop {
        let page = app.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| id(item).to_owned()));
        match page["next_cursor"].as_str() {
            None => break,
            Some(next) => path = format!("/v1/dead-letters?limit=3&cursor={next}"),
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (7, 7), "each once");
    let mut tx = app.store.read(TenantId(1002)).await.unwrap();
    let theirs = tx.dead_letters(TenantId(1002), &LetterFilter::default(), (i64::MAX, i64::MAX, ""), 9).await.unwrap();
    assert_eq!(theirs.len(), 1);
}

async fn a_dismissed_letter_waits_for_nobody_and_loses_nothing(on: On) {
    let mut app = App::start(on).await;
    gateway_letter(&app, b"1001", YKC, &[0x68, 4, 0, 0xff]);
    charge(&app, STRANGER, 1);
    let all = letters(&app, "&dismissed=false", 4).await;
    let path = |letter: &Value| format!("/v1/dead-letters/{}", id(letter));
    let dismiss = async |app: &App, letter: &Value, because: &str| {
        app.post(&format!("{}/dismiss", path(letter)), json!({"because": because})).await
    };
    // Why has to be said, and only its owner says it.
    for because in ["", "  ", "a\nb", &"x".repeat(401)] {
        let refused = dismiss(&app, &all[0], because).await.problem(422, "invalid_value");
        assert_eq!(refused["errors"][0]["pointer"], "/because");
    }
    let (at, key, body) = (format!("{}/dismiss", path(&all[0])), [("idempotency-key", "d")], json!({"because": "x"}));
    app.call("POST", &at, OTHER_KEY, &key, Some(&body)).await.problem(404, "not_found");
    for letter in &all {
        let body = dismiss(&app, letter, "settled by hand").await.expect(200);
        assert_eq!(
            (&body["dismissed"]["by"], &body["dismissed"]["because"]),
            (&json!("api:demo"), &json!("settled by hand"))
        );
        dismiss(&app, letter, "for another reason").await.problem(409, "dismissed_before");
    }
    letters(&app, "&dismissed=true", 4).await;
    letters(&app, "&dismissed=false", 0).await;
    // Read once more from the log it is still the same letter, with its bytes, and nobody has to look at it.
    let log = app.published(Topic::DeviceDlq, 4).await;
    app.halt().await;
    for record in &log {
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
        let append =
            Append { topic: Topic::DeviceDlq, key: &record.key, payload: record.payload.as_deref(), headers: &headers };
        app.log.append(append, Ack::None).unwrap();
    }
    app.run().await;
    app.until("/status", |body| body["parts"]["dead_letters"]["figures"]["waiting"] == 0).await;
    let whole = app.get(&path(&all[3])).await.expect(200);
    assert_eq!((&whole["dismissed"]["because"], &whole["redriven"]), (&json!("settled by hand"), &Value::Null));
    assert!(whole["payload_hex"].as_str().is_some_and(|hex| !hex.is_empty()));
    // Whoever thinks better of it gives the events back after all.
    register(&app).await;
    for letter in letters(&app, "&dismissed=true", 4).await.iter().rev().filter(|it| it["redrivable"] == true) {
        redrive(&app, letter).await.expect(202);
    }
    let summary = app.until("/v1/summary", |body| body["orders"] == json!({"COMPLETED": 1})).await;
    assert_eq!(summary["booked_fen"], 2147);
}

async fn that_a_removed_charger_is_gone_is_no_letter_but_its_money_is(on: On) {
    const MONEY: [&str; 4] = ["command_answered", "session_authorized", "session_started", "transaction_recorded"];
    let app = App::start(on).await;
    register(&app).await;
    app.connect(STRANGER).await;
    let removed = app.call("DELETE", &format!("/v1/chargers/{STRANGER}"), support::KEY, &[], None).await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    let t = app.now();
    let status = proto::StatusChanged { status: proto::ConnectorStatus::Finishing.into(), ..Default::default() };
    app.say(STRANGER, 1, t, Body::StatusChanged(status));
    app.say(STRANGER, 0, t, Body::ClockReported(proto::ClockReported { skew_ms: 1 }));
    let alarm = proto::AlarmRaised { code: "hardware_fault".to_owned(), active: true, ..Default::default() };
    app.say(STRANGER, 1, t, Body::AlarmRaised(alarm));
    let idle = proto::MeterSampled { status: proto::ConnectorStatus::Available.into(), ..Default::default() };
    app.say(STRANGER, 1, t, Body::MeterSampled(idle));
    app.say(STRANGER, 0, t, Body::Disconnected(proto::Disconnected::default()));
    app.say(STRANGER, 0, t, Body::Connected(proto::Connected::default()));
    charge(&app, STRANGER, 1);
    let answer = proto::CommandAnswered { command_id: "c".to_owned(), ..Default::default() };
    app.say(STRANGER, 0, t, Body::CommandAnswered(answer));
    // The last that was said is a letter, so nothing before it is still on its way.
    let mut money = Vec::new();
    for letter in letters(&app, "", 4).await {
        let whole = app.get(&format!("/v1/dead-letters/{}", id(&letter))).await.expect(200);
        let event = whole["event"].as_object().unwrap();
        money.extend(MONEY.into_iter().filter(|body| event.contains_key(*body)));
    }
    money.sort_unstable();
    assert_eq!(money, MONEY);
}
