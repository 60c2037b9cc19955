//! The end of a test that brings its own faults: the chargers stop, everything ends well, and the books are compared.

use std::{sync::Arc, time::Duration};

use events::log::EventLog;
use simulator::Fleet;
use tokio::time::Instant;

use crate::{
    charger_line::Exchange,
    platform::Stand,
    spoken::Money,
    trial,
    verdict::{self, Accounts, Verdict},
};

/// Until the chargers rest, and until the orders are settled: far more than either takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came of it.
pub struct Books {
    pub verdict: Verdict,
    pub exchanges: Vec<Exchange>,
    pub log: Arc<dyn EventLog>,
}

/// Lets the chargers finish what runs, ends the platform and compares.
pub async fn reckon(stand: &Stand, fleet: Fleet) -> Books {
    let ended = fleet.stop(Instant::now() + PATIENCE).await;
    let orders = trial::settled(stand, &ended.ledger, PATIENCE).await;
    let (log, complaints) = stand.end().await;
    let exchanges = stand.chargers.exchanges();
    let said = verdict::read(&log).await;
    let mut verdict = Accounts { ledger: ended.ledger, exchanges: exchanges.clone(), orders, log: said }.judge();
    verdict.odd.extend(complaints);
    if ended.unsettled > 0 {
        verdict.odd.push(format!("{} chargers did not come to rest: {:?}", ended.unsettled, ended.progress));
    }
    Books { verdict, exchanges, log }
}

/// The attempts that chargers burnt: money that nobody answered on a connection that lived on, so that it was sent on it again.
pub fn burnt(exchanges: &[Exchange]) -> Vec<String> {
    let mut burnt = Vec::new();
    for (at, exchange) in exchanges.iter().enumerate().filter(|(_, exchange)| !exchange.answered) {
        let Exchange { charger, kind, session, times, connection, .. } = exchange;
        let same = |again: &&Exchange| {
            // A start that was not answered has no session yet, and nothing goes before it.
            let same_session = *kind == Money::Start || (again.session == *session && again.times == *times);
            (again.connection, again.kind) == (*connection, *kind) && again.charger == *charger && same_session
        };
        if let Some(again) = exchanges[at + 1..].iter().find(same) {
            let after = again.asked_at - exchange.asked_at;
            burnt.push(format!("{charger} session {session}: {kind:?}, sent again after {after:?}"));
        }
    }
    burnt
}
