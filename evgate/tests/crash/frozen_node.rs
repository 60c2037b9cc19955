//! A gateway is frozen with its chargers' messages in its sockets, the chargers move to the other one, and the frozen one wakes: it
//! lets go of them, what it still says of now is dropped and counted, and the bills that it carries are kept, once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use events::{
    log::{EventLog, Start},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use serde_json::json;

use crate::{
    broker_confirms_first::until,
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    reckoning::{burnt, reckon},
    services,
    spoken::Money,
    trial,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn a_node_that_wakes_up_speaks_for_nobody_and_its_bills_are_kept() {
    let _alone = services::alone().await;
    // More sessions than there is time for: the chargers are told to stop.
    let plan = Plan {
        ykc: 6,
        ocpp: 6,
        sessions: 1_000,
        spool: true,
        api_over_line: false,
        ..Plan::quiet(910_003, Form::Cluster)
    };
    let stand = Stand::start(&plan, &Wishes::default()).await;
    let fleet = trial::fleet(&plan, &stand);
    let (all, line) = ((plan.ykc + plan.ocpp) as u64, &stand.chargers);
    let (a, b, api) = (&stand.gateways[0], &stand.gateways[1], stand.api.as_ref().unwrap());
    until("everybody charges", || fleet.progress().sessions_done >= all).await;

    // Who charges has something to say, who does not waits for a start to be allowed.
    until("most charge", || fleet.progress().charging * 2 >= all).await;
    a.signal("STOP").await;
    // What comes from here on lies in its sockets.
    let asked = line.exchanges().len();
    let carries = |is_record| {
        line.exchanges()[asked..].iter().filter(|exchange| (exchange.kind == Money::Record) == is_record).count()
    };
    // An OCPP charger says one thing at a time, so that it may be a start, a meter value or a stop.
    until("money of both protocols in its sockets", || carries(true) >= 1 && carries(false) >= 1).await;
    line.lead_to(stand.targets[1]);
    line.abandon();
    let done = fleet.progress().sessions_done;
    until("they charge at the other one", || fleet.progress().sessions_done >= done + 2 * all).await;
    let outdated = api.metric("evgate_api_events_outdated_total").await;

    let woken = Instant::now();
    a.signal("CONT").await;
    until("it has let go of all of them", || line.abandoned().iter().all(|left| left.closed.is_some())).await;
    let left = line.abandoned();
    let slowest = left.iter().filter_map(|left| left.closed).max().unwrap() - woken;
    assert_eq!(left.len() as u64, all);
    eventually("it holds nobody", || async { a.metric("evgate_sessions").await == 0 }).await;
    assert_eq!(b.metric("evgate_sessions").await, all, "nobody was taken from the other one");
    eventually("what it said of now was dropped", || async {
        api.metric("evgate_api_events_outdated_total").await > outdated
    })
    .await;
    let dropped = api.metric("evgate_api_events_outdated_total").await - outdated;
    let chargers = stand.client.get("/v1/chargers", &[]).await.unwrap();
    for charger in chargers["items"].as_array().unwrap() {
        assert_eq!((&charger["online"], &charger["node"]), (&json!(true), &json!("b")), "{charger}");
    }
    let done = fleet.progress().sessions_done;
    until("they charge on", || fleet.progress().sessions_done >= done + all).await;

    let books = reckon(&stand, fleet).await;
    assert!(books.verdict.is_right(), "{}", books.verdict);
    let burnt = burnt(&books.exchanges);
    assert!(burnt.is_empty(), "attempts were burnt: {burnt:#?}");
    let late = bills_of_the_older(&books.log).await;
    let answers: usize = left.iter().map(|left| left.answers).sum();
    println!(
        "woken, it let go of {all} chargers within {slowest:?}; {answers} answers to nobody, {late} bills kept, {dropped} \
         events dropped; {} sessions: {}",
        books.verdict.sessions, books.verdict
    );
    assert!(late >= 1, "{late}: the bills of its sockets should be in the log");
    stand.services.as_ref().unwrap().clean().await;
}

/// Bills in the log that node "a" wrote after its charger had logged in at "b", each under an older epoch than "b" has.
async fn bills_of_the_older(log: &Arc<dyn EventLog>) -> usize {
    let mut tail = log.tail(&[Topic::Device], Start::Beginning).unwrap();
    let (mut at_b, mut bills) = (BTreeMap::new(), 0);
    loop {
        let batch = tail.poll(1_000, Duration::from_secs(20)).await.unwrap();
        for record in batch.records {
            let envelope = Envelope::decode(record.payload.unwrap()).unwrap();
            match (envelope.body, envelope.node.as_str()) {
                (Some(Body::Connected(_)), "b") => drop(at_b.insert(envelope.charger, envelope.epoch)),
                (Some(Body::TransactionRecorded(bill)), "a") => {
                    if let Some(epoch) = at_b.get(&envelope.charger) {
                        assert!(envelope.epoch < *epoch, "{} {}", envelope.charger, bill.session);
                        bills += 1;
                    }
                }
                _ => {}
            }
        }
        if batch.at_end {
            return bills;
        }
    }
}

/// Waits for what has to be asked for.
async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
