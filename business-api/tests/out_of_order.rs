//! What comes again or late says nothing about whoever charges now: a repeat never moves another order, and of two sessions on a
//! connector the older is the one that is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use std::collections::BTreeMap;

use events::proto::{self, Envelope, envelope::Body};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};
use support::{App, OCPP, On, YKC, record, started};

on_both! {
    a_repeated_start_takes_nothing_from_who_charges_now
    a_start_queued_while_offline_is_the_older_session
    an_approval_that_was_held_up_takes_nothing
    a_new_start_ends_the_session_before_it
    repeats_never_move_another_order
    a_record_before_its_start_is_billed_when_the_start_comes
}

const MINUTE: i64 = 60_000;

/// OCPP's stop of a transaction that began at meter 10 000.
fn stopped(session: &str, at_ms: i64, energy_e4: u64) -> Body {
    Body::TransactionRecorded(proto::TransactionRecorded {
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(10_000 + energy_e4),
        energy_e4: None,
        amount_e4: None,
        ..record(session, 0, at_ms, energy_e4)
    })
}

/// StartTransaction as the gateway writes it when the station sends it again, or minutes after it happened.
fn queued(session: &str, started_at_ms: i64) -> Body {
    let Body::SessionStarted(body) = started(session, "Fleet1001", started_at_ms, Some(10_000)) else { panic!() };
    Body::SessionStarted(proto::SessionStarted { offline: true, ..body })
}

fn authorized(session: &str) -> Body {
    Body::SessionAuthorized(proto::SessionAuthorized {
        session: session.to_owned(),
        token: "00000000d1000001".to_owned(),
        start_mode: proto::StartMode::Card.into(),
        tariff: "S01/1".to_owned(),
    })
}

/// What of every order may not depend on repeats, by session.
async fn orders(app: &App) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut path = "/v1/orders?limit=100".to_owned();
    loop {
        let page = app.get(&path).await.expect(200);
        for order in page["items"].as_array().unwrap() {
            let facts = ["state", "exception_code", "account", "energy_kwh", "total_fen", "ended_at"]
                .map(|name| order[name].clone());
            found.insert(order["session"].as_str().unwrap().to_owned(), json!(facts));
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/orders?limit=100&cursor={cursor}"),
            None => return found,
        }
    }
}

/// Waits until everything that was said is applied.
async fn applied(app: &App, at_ms: i64) {
    let last = proto::ChargerBooted { vendor: format!("at {at_ms}"), ..proto::ChargerBooted::default() };
    app.say(YKC, 0, at_ms, Body::ChargerBooted(last));
    app.until(&format!("/v1/chargers/{YKC}"), |body| body["vendor"] == format!("at {at_ms}")).await;
}

async fn states(app: &App, of: &[&str]) -> Vec<String> {
    let orders = orders(app).await;
    of.iter().map(|session| orders[*session][0].as_str().unwrap().to_owned()).collect()
}

async fn a_repeated_start_takes_nothing_from_who_charges_now(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    app.say(OCPP, 1, t, started("71", "Fleet1001", t - 20 * MINUTE, Some(10_000)));
    app.say(OCPP, 1, t + 1, stopped("71", t, 100_000));
    app.say(OCPP, 1, t + 2, started("72", "Fleet1001", t + 2, Some(200_000)));
    // The answer to the first start was lost: the station sends it again, after its own stop.
    app.say(OCPP, 1, t + 3, queued("71", t - 20 * MINUTE));
    let (a, b) = (format!("{YKC}01{:016}", 1), format!("{YKC}01{:016}", 2));
    app.say(YKC, 1, t, authorized(&a));
    app.say(YKC, 1, t, started(&a, "", t, None));
    app.say(YKC, 1, t + 1, Body::TransactionRecorded(record(&a, t - 50 * MINUTE, t, 200_000)));
    app.say(YKC, 1, t + 2, authorized(&b));
    app.say(YKC, 1, t + 2, started(&b, "", t + 2, None));
    app.say(YKC, 1, t + 3, started(&a, "", t, None));
    applied(&app, t + 4).await;
    assert_eq!(states(&app, &["71", "72", &a, &b]).await, ["COMPLETED", "CHARGING", "COMPLETED", "CHARGING"]);
}

