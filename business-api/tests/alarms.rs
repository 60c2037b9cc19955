//! Alarms of gateways: open or over per connector and code, seen with the charger and on the order they are about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use events::proto::{self, envelope::Body};
use serde_json::{Value, json};
use support::{App, On, YKC, record, started};

on_both! {
    an_alarm_is_open_until_it_is_over
    a_missing_record_is_on_its_orders_timeline
    a_wrong_clock_is_an_alarm_until_it_is_right
    alarms_that_are_read_again_change_nothing
}

fn alarm(code: &str, detail: &str, active: bool) -> Body {
    Body::AlarmRaised(proto::AlarmRaised { code: code.to_owned(), detail: detail.to_owned(), active })
}

/// The charger's alarms as soon as everything said before `at_ms` is applied.
async fn alarms(app: &App, epoch: u64, at_ms: i64) -> Vec<Value> {
    let model = format!("at {at_ms}");
    let last = proto::ChargerBooted { model: model.clone(), ..proto::ChargerBooted::default() };
    app.append(&app.event(YKC, 0, epoch, at_ms, Body::ChargerBooted(last)));
    let charger = app.until(&format!("/v1/chargers/{YKC}"), |body| body["model"] == model.as_str()).await;
    charger["alarms"].as_array().unwrap().clone()
}

async fn an_alarm_is_open_until_it_is_over(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let say = |connector: u32, epoch: u64, at_ms: i64, body: Body| {
        app.append(&app.event(YKC, connector, epoch, at_ms, body));
    };
    say(1, 1, t, alarm("hardware_fault", "0004", true));
    say(1, 1, t + 1_000, alarm("hardware_fault", "0006", true));
    say(2, 1, t + 1_000, alarm("hardware_fault", "0001", true));
    say(9, 1, t + 1_000, alarm("hardware_fault", "0001", true)); // a connector that nobody registered
    let open = alarms(&app, 1, t + 2_000).await;
    assert_eq!(open.len(), 2, "{open:?}");
    assert_eq!((&open[0]["connector"], &open[0]["detail"], &open[0]["times"]), (&json!(1), &json!("0006"), &json!(2)));
    assert_ne!(open[0]["raised_at"], open[0]["last_seen_at"]);
    say(1, 1, t + 3_000, alarm("hardware_fault", "0000", false));
    // What was said before is no news: a repeat opens nothing again.
    say(1, 1, t + 1_000, alarm("hardware_fault", "0006", true));
    let open = alarms(&app, 1, t + 4_000).await;
    assert_eq!(open.iter().map(|alarm| alarm["connector"].clone()).collect::<Vec<_>>(), [json!(2)]);
    // An older connection has no say in it, and a newer one says anew what holds.
    say(2, 2, t + 5_000, Body::Connected(proto::Connected::default()));
    say(2, 1, t + 6_000, alarm("hardware_fault", "0001", true));
    assert_eq!(alarms(&app, 2, t + 7_000).await, Vec::<Value>::new());
    say(2, 2, t + 8_000, alarm("hardware_fault", "0001", true));
    let open = alarms(&app, 2, t + 9_000).await;
    assert_eq!((open.len(), &open[0]["times"], &open[0]["raised_at"]), (1, &json!(2), &open[0]["last_seen_at"]));
}

async fn a_wrong_clock_is_an_alarm_until_it_is_right(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let clock = |skew_ms: i64| Body::ClockReported(proto::ClockReported { skew_ms });
    app.append(&app.event(YKC, 0, 1, t, clock(60_000)));
    assert_eq!(alarms(&app, 1, t + 1_000).await, Vec::<Value>::new());
    app.append(&app.event(YKC, 0, 1, t + 2_000, clock(-820_000_000_000)));
    let open = alarms(&app, 1, t + 3_000).await;
    assert_eq!(
        (open.len(), &open[0]["code"], &open[0]["detail"]),
        (1, &json!("clock_skew"), &json!("-820000000000 ms"))
    );
    app.append(&app.event(YKC, 0, 1, t + 4_000, clock(0)));
    assert_eq!(alarms(&app, 1, t + 5_000).await, Vec::<Value>::new());
}

