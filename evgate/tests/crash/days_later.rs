//! Retries at another node and days later, at the level of orders: every session of both protocols is said once more by a node that
//! nobody has heard of, three days after it was billed, and no order changes.

use std::time::{Duration, Instant};

use events::{
    log::{Append, EventLog, Start, append_durable},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use evgate::platform::Order;

use crate::{
    plan::{Form, Plan},
    platform::Stand,
    services, trial,
};

const THREE_DAYS_MS: i64 = 3 * 86_400_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn sessions_said_again_at_another_node_days_later_change_no_order() {
    let _alone = services::alone().await;
    let plan = Plan { sessions: 2, api_over_line: false, ..Plan::quiet(930_001, Form::Cluster) };
    let stand = Stand::start(&plan, &Default::default()).await;
    let fleet = trial::fleet(&plan, &stand);
    let deadline = || tokio::time::Instant::now() + Duration::from_secs(60);
    assert!(fleet.wait_done(deadline()).await, "{:?}", fleet.progress());
    let ended = fleet.stop(deadline()).await;
    let before = shown(trial::settled(&stand, &ended.ledger, Duration::from_secs(60)).await);
    let sessions = ended.ledger.sessions.len();
    assert!(before.len() >= sessions && sessions == 8, "{before:?}");

    let api = stand.api.as_ref().unwrap();
    let (log, said) = (stand.open_log(), money(&*stand.open_log()).await);
    let (applied, duplicates) = ("evgate_api_events_applied_total", "evgate_api_records_duplicate_total");
    let (had, knew) = (api.metric(applied).await, api.metric(duplicates).await);
    let (count, mut records) = (said.len() as u64, 0);
    for mut envelope in said {
        records += u64::from(matches!(envelope.body, Some(Body::TransactionRecorded(_))));
        envelope.event_id = rand::random::<[u8; 16]>().to_vec().into();
        envelope.node = "elsewhere".to_owned();
        envelope.epoch += THREE_DAYS_MS.unsigned_abs();
        envelope.received_at_ms += THREE_DAYS_MS;
        let (key, payload) = (envelope.charger.clone(), envelope.encode_to_vec());
        let record = Append { topic: Topic::Device, key: key.as_bytes(), payload: Some(&payload), headers: &[] };
        append_durable(&*log, record).await.unwrap();
    }
    let until = Instant::now() + Duration::from_secs(30);
    while api.metric(applied).await < had + count {
        assert!(Instant::now() < until, "{count} events should be applied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(api.metric(duplicates).await, knew + records);
    assert_eq!(shown(stand.client.orders("").await.unwrap()), before, "no order is new or another");
    println!("{sessions} sessions: {count} events again, {records} of them records");
    drop(log);
    stand.end().await;
    stand.services.as_ref().unwrap().clean().await;
}

fn shown(orders: Vec<Order>) -> Vec<String> {
    let mut shown: Vec<String> = orders.iter().map(|order| format!("{order:?}")).collect();
    shown.sort();
    shown
}

/// What a charger says again when it was not answered.
async fn money(log: &dyn EventLog) -> Vec<Envelope> {
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut said = Vec::new();
    loop {
        let batch = tail.poll(1_000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let envelope = Envelope::decode(record.payload.unwrap()).unwrap();
            let body = envelope.body.as_ref().unwrap();
            if matches!(body, Body::SessionStarted(_) | Body::MeterSampled(_) | Body::TransactionRecorded(_)) {
                said.push(envelope);
            }
        }
        if batch.at_end {
            return said;
        }
    }
}
