//! A charger that says ever new things of one session: nothing of it is lost, and its order does not grow by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod support;

use business_api::{Config, order::VERSIONS_KEPT};
use events::{
    clock::Clock,
    proto::{self, envelope::Body},
};
use support::{
    App, On, T0, T1001, YKC, record,
    sessions::{session, sessions, settled},
};

on_both! { many_records_of_one_session_are_counted_once_each_and_bounded }

const OTHERS: u64 = 40;

/// Every record that differs from the first, and the last word of all: everything before it is applied.
async fn say_all(app: &App) {
    let t = app.now();
    for n in 1..=OTHERS {
        app.say(YKC, 1, t, Body::TransactionRecorded(record(&session(0), t - 60_000 * 50, t, 200_000 + n)));
    }
    let vendor = uuid::Uuid::now_v7().to_string();
    let last = proto::ChargerBooted { vendor: vendor.clone(), ..proto::ChargerBooted::default() };
    app.say(YKC, 0, app.now(), Body::ChargerBooted(last));
    app.until(&format!("/v1/chargers/{YKC}"), |body| body["vendor"] == vendor.as_str()).await;
}

async fn many_records_of_one_session_are_counted_once_each_and_bounded(on: On) {
    let config = Config { batch: 7, ..Config::default() };
    let app = App::start_with(on, Clock::starting_at(T0, 1), config).await;
    sessions(&app, 0..1);
    settled(&app, 1).await;
    let no = app.get("/v1/orders").await.expect(200)["items"][0]["order_no"].as_str().unwrap().to_owned();
    // The second time they are all known.
    for _ in 0..2 {
        say_all(&app).await;
        let mut tx = app.store.read(T1001).await.unwrap();
        let records = tx.records_of_order(T1001, &no, 0, 1_000).await.unwrap();
        let versions: Vec<u32> = records.iter().map(|row| row.version).collect();
        assert_eq!(versions, (1..=41).collect::<Vec<_>>());
        assert_eq!(records.iter().filter(|row| !row.body.is_empty()).count(), VERSIONS_KEPT);
        let order = tx.order(T1001, &no).await.unwrap().unwrap().facts.order;
        assert_eq!((order.other_digests.len() + 1, u64::from(order.other_records)), (VERSIONS_KEPT, OTHERS));
        assert_eq!(order.settled.map(|settled| settled.total.0), Some(2147), "what was settled stays");
        let sql = format!("SELECT kind FROM work_items WHERE tenant_id = 1001 AND order_no = '{no}'");
        assert_eq!(tx.all(&sql, Vec::new()).await.unwrap().len(), 1, "one work item");
        assert!(tx.lines(T1001, &no, 0, 1_000).await.unwrap().len() <= 4 + VERSIONS_KEPT);
        drop(tx);
        let shown = app.get(&format!("/v1/orders/{no}/records?limit=200")).await.expect(200);
        let with_content = shown["items"].as_array().unwrap().iter().filter(|record| record["content"].is_object());
        assert_eq!((shown["items"].as_array().unwrap().len(), with_content.count()), (41, VERSIONS_KEPT));
        let path = "/v1/dead-letters?reason=too_many_records&limit=100";
        let whole = |body: &serde_json::Value| body["items"].as_array().is_some_and(|it| it.len() == 9);
        let letters = app.until(path, whole).await;
        assert!(letters["items"][0]["detail"].as_str().unwrap().ends_with(&no), "{letters}");
    }
}
