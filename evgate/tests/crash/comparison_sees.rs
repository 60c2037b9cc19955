//! The comparison must be able to fail: a line that lies once about money is found out, whatever the lie is about.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    lies::Lie,
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    spoken::Money,
    trial,
    verdict::{self, Accounts, Verdict},
};

/// How long the orders that will never come are waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// The verdict on a quiet trial but for one lie.
async fn told(lie: Option<Lie>) -> Verdict {
    let plan = Plan::quiet(1, Form::Embedded);
    let stand = Stand::start(&plan, &Wishes::default()).await;
    if let Some(lie) = lie {
        stand.chargers.lie(lie);
    }
    let fleet = trial::fleet(&plan, &stand);
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(60)).await, "{:?}", fleet.progress());
    let ended = fleet.stop(Instant::now() + Duration::from_secs(30)).await;
    assert!(stand.chargers.lied(), "the moment for the lie came");
    let orders = trial::settled(&stand, &ended.ledger, PATIENCE).await;
    let (log, complaints) = stand.end().await;
    assert!(complaints.is_empty(), "{complaints:?}");
    let exchanges = stand.chargers.exchanges();
    let verdict = Accounts { ledger: ended.ledger, exchanges, orders, log: verdict::read(&log).await }.judge();
    println!("{lie:?}: {verdict}");
    assert_eq!(verdict.sessions, 4);
    verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_is_right() {
    let verdict = told(None).await;
    assert!(verdict.is_right(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_record_is_lost() {
    let verdict = told(Some(Lie::Swallowed(Money::Record))).await;
    assert!(verdict.lost.iter().any(|lost| lost.contains("no record in the log")), "{verdict}");
    assert!(verdict.duplicated.is_empty() && verdict.wrong.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_stop_is_lost() {
    let verdict = told(Some(Lie::Swallowed(Money::Stop))).await;
    assert!(verdict.lost.iter().any(|lost| lost.contains("no record in the log")), "{verdict}");
    assert!(verdict.duplicated.is_empty() && verdict.wrong.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn swallowed_meter_values_are_lost() {
    let verdict = told(Some(Lie::Swallowed(Money::Meter))).await;
    assert!(
        verdict.lost.iter().any(|lost| lost.contains("Meter") && lost.contains("answered, and not in the log")),
        "{verdict}"
    );
    assert!(verdict.duplicated.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_under_two_numbers_is_duplicated() {
    let verdict = told(Some(Lie::RecordTwice)).await;
    assert!(verdict.duplicated.iter().any(|twice| twice.contains("in the log, of no charger")), "{verdict}");
    assert!(verdict.duplicated.iter().any(|twice| twice.contains("order_no")), "{verdict}");
    assert!(verdict.lost.is_empty() && verdict.wrong.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_more_energy_is_a_wrong_amount() {
    let verdict = told(Some(Lie::MoreEnergy)).await;
    assert!(verdict.wrong.iter().any(|wrong| wrong.contains("log")), "{verdict}");
    assert!(verdict.wrong.iter().any(|wrong| wrong.contains("fen")), "{verdict}");
    assert!(verdict.lost.is_empty() && verdict.duplicated.is_empty(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_more_energy_is_a_wrong_amount() {
    let verdict = told(Some(Lie::MoreMeter)).await;
    assert!(verdict.wrong.iter().any(|wrong| wrong.contains("fen")), "{verdict}");
    assert!(verdict.lost.is_empty() && verdict.duplicated.is_empty(), "{verdict}");
}
