//! The prices of an order are locked when it is made: what is added to its tariff later never prices it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::{
    Config,
    bill::{Options, PricePolicy},
    registry::{self, ApplyError, Report},
};
use events::{
    clock::Clock,
    proto::{self, envelope::Body},
};
use serde_json::json;
use support::{App, KEY, OCPP, On, example, record, started};

on_both! {
    a_version_added_over_rest_prices_only_what_begins_after_it
    a_version_added_by_the_file_prices_only_what_begins_after_it
    an_end_that_comes_nearer_leaves_no_running_order_without_a_price
}

const HOUR: i64 = 3_600_000;
/// 2026-03-10T23:50:00+08:00: until six in the morning S03/1 costs 0.28000 and 0.50000.
const LATE: i64 = 1_773_157_800_000;
const VERSIONS: &str = "/v1/tariffs/S03/1/versions";

/// Sessions cross midnight, and each of their slots has the price of its own date.
async fn app(on: On) -> App {
    let billing = Options { price_policy: PricePolicy::BySlotDate, ..Options::default() };
    App::start_with(on, Clock::starting_at(LATE, 1), Config { billing, ..Config::default() }).await
}

fn start(session: &str, at_ms: i64, offline: bool) -> Body {
    let Body::SessionStarted(body) = started(session, "Fleet1001", at_ms, Some(10_000)) else { panic!() };
    Body::SessionStarted(proto::SessionStarted { offline, ..body })
}

/// An hour after the start, 10 kWh.
fn stop(session: &str, started_at_ms: i64) -> Body {
    Body::TransactionRecorded(proto::TransactionRecorded {
        periods: vec![],
        started_at_ms: None,
        meter_start_e4: None,
        meter_end_e4: Some(110_000),
        energy_e4: None,
        amount_e4: None,
        token: "Fleet1001".into(),
        ..record(session, 0, started_at_ms + HOUR, 0)
    })
}

/// The total of a session after an hour and 10 kWh, fen.
async fn total(app: &App, connector: u32, session: &str, started_at_ms: i64) -> i64 {
    app.say(OCPP, connector, started_at_ms + HOUR, stop(session, started_at_ms));
    let order = |body: &serde_json::Value| {
        let items = body["items"].as_array().unwrap().iter();
        items.clone().find(|item| item["session"] == session && item["state"] == "COMPLETED").cloned()
    };
    let list = app.until("/v1/orders", |body| order(body).is_some()).await;
    order(&list).unwrap()["total_fen"].as_i64().unwrap()
}

/// A session runs, dearer prices from tomorrow on are added, another session begins, and one that was queued while the charger
/// was offline is told: only the second pays them, from midnight on.
async fn only_the_later_session_pays<'a>(app: &'a App, add: impl AsyncFnOnce(&'a App)) {
    let before = app.now();
    app.say(OCPP, 1, before, start("71", before, false));
    app.until("/v1/orders?state=CHARGING", |body| body["items"].as_array().is_some_and(|it| it.len() == 1)).await;
    add(app).await;
    let after = app.now();
    app.say(OCPP, 2, after, start("72", after, false));
    assert_eq!(total(app, 1, "71", before).await, 780, "prices of when it began");
    // 10 of 60 minutes at 0.78, 50 at 6.00; the test itself takes a while.
    let later = total(app, 2, "72", after).await;
    assert!((5_130..5_320).contains(&later), "planned before it began: {later}");
    app.say(OCPP, 1, app.now(), start("73", before, true));
    assert_eq!(total(app, 1, "73", before).await, 780, "it began before, whenever it is told");
}

