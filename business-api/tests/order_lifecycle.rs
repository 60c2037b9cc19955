//! From `POST /v1/orders` to a bill and a booked amount, with the events that a gateway would write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::Config;
use events::{clock::Clock, commands::command::Action, proto, proto::envelope::Body};
use serde_json::json;
use support::{App, OCPP, On, T0, T1001, YKC, record, started};

on_both! {
    ykc_remote_start_to_bill
    ocpp_remote_start_to_bill
    an_ocpp_order_goes_where_its_session_begins
    stop_is_sent_and_settles
    a_stop_without_effect_is_repeated_told_and_held
    orphan_record_is_held
}

async fn ykc_remote_start_to_bill(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let order = app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    assert_eq!(order["state"], "STARTING");
    let (no, session) = (order["order_no"].as_str().unwrap(), order["session"].as_str().unwrap());
    assert_eq!(session.len(), 32);
    let command = app.commands(1).await.remove(0);
    let Some(Action::StartCharging(start)) = command.action else { panic!("{command:?}") };
    assert_eq!((start.session.as_str(), command.connector, command.tenant), (session, 1, 1001));

    let answer = proto::CommandAnswered {
        command_id: command.command_id.clone(),
        outcome: proto::CommandOutcome::Accepted.into(),
        session: session.to_owned(),
        ..Default::default()
    };
    app.say(YKC, 1, app.now(), Body::CommandAnswered(answer));
    app.say(YKC, 1, app.now(), started(session, "", app.now(), None));
    app.order_in(no, "CHARGING").await;
    app.until(&format!("/v1/commands/{}", command.command_id), |body| body["state"] == "accepted").await;

    // 20 kWh in 50 minutes of the flat period: 12.4680 + 9.0000 yuan, case B01 of the billing rules.
    let from = app.now();
    let end = from + 50 * 60_000;
    app.say(YKC, 1, end, Body::TransactionRecorded(record(session, from, end, 200_000)));
    let order = app.order_in(no, "COMPLETED").await;
    assert_eq!((order["total_fen"].as_i64(), order["energy_kwh"].as_str()), (Some(2147), Some("20.0000")), "{order}");
    assert_eq!((order["electricity_fen"].as_i64(), order["service_fen"].as_i64()), (Some(1247), Some(900)));
    let bill = app.get(&format!("/v1/orders/{no}/bill")).await.expect(200);
    assert_eq!((&bill["source"], &bill["segments"][0]["type"]), (&json!("charger"), &json!("flat")));
    let timeline = app.get(&format!("/v1/orders/{no}/timeline")).await.expect(200);
    let steps: Vec<&str> =
        timeline["items"].as_array().unwrap().iter().filter_map(|line| line["transition"].as_str()).collect();
    assert_eq!(steps, ["T1", "T4", "T5", "T12", "T23"], "{timeline}");
    let summary = app.get("/v1/summary").await.expect(200);
    assert_eq!((&summary["booked_fen"], &summary["energy_kwh"]), (&json!(2147), &json!("20.0000")), "{summary}");

    let told: Vec<serde_json::Value> = app
        .published(events::topic::Topic::Order, 3)
        .await
        .iter()
        .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
        .collect();
    let states: Vec<&str> = told.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["STARTING", "CHARGING", "COMPLETED"]);
    let mut tx = app.store.read(T1001).await.unwrap();
    assert_eq!(tx.records_of_order(T1001, no, 0, 10).await.unwrap().len(), 1);
}

