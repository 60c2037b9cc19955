//! In the cluster form, without a spool, no answer to a money message leaves while the broker's confirmations are held back on their
//! way.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    services, trial,
    verdict::{self, Accounts},
};

/// Confirmations that were on their way when the line was closed are answered within this time.
const IN_FLIGHT: Duration = Duration::from_millis(300);
/// How long nothing may be answered. Far less than what a charger bears.
const SILENCE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn no_answer_leaves_before_the_broker_has_confirmed() {
    let _alone = services::alone().await;
    let plan = Plan { api_over_line: false, sessions: 2, ykc: 3, ocpp: 3, ..Plan::quiet(900_001, Form::Cluster) };
    // The gateway does not hang up meanwhile: whatever is not answered waits for the broker.
    let wishes = Wishes { env: vec![("EVGATE__GATEWAY__MONEY__ACK_MS", "20000".to_owned())], ..Wishes::default() };
    let stand = Stand::start(&plan, &wishes).await;
    let fleet = trial::fleet(&plan, &stand);
    let answered = || stand.chargers.exchanges().iter().filter(|exchange| exchange.answered).count();
    let asked = || stand.chargers.exchanges().len();
    until("some answers", || answered() >= 5).await;

    let line = &stand.services.as_ref().unwrap().broker_line.weather;
    line.hold(false, true);
    tokio::time::sleep(IN_FLIGHT).await;
    let (answered_before, asked_before) = (answered(), asked());
    until("money on its way", || asked() >= asked_before + 2).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(answered(), answered_before, "an answer left although no confirmation had arrived");
    println!("{} money messages waited with their broker", asked() - answered_before);
    line.hold(false, false);
    until("answers again", || answered() > answered_before).await;

    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(60)).await, "{:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    let orders = trial::settled(&stand, &ended.ledger, Duration::from_secs(60)).await;
    let (log, complaints) = stand.end().await;
    assert!(complaints.is_empty(), "{complaints:?}");
    let exchanges = stand.chargers.exchanges();
    let verdict = Accounts { ledger: ended.ledger, exchanges, orders, log: verdict::read(&log).await }.judge();
    assert!(verdict.is_right() && verdict.sessions == 12, "{verdict}");
    stand.services.as_ref().unwrap().clean().await;
}

/// Waits for it.
pub async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} should have come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