async fn a_version_added_over_rest_prices_only_what_begins_after_it(on: On) {
    let app = app(on).await;
    let dear = |from: &str| {
        let period =
            json!({"from": "00:00", "to": "24:00", "type": "flat", "electricity_price": "5", "service_price": "1"});
        json!({"version": "B-DEAR", "effective_from": from, "periods": [period]})
    };
    let answer = app.post(VERSIONS, dear("2026-03-10")).await;
    assert_eq!((answer.status, &answer.body["errors"][0]["pointer"]), (422, &json!("/effective_from")));
    only_the_later_session_pays(&app, async |app: &App| {
        app.call("POST", VERSIONS, KEY, &[], Some(&dear("2026-03-11"))).await.expect(201);
    })
    .await;
}

/// The example with dearer prices of S03/1.
async fn apply(app: &App, from: &str) -> Result<Report, ApplyError> {
    let text = std::fs::read_to_string(example()).unwrap();
    let (before, after) = text.split_once("id = \"S03/1\"").unwrap();
    let dear = format!(
        "[[tariffs.versions]]\nversion = \"B-DEAR\"\neffective_from = \"{from}\"\n\
         periods = [{{ from = \"00:00\", to = \"24:00\", type = \"flat\", elec = \"5\", service = \"1\" }}]\n\n"
    );
    let text = format!("{before}id = \"S03/1\"{}", after.replacen("[[tariffs]]", &format!("{dear}[[tariffs]]"), 1));
    let path = app.db.folder.path().join("registry.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::copy(example().with_file_name("chargers.csv"), path.with_file_name("chargers.csv")).unwrap();
    registry::apply(&app.store, &path, false, app.now()).await
}

async fn a_version_added_by_the_file_prices_only_what_begins_after_it(on: On) {
    let app = app(on).await;
    for begun in ["2025-06-01", "2026-03-10"] {
        let Err(ApplyError::Invalid(problems)) = apply(&app, begun).await else { panic!("{begun}") };
        assert!(problems.len() == 1 && problems[0].key.ends_with("[B-DEAR].effective_from"), "{problems:?}");
    }
    only_the_later_session_pays(&app, async |app: &App| {
        assert_eq!(apply(app, "2026-03-11").await.unwrap().changes.len(), 1);
    })
    .await;
}

/// The ordinary change of prices, while somebody charges across that midnight: the old version gets its end, the new one begins there.
async fn an_end_that_comes_nearer_leaves_no_running_order_without_a_price(on: On) {
    let app = app(on).await;
    let before = app.now();
    app.say(OCPP, 1, before, start("71", before, false));
    app.until("/v1/orders?state=CHARGING", |body| body["items"].as_array().is_some_and(|it| it.len() == 1)).await;
    let end = async |to: serde_json::Value| {
        let (path, body) = (format!("{VERSIONS}/B-1"), json!({"effective_to": to}));
        let answer = app.call("PATCH", &path, KEY, &[("if-match", "*")], Some(&body)).await;
        assert_eq!(answer.expect(200)["effective_to"], to);
    };
    // Moved about first: the latest end since it began counts.
    end(json!("2026-03-12")).await;
    end(json!("2026-03-11")).await;
    let after_end = app.now();
    app.say(OCPP, 2, after_end, start("72", after_end, false));
    let period =
        json!({"from": "00:00", "to": "24:00", "type": "flat", "electricity_price": "5", "service_price": "1"});
    let dear = json!({"version": "B-DEAR", "effective_from": "2026-03-11", "periods": [period]});
    app.call("POST", VERSIONS, KEY, &[], Some(&dear)).await.expect(201);
    assert_eq!(total(&app, 1, "71", before).await, 780, "the prices of when it began, over midnight");
    let after = app.now();
    app.say(OCPP, 1, after, start("73", after, false));
    let later = total(&app, 1, "73", after).await;
    assert!((5_130..5_320).contains(&later), "planned before it began: {later}");
    // The gap was there when it began: nothing prices what flows after midnight.
    app.say(OCPP, 2, after_end + HOUR, stop("72", after_end));
    app.until("/v1/orders?state=EXCEPTION", |body| body["items"][0]["exception_code"] == "no_tariff").await;
}