async fn ocpp_remote_start_to_bill(on: On) {
    let app = App::start(on).await;
    app.connect(OCPP).await;
    let order = app.post("/v1/orders", json!({"charger": OCPP, "connector": 2, "account": "user-1"})).await.expect(201);
    let (no, tag) = (order["order_no"].as_str().unwrap(), order["id_tag"].as_str().unwrap());
    let t = app.now();
    app.say(OCPP, 2, t, started("4711", tag, t, Some(50_000)));
    app.order_in(no, "CHARGING").await;
    // Price boundary of tariff B-1 at 13:45; 12:10 to 14:10 with a sample at the boundary.
    let boundary = support::T0 + 95 * 60_000;
    for (at, register) in [(t + 60_000, 51_000), (boundary, 150_000)] {
        let sample = proto::MeterSampled {
            session: "4711".into(),
            register_e4: Some(register),
            billable: true,
            status: proto::ConnectorStatus::Charging.into(),
            ..Default::default()
        };
        app.append(&app.event(OCPP, 2, 1, at, Body::MeterSampled(sample)));
    }
    let stop = proto::TransactionRecorded {
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(250_000),
        energy_e4: None,
        amount_e4: None,
        ..record("4711", t, support::T0 + 120 * 60_000, 0)
    };
    app.say(OCPP, 2, stop.ended_at_ms, Body::TransactionRecorded(stop));
    let order = app.order_in(no, "COMPLETED").await;
    let bill = app.get(&format!("/v1/orders/{no}/bill")).await.expect(200);
    // 10 kWh deep valley (0.12/0.30) and 10 kWh flat (0.60/0.60).
    assert_eq!(bill["source"], "samples", "{bill}");
    assert_eq!(order["total_fen"], 1200 + 420, "{bill}");
}

/// The connector of a remote start is a wish: what the one that was asked for says is about somebody else then.
async fn an_ocpp_order_goes_where_its_session_begins(on: On) {
    let app = App::start(on).await;
    app.connect(OCPP).await;
    let asked = |connector: u32, account: &str| json!({"charger": OCPP, "connector": connector, "account": account});
    let order = app.post("/v1/orders", asked(1, "user-1")).await.expect(201);
    let (no, tag) = (order["order_no"].as_str().unwrap(), order["id_tag"].as_str().unwrap());
    app.say(OCPP, 2, app.now(), started("4711", tag, app.now(), Some(50_000)));
    assert_eq!(app.order_in(no, "CHARGING").await["connector"], 2);
    let timeline = app.get(&format!("/v1/orders/{no}/timeline")).await.expect(200);
    let line = timeline["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&line["transition"], &line["detail"]), (&json!("T5"), &json!("on connector 2, not 1")));

    app.say(OCPP, 1, app.now(), Body::StatusChanged(status_of(proto::ConnectorStatus::Available)));
    app.until(&format!("/v1/chargers/{OCPP}"), |body| body["connectors"][0]["status"] == "available").await;
    assert_eq!(app.get(&format!("/v1/orders/{no}")).await.expect(200)["state"], "CHARGING");
    app.post("/v1/orders", asked(2, "user-2")).await.problem(409, "connector_busy");
    let other = app.post("/v1/orders", asked(1, "user-2")).await.expect(201);
    assert_eq!((&other["connector"], &other["state"]), (&json!(1), &json!("STARTING")));

    app.say(OCPP, 2, app.now(), Body::StatusChanged(status_of(proto::ConnectorStatus::Finishing)));
    app.order_in(no, "AWAITING_RECORD").await;
}

fn status_of(status: proto::ConnectorStatus) -> proto::StatusChanged {
    proto::StatusChanged { status: status.into(), ..Default::default() }
}

/// 120 times as fast: T8's stop is not heard and the session begins after all; another says yes to its stop and goes on.
async fn a_stop_without_effect_is_repeated_told_and_held(on: On) {
    let mut config = Config::default();
    config.orders.stop_timeout_ms = 600_000;
    config.orders.stop_resends = 1;
    let app = App::start_with(on, Clock::starting_at(T0, 120), config).await;
    app.connect(YKC).await;
    let stops = |commands: &[events::commands::Command], session: &str| {
        let of = |action: &Option<Action>| matches!(action, Some(Action::StopCharging(it)) if it.session == session);
        commands.iter().filter(|command| of(&command.action)).count()
    };
    let order = app.post("/v1/orders", json!({"charger": YKC, "connector": 1, "account": "user-1"})).await.expect(201);
    let (no, late) = (order["order_no"].as_str().unwrap(), order["session"].as_str().unwrap());
    app.order_in(no, "START_FAILED").await;
    app.say(YKC, 1, app.now(), started(late, "", app.now(), None));
    // The start, T8's stop, and two because it began.
    assert_eq!(stops(&app.commands(4).await, late), 3);

    let ignored = format!("{YKC}02{:016}", 42);
    app.say(YKC, 2, app.now(), started(&ignored, "", app.now(), None));
    let held = app.until("/v1/orders?state=CHARGING", |body| body["items"][0].is_object()).await;
    let no = held["items"][0]["order_no"].as_str().unwrap();
    app.post(&format!("/v1/orders/{no}/stop"), json!({})).await.expect(202);
    for round in 1..=2 {
        let commands = app.commands(4 + round).await;
        assert_eq!(stops(&commands, &ignored), round);
        let answer = proto::CommandAnswered {
            command_id: commands.last().unwrap().command_id.clone(),
            outcome: proto::CommandOutcome::Accepted.into(),
            session: ignored.clone(),
            ..Default::default()
        };
        app.say(YKC, 2, app.now(), Body::CommandAnswered(answer));
    }
    assert_eq!(app.order_in(no, "EXCEPTION").await["exception_code"], "stop_timeout");
    let told = app.published(events::topic::Topic::Order, 1).await;
    let told: Vec<serde_json::Value> =
        told.iter().map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap()).collect();
    let alarms: Vec<&str> = told.iter().filter_map(|it| it["alarm"].as_str()).collect();
    assert_eq!(alarms, ["late_start", "stop_no_answer", "stop_ignored"]);
}

