//! Holds chargers, log and orders against each other.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use events::log::EventLog;
use evgate::{
    demo::{
        log_book,
        reconcile::{Books, Name, Said},
    },
    platform::{Order, Platform, by_state},
};
use simulator::Ledger;

/// Waits until `wanted` orders are settled and returns all of them.
pub async fn settled_orders(platform: &Platform, wanted: usize, within: Duration) -> Vec<Order> {
    let deadline = Instant::now() + within;
    loop {
        let orders = platform.orders("").await.expect("the API lists orders");
        if orders.iter().filter(|order| order.is_settled()).count() >= wanted {
            return orders;
        }
        if Instant::now() > deadline {
            let odd: Vec<_> = orders.iter().filter(|order| !order.is_settled()).take(10).collect();
            panic!("{wanted} orders should be settled: {:?}; not settled: {odd:#?}", by_state(&orders));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Panics unless ledger, log and orders agree session by session, and every session's money was reckoned on both sides.
pub async fn assert_agree(ledger: &Ledger, orders: &[Order], log: &Arc<dyn EventLog>, sessions: usize) {
    let told: BTreeMap<Name, Said> = ledger
        .sessions
        .iter()
        .map(|entry| {
            assert!(entry.acknowledged && !entry.lost, "a record was not confirmed: {entry:?}");
            let fen = entry.expected.map(|expected| expected.electricity_fen + expected.service_fen);
            let energy_e4 = i64::try_from(entry.energy_e4).unwrap();
            ((entry.charger.clone(), entry.session.clone()), Said { energy_e4, fen })
        })
        .collect();
    assert_eq!(told.len(), ledger.sessions.len(), "two sessions have one name");
    let billed: BTreeMap<Name, Said> = orders
        .iter()
        .map(|order| {
            assert!(order.state.eq_ignore_ascii_case("completed"), "{order:?}");
            let name = (order.charger.clone(), order.session.clone().expect("a settled order has a session"));
            (name, Said { energy_e4: order.energy_e4().expect("energy"), fen: order.total_fen })
        })
        .collect();
    assert_eq!(billed.len(), orders.len(), "two orders for one session");
    let books = Books { ledger: told, log: log_book::read(log, 1001, 0).await.expect("log"), orders: billed };
    let verdict = books.compare();
    assert!(verdict.differences.is_empty(), "{:#?}", verdict.differences);
    assert_eq!((verdict.sessions, verdict.rated, books.orders.len()), (sessions, sessions, sessions));
    let (_, energy, fen) = Books::sum(&books.orders);
    eprintln!("{sessions} sessions, {energy} x 0.0001 kWh, {fen} fen: ledger, log and orders agree");
}