async fn a_start_queued_while_offline_is_the_older_session(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    app.say(OCPP, 1, t, started("72", "Fleet1001", t, Some(200_000)));
    app.say(OCPP, 1, t + 1, queued("71", t - 20 * MINUTE));
    applied(&app, t + 2).await;
    assert_eq!(states(&app, &["71", "72"]).await, ["AWAITING_RECORD", "CHARGING"]);
    app.say(OCPP, 1, t + 3, stopped("71", t - MINUTE, 100_000));
    // A clock that was never set proves nothing: the last that is heard is the one that runs.
    app.say(OCPP, 1, t + 4, queued("73", 1_000));
    applied(&app, t + 5).await;
    assert_eq!(states(&app, &["71", "72", "73"]).await, ["COMPLETED", "AWAITING_RECORD", "CHARGING"]);
}

/// Two gateways, each with a spool: the start lay in the one that the charger left, its record came by the other.
async fn a_record_before_its_start_is_billed_when_the_start_comes(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let trade = format!("{YKC}01{:016}", 1);
    app.say(OCPP, 1, t, stopped("71", t - MINUTE, 100_000));
    let mut without_card = record(&trade, t - 50 * MINUTE, t - MINUTE, 200_000);
    without_card.card = String::new();
    app.say(YKC, 1, t, Body::TransactionRecorded(without_card));
    applied(&app, t + 1).await;
    assert_eq!(states(&app, &["71", &trade]).await, ["EXCEPTION", "EXCEPTION"]);
    app.say(OCPP, 1, t + 2, started("71", "Fleet1001", t - 20 * MINUTE, Some(10_000)));
    app.say(YKC, 1, t + 2, authorized(&trade));
    applied(&app, t + 3).await;
    assert_eq!(states(&app, &["71", &trade]).await, ["COMPLETED", "COMPLETED"]);
    let once = orders(&app).await;
    assert_eq!(once["71"][3], json!("10.0000"), "the energy needs the meter of the start");
    // Once is enough: repeats of either change nothing.
    app.say(OCPP, 1, t + 4, started("71", "Fleet1001", t - 20 * MINUTE, Some(10_000)));
    app.say(YKC, 1, t + 4, authorized(&trade));
    applied(&app, t + 5).await;
    assert_eq!(orders(&app).await, once);
}

/// A node that was cut off tells late what it approved; the charger has long been elsewhere and charges.
async fn an_approval_that_was_held_up_takes_nothing(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    let (old, new) = (format!("{YKC}01{:016}", 1), format!("{YKC}01{:016}", 2));
    let say = |epoch: u64, at_ms: i64, body: Body| app.append(&app.event(YKC, 1, epoch, at_ms, body));
    say(2, t, authorized(&new));
    say(2, t + 10, started(&new, "", t + 10, None));
    say(1, t - MINUTE, authorized(&old));
    say(1, t - MINUTE, started(&old, "", t - MINUTE, None));
    app.append(&app.event(YKC, 0, 2, t + 20, Body::ClockReported(proto::ClockReported { skew_ms: 1 })));
    app.until("/v1/orders?state=AWAITING_RECORD", |body| body["items"][0]["session"] == old.as_str()).await;
    assert_eq!(states(&app, &[&new]).await, ["CHARGING"]);
}

async fn a_new_start_ends_the_session_before_it(on: On) {
    let app = App::start(on).await;
    let t = app.now();
    app.say(OCPP, 1, t, started("71", "Fleet1001", t, Some(10_000)));
    app.say(OCPP, 1, t + 10, started("72", "Fleet1001", t + 10, Some(20_000)));
    applied(&app, t + 20).await;
    assert_eq!(states(&app, &["71", "72"]).await, ["AWAITING_RECORD", "CHARGING"]);
}

/// What happens in a session, in order.
#[derive(Clone, Debug)]
struct Course {
    approved: bool,
    ended: bool,
    recorded: bool,
}

/// After how many events which of those before comes again, and whether the charger itself says it again (else the log does).
type Repeats = Vec<(prop::sample::Index, prop::sample::Index, bool)>;

