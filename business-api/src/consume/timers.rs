//! Timers of orders, on the platform's clock. Only asked for when the log had been read to its end: a backlog is applied first,
//! so that nothing times out that has happened long ago.

use super::batch::Settings;
use crate::{
    store::{DbError, Store},
    work::{SAMPLES_WITHIN_MS, Wanted, Work},
};

/// Orders handled in one transaction.
const AT_ONCE: i64 = 200;

/// How much may be concluded from the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The log had been read to its end.
    AtEnd,
    /// There is a backlog: only bills that have waited too long for live data are made.
    Behind,
}

/// Fires what is due, bills what waited for samples. Answers how many orders it was about.
///
/// # Errors
/// The database's; [`DbError::Changed`] when another node was faster.
pub(super) async fn fire(store: &Store, settings: &Settings, now_ms: i64, look: Look) -> Result<usize, DbError> {
    let tenants = store.read_platform().await?.tenants().await?;
    let mut handled = 0;
    for (tenant, _) in tenants {
        let mut due = store.read(tenant).await?.due_orders(tenant, now_ms, AT_ONCE).await?;
        if look == Look::Behind {
            let waited = |since_ms: i64| now_ms.saturating_sub(since_ms) >= SAMPLES_WITHIN_MS;
            due.retain(|row| row.facts.waits_for_samples_since_ms.is_some_and(waited));
        }
        if due.is_empty() {
            continue;
        }
        let mut wanted = Wanted { billing: true, ..Wanted::default() };
        wanted.orders = due.into_iter().map(|row| row.facts.order.order_no).collect();
        let orders = wanted.orders.clone();
        let mut tx = store.write(tenant).await?;
        let mut work = Work::load(&mut tx, tenant, now_ms, &settings.rules, &settings.metrics, &wanted).await?;
        for order_no in &orders {
            if look == Look::AtEnd {
                work.fire_timers(order_no);
            }
            work.bill_waiting(order_no, settings.samples_behind_ms);
        }
        work.flush(&mut tx).await?;
        tx.commit().await?;
        handled += orders.len();
    }
    Ok(handled)
}
