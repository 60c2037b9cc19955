//! Kafka is stopped for five minutes of life while everybody charges: the spools of two gateways answer every money message, and
//! when Kafka is back it gets all of them, of each charger in the order in which that sent them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{EventLog, Start, spooled},
    prost::Message as _,
    proto::{Envelope, Protocol, envelope::Body},
    topic::Topic,
};

use crate::{
    broker_confirms_first::until,
    charger_line::Exchange,
    plan::{Form, Plan},
    platform::{SHORTER, Stand, Wishes},
    reckoning::{burnt, reckon},
    services,
    spoken::Money,
    trial,
};

/// Five minutes, as much shorter as the chargers' time-outs.
const OUTAGE: Duration = Duration::from_secs(300 / SHORTER);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn five_minutes_without_kafka_are_answered_by_the_spool_and_reach_kafka_in_order() {
    let _alone = services::alone().await;
    // More sessions than there is time for: the chargers are told to stop.
    let plan = Plan {
        ykc: 4,
        ocpp: 4,
        sessions: 1_000,
        spool: true,
        api_over_line: false,
        ..Plan::quiet(910_002, Form::Cluster)
    };
    let stand = Stand::start(&plan, &Wishes::default()).await;
    stand.chargers.spread_over(&stand.targets);
    let fleet = trial::fleet(&plan, &stand);
    let all = (plan.ykc + plan.ocpp) as u64;
    until("everybody charges", || fleet.progress().sessions_done >= all).await;

    let broker = &stand.services.as_ref().unwrap().broker;
    broker.stop().await;
    let from = Instant::now();
    tokio::time::sleep(OUTAGE).await;
    let to = Instant::now();
    let waiting = in_spools(&stand).await;
    let sessions = fleet.progress().sessions_done;
    broker.start().await;
    until("they go on", || fleet.progress().sessions_done >= sessions + all).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while in_spools(&stand).await > 0 {
        assert!(Instant::now() < deadline, "the spools should be empty again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let emptied = Instant::now() - to;

    let books = reckon(&stand, fleet).await;
    assert!(books.verdict.is_right(), "{}", books.verdict);
    let meanwhile = books.exchanges.iter().filter(|exchange| exchange.asked_at > from && exchange.asked_at < to);
    let answers: Vec<Duration> =
        meanwhile.clone().filter_map(|asked| Some(asked.answered_at? - asked.asked_at)).collect();
    let slowest = answers.iter().max().expect("answers");
    println!(
        "{} money messages in {:?} without Kafka, the slowest answer after {slowest:?}; {waiting} records in the spools, which \
         were empty {emptied:?} after Kafka's start was asked for; {} sessions: {}",
        answers.len(),
        to - from,
        books.verdict.sessions,
        books.verdict
    );
    assert_eq!(answers.len(), meanwhile.count(), "every message was answered");
    assert!(answers.len() as u64 >= 15 * all && waiting >= answers.len() as u64, "too little was at stake");
    let burnt = burnt(&books.exchanges);
    assert!(burnt.is_empty(), "attempts were burnt: {burnt:#?}");

    let (sent, kept) = (sent(&books.exchanges), kept(&books.log).await);
    for (charger, sent) in &sent {
        assert_eq!(kept.get(charger), Some(sent), "order of {charger}");
    }
    for gateway in ["a", "b"] {
        let left = spooled::look(&stand.folder.path().join(gateway).join("data/spool")).unwrap();
        assert!(left.is_empty(), "{gateway}: {left:?}");
    }
    stand.services.as_ref().unwrap().clean().await;
}

async fn in_spools(stand: &Stand) -> u64 {
    let mut records = 0;
    for gateway in &stand.gateways {
        records += gateway.metric("evgate_spool_records").await;
    }
    records
}

/// A money message: what it is, its session, and the time of a meter value.
type Item = (Money, String, i64);

/// Each once, where it comes first.
fn once(items: impl IntoIterator<Item = (String, Item)>) -> BTreeMap<String, Vec<Item>> {
    let (mut seen, mut by_charger) = (HashSet::new(), BTreeMap::<String, Vec<Item>>::new());
    for (charger, item) in items {
        if seen.insert((charger.clone(), item.clone())) {
            by_charger.entry(charger).or_default().push(item);
        }
    }
    by_charger
}

fn sent(exchanges: &[Exchange]) -> BTreeMap<String, Vec<Item>> {
    once(exchanges.iter().filter(|exchange| exchange.answered).flat_map(|exchange| {
        let times = if exchange.kind == Money::Meter { exchange.times.clone() } else { vec![0] };
        let item = |at| (exchange.charger.clone(), (exchange.kind, exchange.session.clone(), at));
        times.into_iter().map(item).collect::<Vec<_>>()
    }))
}

/// What the topic holds, in its order.
async fn kept(log: &Arc<dyn EventLog>) -> BTreeMap<String, Vec<Item>> {
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let mut items = Vec::new();
    loop {
        let batch = tail.poll(1_000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let envelope = Envelope::decode(record.payload.unwrap()).unwrap();
            let is_ocpp = envelope.protocol() != Protocol::Ykc;
            let item = match envelope.body {
                Some(Body::SessionStarted(started)) if is_ocpp => (Money::Start, started.session, 0),
                Some(Body::MeterSampled(sample)) => (Money::Meter, sample.session, envelope.occurred_at_ms),
                Some(Body::TransactionRecorded(record)) if is_ocpp => (Money::Stop, record.session, 0),
                Some(Body::TransactionRecorded(record)) => (Money::Record, record.session, 0),
                _ => continue,
            };
            items.push((envelope.charger, item));
        }
        if batch.at_end {
            return once(items);
        }
    }
}