async fn a_missing_record_is_on_its_orders_timeline(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let session = format!("{YKC}01{:016}", 1);
    let ended = proto::SessionEnded { session: session.clone(), reason: "idle".to_owned() };
    app.say(YKC, 1, t, started(&session, "", t, None));
    app.say(YKC, 1, t + 1, Body::SessionEnded(ended));
    app.say(YKC, 1, t + 2, alarm("record_missing", &session, true));
    assert_eq!(alarms(&app, 1, t + 3).await[0]["detail"], session.as_str());
    app.say(YKC, 1, t + 4, Body::TransactionRecorded(record(&session, t - 50 * 60_000, t, 200_000)));
    app.say(YKC, 1, t + 5, alarm("record_missing", &session, false));
    assert_eq!(alarms(&app, 1, t + 6).await, Vec::<Value>::new());
    let no = app.get("/v1/orders").await.expect(200)["items"][0]["order_no"].as_str().unwrap().to_owned();
    let timeline = app.get(&format!("/v1/orders/{no}/timeline")).await.expect(200);
    let lines = timeline["items"].as_array().unwrap().iter().filter(|line| line["what"] == "alarm");
    let lines: Vec<_> = lines.map(|line| (line["detail"].clone(), line["from"] == line["to"])).collect();
    assert_eq!(lines, [(json!("record_missing"), true), (json!("record_missing, over"), true)]);
}

/// The log is read again, because it or the database is a restored one (docs/adr/0008).
async fn alarms_that_are_read_again_change_nothing(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let session = format!("{YKC}01{:016}", 1);
    let ended = proto::SessionEnded { session: session.clone(), reason: "idle".to_owned() };
    let said = |connector, epoch, at_ms, body| app.event(YKC, connector, epoch, at_ms, body);
    let clock = |skew_ms: i64| Body::ClockReported(proto::ClockReported { skew_ms });
    let events = [
        said(0, 1, t, Body::Connected(proto::Connected::default())),
        said(2, 1, t, alarm("hardware_fault", "0001", true)),
        said(1, 1, t, started(&session, "", t, None)),
        said(1, 1, t + 1, Body::SessionEnded(ended)),
        said(1, 1, t + 2, alarm("record_missing", &session, true)),
        said(0, 1, t + 3, clock(-820_000_000_000)),
        said(1, 1, t + 4, Body::TransactionRecorded(record(&session, t - 50 * 60_000, t, 200_000))),
        said(1, 1, t + 5, alarm("record_missing", &session, false)),
        said(0, 1, t + 6, clock(0)),
        said(0, 2, t + 10, Body::Connected(proto::Connected::default())),
        // As soon as it is there: in the same millisecond, and over and there again.
        said(1, 2, t + 10, alarm("hardware_fault", "0004", true)),
        said(1, 2, t + 20, alarm("hardware_fault", "0000", false)),
        said(1, 2, t + 20, alarm("hardware_fault", "0006", true)),
        said(2, 2, t + 10, alarm("not_home", "", true)),
    ];
    let read = async |at_ms: i64| {
        events.iter().for_each(|event| app.append(event));
        let open = alarms(&app, 2, at_ms).await;
        let no = app.get("/v1/orders").await.expect(200)["items"][0]["order_no"].as_str().unwrap().to_owned();
        (open, app.get(&format!("/v1/orders/{no}/timeline")).await.expect(200)["items"].clone())
    };
    let (open, timeline) = read(t + 100).await;
    let codes: Vec<_> = open.iter().map(|alarm| (&alarm["connector"], &alarm["code"], &alarm["times"])).collect();
    let (one, two) = (json!(1), json!(2));
    assert_eq!(codes, [(&one, &json!("hardware_fault"), &two), (&two, &json!("not_home"), &one)]);
    for again in 1..=2 {
        assert_eq!(read(t + 100 + again).await, (open.clone(), timeline.clone()), "read again, {again}");
    }
    // The connection that holds has been heard of: its beginning, read alone, takes back nothing that was said since.
    app.append(&events[9]);
    assert_eq!(alarms(&app, 2, t + 110).await, open);
}
