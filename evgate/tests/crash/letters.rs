//! Dead letters over a real Kafka: a message that nobody can read and the money of an unknown charger are put aside and block
//! nothing, are there once after the API was killed, and the money is an order once its charger is known and it is redriven.

use std::time::{Duration, Instant};

use events::{
    log::{Append, EventLog, Start, append_durable},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use serde_json::{Value, json};

use crate::{
    plan::{Form, Plan},
    platform::Stand,
    services, trial,
};

const STRANGER: &str = "10010001009999";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn letters_outlive_the_api_and_are_redriven_over_kafka() {
    let _alone = services::alone().await;
    let plan = Plan { ykc: 1, ocpp: 0, api_over_line: false, ..Plan::quiet(930_002, Form::Cluster) };
    let stand = Stand::start(&plan, &Default::default()).await;
    let fleet = trial::fleet(&plan, &stand);
    let deadline = || tokio::time::Instant::now() + Duration::from_secs(60);
    assert!(fleet.wait_done(deadline()).await, "{:?}", fleet.progress());
    let ended = fleet.stop(deadline()).await;
    let billed = trial::settled(&stand, &ended.ledger, Duration::from_secs(60)).await.remove(0);

    // The same session at a charger that nobody has registered, after what is no event at all.
    let log = stand.open_log();
    let session = format!("{STRANGER}{}", &billed.session.as_ref().unwrap()[STRANGER.len()..]);
    put(&*log, b"\xff\xff no event").await;
    let mut put_aside = 0;
    for envelope in of_session(&*log, &billed.charger, &session).await {
        put(&*log, &envelope.encode_to_vec()).await;
        put_aside += 1;
    }
    let api = stand.api.as_ref().unwrap();
    letters(&stand, put_aside).await;
    api.kill(Duration::ZERO).await;
    api.ready().await;
    let mut waiting = letters(&stand, put_aside).await;
    assert!(put_aside >= 2 && stand.client.orders("").await.unwrap().len() == 1, "{put_aside}");
    waiting.reverse(); // oldest first

    let body = json!({
        "charger": STRANGER, "station": "S01", "protocol": "ykc", "connector_count": 1, "rated_power_w": 120_000
    });
    stand.client.post("/v1/chargers", "\"the-stranger\"", &body).await.unwrap();
    for letter in &waiting {
        let id = letter["letter"].as_str().unwrap();
        let path = format!("/v1/dead-letters/{id}/redrive");
        let given = stand.client.post(&path, &format!("\"{id}\""), &json!({})).await.unwrap();
        assert_eq!(given["redriven"]["times"], 1, "{given}");
    }
    let until = Instant::now() + Duration::from_secs(30);
    let order = loop {
        let orders = stand.client.orders("").await.unwrap();
        let found: Vec<_> = orders.into_iter().filter(|order| order.charger == STRANGER).collect();
        if found.len() == 1 && found[0].total_fen.is_some() {
            break found[0].clone();
        }
        assert!(Instant::now() < until && found.len() <= 1, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((order.total_fen, order.energy_e4()), (billed.total_fen, billed.energy_e4()), "{order:?}");
    let left = stand.client.get("/v1/dead-letters", &[("redriven", "false")]).await.unwrap();
    assert_eq!(left["items"], json!([]), "what is no event is nobody's");
    drop(log);
    stand.end().await;
    stand.services.as_ref().unwrap().clean().await;
}

async fn put(log: &dyn EventLog, payload: &[u8]) {
    let key = STRANGER.as_bytes();
    append_durable(log, Append { topic: Topic::Device, key, payload: Some(payload), headers: &[] }).await.unwrap();
}

/// Waits until the tenant has so many, newest first.
async fn letters(stand: &Stand, count: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let list = stand.client.get("/v1/dead-letters", &[("limit", "200")]).await.unwrap();
        let items = list["items"].as_array().unwrap();
        if items.len() == count {
            return items.clone();
        }
        assert!(Instant::now() < until && items.len() < count, "{count} letters should wait: {list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What makes the session of a charger an order, as the stranger would have said it.
async fn of_session(log: &dyn EventLog, charger: &str, session: &str) -> Vec<Envelope> {
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut said = Vec::new();
    loop {
        let batch = tail.poll(1_000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let Ok(mut envelope) = Envelope::decode(record.payload.unwrap()) else { continue };
            if envelope.charger != charger {
                continue;
            }
            match &mut envelope.body {
                Some(Body::SessionAuthorized(it)) => session.clone_into(&mut it.session),
                Some(Body::SessionStarted(it)) => session.clone_into(&mut it.session),
                Some(Body::TransactionRecorded(it)) => session.clone_into(&mut it.session),
                _ => continue,
            }
            STRANGER.clone_into(&mut envelope.charger);
            envelope.event_id = rand::random::<[u8; 16]>().to_vec().into();
            said.push(envelope);
        }
        if batch.at_end {
            return said;
        }
    }
}