async fn stop_is_sent_and_settles(on: On) {
    let app = App::start(on).await;
    app.connect(YKC).await;
    let order = app.post("/v1/orders", json!({"charger": YKC, "connector": 2, "account": "user-1"})).await.expect(201);
    let (no, session) = (order["order_no"].as_str().unwrap(), order["session"].as_str().unwrap());
    let stop = format!("/v1/orders/{no}/stop");
    app.post(&stop, json!({})).await.problem(409, "order_not_charging");
    app.say(YKC, 2, app.now(), started(session, "", app.now(), None));
    app.order_in(no, "CHARGING").await;
    assert_eq!(app.post(&stop, json!({"by": "operator"})).await.expect(202)["state"], "STOPPING");
    app.post(&stop, json!({})).await.expect(202);
    let commands = app.commands(2).await;
    assert!(matches!(&commands[1].action, Some(Action::StopCharging(it)) if it.session == session), "{commands:?}");
    let from = app.now() - 60_000;
    app.say(YKC, 2, app.now(), Body::TransactionRecorded(record(session, from, from + 60_000, 0)));
    assert_eq!(app.order_in(no, "CLOSED_ZERO").await["total_fen"], 0);
    app.post(&stop, json!({})).await.problem(409, "order_not_charging");
}

async fn orphan_record_is_held(on: On) {
    let app = App::start(on).await;
    let session = format!("{YKC}01{:016}", 42);
    let mut orphan = record(&session, app.now() - 3_600_000, app.now(), 50_000);
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(orphan.clone()));
    let found = app.until("/v1/orders?state=EXCEPTION", |body| body["items"][0].is_object()).await;
    assert_eq!(found["items"][0]["exception_code"], "orphan_record");
    // The same again changes nothing, another under the same session is a conflict for a person.
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(orphan.clone()));
    orphan.digest = vec![9; 32].into();
    app.say(YKC, 1, app.now(), Body::TransactionRecorded(orphan));
    let no = found["items"][0]["order_no"].as_str().unwrap();
    app.until(&format!("/v1/orders/{no}"), |body| body["record_status"] == "conflict").await;
    let mut tx = app.store.read(T1001).await.unwrap();
    let records = tx.records_of_order(T1001, no, 0, 10).await.unwrap();
    assert_eq!(records.iter().map(|record| record.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(app.get("/v1/orders").await.expect(200)["items"].as_array().unwrap().len(), 1);
}
