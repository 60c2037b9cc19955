//! By the order of system calls: in the embedded form no answer to a money message leaves before its bytes are written to the
//! log's file and synced.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    spoken::Money,
    trace, trial,
};

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_leaves_before_its_bytes_are_synced() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let wishes = Wishes { under: trace::under(path), readable: true, ..Wishes::default() };
    let plan = Plan { sessions: 2, ..Plan::quiet(2, Form::Embedded) };
    let stand = Stand::start(&plan, &wishes).await;
    let fleet = trial::fleet(&plan, &stand);
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(90)).await, "{:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!((ended.unsettled, ended.ledger.sessions.len()), (0, 8));
    stand.gateways[0].terminate().await;

    let calls = trace::read(file.path());
    let mut proven = HashMap::new();
    for exchange in stand.chargers.exchanges().iter().filter(|exchange| exchange.answered) {
        trace::assert_synced_first(&calls, "events.db-wal", exchange);
        *proven.entry(exchange.kind).or_insert(0) += 1;
    }
    println!("answered after their sync: {proven:?}, of {} system calls", calls.len());
    for kind in [Money::Start, Money::Meter, Money::Stop, Money::Record] {
        assert!(proven[&kind] >= 4, "{proven:?}");
    }
}
