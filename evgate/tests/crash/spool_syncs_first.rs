//! By the order of system calls: while the broker confirms nothing, chargers are answered all the same, and each answer leaves
//! only after its bytes are written to the spool's file and synced.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    broker_confirms_first::until,
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    services, trace, trial,
    verdict::{self, Accounts},
};

/// What was on its way when the line was closed is over within this time.
const IN_FLIGHT: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn the_spool_has_synced_what_is_answered_in_the_brokers_place() {
    let _alone = services::alone().await;
    let plan = Plan { api_over_line: false, spool: true, sessions: 2, ..Plan::quiet(900_002, Form::Cluster) };
    // Each gateway runs in its own folder, and so its trace is written there.
    let wishes = Wishes { under: trace::under("trace"), readable: true, ..Wishes::default() };
    let stand = Stand::start(&plan, &wishes).await;
    let fleet = trial::fleet(&plan, &stand);
    let answered = || stand.chargers.exchanges().iter().filter(|exchange| exchange.answered).count();
    until("some answers", || answered() >= 2).await;

    let line = &stand.services.as_ref().unwrap().broker_line.weather;
    line.hold(false, true);
    tokio::time::sleep(IN_FLIGHT).await;
    let before = stand.chargers.exchanges().len();
    let since = |wanted: usize| stand.chargers.exchanges()[before..].iter().filter(|it| it.answered).count() >= wanted;
    until("answers from the spool", || since(8)).await;
    let meanwhile = stand.chargers.exchanges().split_off(before);
    line.hold(false, false);

    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(60)).await, "{:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    let orders = trial::settled(&stand, &ended.ledger, Duration::from_secs(60)).await;
    let (log, complaints) = stand.end().await;
    assert!(complaints.is_empty(), "{complaints:?}");
    let exchanges = stand.chargers.exchanges();
    let verdict = Accounts { ledger: ended.ledger, exchanges, orders, log: verdict::read(&log).await }.judge();
    assert!(verdict.is_right() && verdict.sessions == 8, "{verdict}");
    let calls = trace::read(&stand.folder.path().join("a/trace"));
    let mut proven = 0;
    for exchange in meanwhile.iter().filter(|exchange| exchange.answered) {
        trace::assert_synced_first(&calls, "spool.db-wal", exchange);
        proven += 1;
    }
    println!("{proven} answers after the spool's sync, of {} system calls", calls.len());
    stand.services.as_ref().unwrap().clean().await;
}