fn stories() -> impl Strategy<Value = (bool, Vec<Course>, Repeats)> {
    let course = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8))
        .prop_map(|(approved, ended, recorded)| Course { approved, ended, recorded });
    let repeat = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>());
    (any::<bool>(), prop::collection::vec(course, 2..5), prop::collection::vec(repeat, 1..8))
}

/// A story on a connector: its events without any repeat.
fn told(app: &App, ykc: bool, connector: u32, story: usize, courses: &[Course], from_ms: i64) -> Vec<Envelope> {
    let charger = if ykc { YKC } else { OCPP };
    let mut events = Vec::new();
    for (n, course) in courses.iter().enumerate() {
        let number = 10_000 * u64::from(connector) + 10 * story as u64 + n as u64;
        let session = if ykc { format!("{YKC}{connector:02}{number:016}") } else { (number + 1).to_string() };
        let t = from_ms + n as i64 * 10_000;
        let energy_e4 = 100_000 + 1_000 * (story as u64 % 50) + n as u64;
        let mut say = |after_ms: i64, body: Body| events.push(app.event(charger, connector, 1, t + after_ms, body));
        if ykc && course.approved {
            say(0, authorized(&session));
        }
        let token = if ykc { "" } else { "Fleet1001" };
        say(1_000, started(&session, token, t - 50 * MINUTE, (!ykc).then_some(10_000)));
        if course.ended {
            say(2_000, Body::SessionEnded(proto::SessionEnded { session: session.clone(), reason: "idle".into() }));
        }
        if course.recorded && ykc {
            say(3_000, Body::TransactionRecorded(record(&session, t - 50 * MINUTE, t, energy_e4)));
        } else if course.recorded {
            say(3_000, stopped(&session, t, energy_e4));
        }
    }
    events
}

/// The same story with repeats in between.
fn repeated(events: &[Envelope], repeats: &Repeats) -> Vec<Envelope> {
    let mut all: Vec<(usize, Envelope)> = events.iter().cloned().enumerate().collect();
    for (after, which, said_again) in repeats {
        let after = after.index(events.len());
        let mut again = events[which.index(after + 1)].clone();
        if *said_again && matches!(again.body, Some(Body::SessionStarted(_) | Body::TransactionRecorded(_))) {
            again.received_at_ms = events[after].received_at_ms + 500;
            // OCPP: said minutes after it began, so it counts as queued. YKC: seen on a line that has just come back.
            let ocpp = again.protocol() == proto::Protocol::Ocpp16;
            if let Some(Body::SessionStarted(start)) = &mut again.body {
                start.offline = ocpp;
            }
        }
        let at = all.iter().rposition(|(index, _)| *index <= after).unwrap() + 1;
        all.insert(at, (after, again));
    }
    all.into_iter().map(|(_, event)| event).collect()
}

/// Stories told twice: plainly on connector 1, with repeats on connector 2. Every order must end the same.
async fn repeats_never_move_another_order(on: On) {
    let app = App::start(on).await;
    let mut runner = TestRunner::default();
    let stories: Vec<_> = (0..60).map(|_| stories().new_tree(&mut runner).unwrap().current()).collect();
    let mut plain_events = Vec::new();
    let mut repeated_events = Vec::new();
    for (n, (ykc, courses, repeats)) in stories.iter().enumerate() {
        let from_ms = app.now() + n as i64 * MINUTE;
        plain_events.extend(told(&app, *ykc, 1, n, courses, from_ms));
        repeated_events.extend(repeated(&told(&app, *ykc, 2, n, courses, from_ms), repeats));
    }
    for event in plain_events.iter().chain(&repeated_events) {
        app.append(event);
    }
    applied(&app, app.now()).await;
    let orders = orders(&app).await;
    assert_eq!(orders.len(), 2 * stories.iter().map(|(_, courses, _)| courses.len()).sum::<usize>());
    for (n, (ykc, courses, repeats)) in stories.iter().enumerate() {
        let sessions = |connector| {
            told(&app, *ykc, connector, n, courses, 0).into_iter().filter_map(|event| match event.body {
                Some(Body::SessionStarted(it)) => Some(it.session),
                _ => None,
            })
        };
        for (plain, again) in sessions(1).zip(sessions(2)) {
            assert_eq!(orders[&plain], orders[&again], "{plain} is not {again}: ykc {ykc}, {courses:?}, {repeats:?}");
        }
    }
}
