//! Bills an order whose record (or estimate) is there.

use super::{Rules, Work};
use crate::{
    bill::{Bill, Verdict, needs_samples},
    order::{self, BillOutcome, ExceptionCode, Input, Protocol, State, bill_session},
    store::settlement::BillRow,
};

/// How long a bill waits for live data that may still be on its way, ms of the platform's clock.
pub(crate) const SAMPLES_WITHIN_MS: i64 = 60_000;

impl Work {
    /// Rates an order, or lets it wait for samples (YKC live data comes on a topic of its own, and what was spooled comes behind its start).
    pub(super) fn bill(&mut self, order_no: &str) -> Option<Input> {
        let waits = self.needs_live_data(order_no);
        let now_ms = self.now_ms;
        if waits && let Some(row) = self.orders.get_mut(order_no) {
            row.facts.waits_for_samples_since_ms = Some(now_ms);
            return None;
        }
        self.rate(order_no)
    }

    /// The live data is there, or was waited for long enough: the bill is made now.
    pub fn bill_waiting(&mut self, order_no: &str, behind_ms: i64) {
        let now_ms = self.now_ms;
        let Some(row) = self.orders.get_mut(order_no) else { return };
        let waited = |since_ms: &i64| now_ms.saturating_sub(*since_ms) >= behind_ms;
        if row.facts.waits_for_samples_since_ms.filter(waited).is_none() {
            return;
        }
        row.facts.waits_for_samples_since_ms = None;
        let before = &row.facts.order;
        let told = (before.state.name(), before.exception.map(|code| code.name()));
        self.orders_changed.entry(order_no.to_owned()).or_insert(Some(told));
        if before.state != State::Settling {
            return;
        }
        if let Some(input) = self.rate(order_no) {
            // The order is in SETTLING, where a bill is always possible.
            let _ = self.step(order_no, self.now_ms, input);
        }
    }

    fn needs_live_data(&self, order_no: &str) -> bool {
        let Some(row) = self.orders.get(order_no) else { return false };
        let order = &row.facts.order;
        // OCPP's samples are in one line with its record, but where the start came after it: the readings after the start come then.
        let disordered = order.protocol == Protocol::Ykc || order.charging_at_ms.is_none();
        if !disordered || order.estimate.is_some() {
            return false;
        }
        self.with_facts(order_no, |order, facts| {
            let session = bill_session(order, facts).ok()?;
            needs_samples(facts.tariff, &session, facts.options).ok()
        })
        .flatten()
        .unwrap_or(false)
    }

    fn rate(&mut self, order_no: &str) -> Option<Input> {
        let Some(settlement) = self.with_facts(order_no, order::settle) else {
            if let Some(row) = self.orders.get_mut(order_no) {
                row.facts.held_because = "no tariff is bound to the charger".to_owned();
            }
            return Some(Input::Billed(BillOutcome::Held(ExceptionCode::NoTariff)));
        };
        let row = self.orders.get_mut(order_no)?;
        row.facts.held_because = settlement.detail;
        if let Some(bill) = settlement.bill {
            let other = bill.min_topup_fen.0 - bill.coupon_fen.0 + bill.occupancy_fen.0;
            row.facts.fees_fen =
                Some((bill.electricity_fen.0, bill.service_fen.0 - bill.service_discount_fen.0, other));
            self.bills.push(stored(order_no, &bill, self.now_ms));
        }
        Some(Input::Billed(settlement.outcome))
    }

    /// `None` where the order names no tariff that exists, or existed when it was made.
    fn with_facts<T>(&self, order_no: &str, f: impl FnOnce(&order::Order, &order::Facts<'_>) -> T) -> Option<T> {
        let order = &self.orders.get(order_no)?.facts.order;
        let charger = self.chargers.get(&order.charger);
        let clock_skew_ms = charger.map_or(0, |charger| charger.live.skew_ms);
        let Rules { options, limits, .. } = &*self.rules;
        let correction_ms = options.correction_ms(order.skew_of_session_ms(clock_skew_ms, options, limits));
        let tariff = self.tariffs.get(order.tariff.as_deref()?)?.at(order.tariff_locked_at_ms(correction_ms))?;
        let facts = order::Facts {
            tariff: &tariff,
            samples: self.samples.get(order_no).map(Vec::as_slice).unwrap_or_default(),
            clock_skew_ms,
            rated_power_w: charger.map_or(0, |charger| charger.rated_power_w),
            options,
            limits,
        };
        Some(f(order, &facts))
    }
}

fn stored(order_no: &str, bill: &Bill, now_ms: i64) -> BillRow {
    let verdict = match bill.comparison.map(|comparison| comparison.verdict) {
        None => "none",
        Some(Verdict::Match) => "match",
        Some(Verdict::WithinTolerance) => "within_tolerance",
        Some(Verdict::AmountMismatch) => "amount_mismatch",
    };
    BillRow {
        order_no: order_no.to_owned(),
        total_fen: bill.total_fen.0,
        energy_e4: bill.energy.0,
        verdict: verdict.to_owned(),
        content: serde_json::to_string(bill).unwrap_or_default(),
        created_at_ms: now_ms,
    }
}
