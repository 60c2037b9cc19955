//! Finds the orders that something is about, opens new ones, moves them through the order room.

use std::collections::VecDeque;

use events::units::EnergyE4;
use rand::Rng as _;

use super::Work;
use crate::{
    bill::Sample,
    metrics::ORDERS_CREATED,
    order::{COUNTERS, Estimate, Illegal, Input, Opening, Placed, Protocol, Record, State, open, order_number, step},
    store::orders::{EstimateAsked, Facts, OrderRow},
    tariff::{MS_PER_SLOT, instant_text},
};

/// Below this many samples every one is kept, above it one per minute.
const DENSE_SAMPLES: u32 = 1_000;
const SPARSE_MS: i64 = 60_000;

impl Work {
    /// The order of a charger that waits for a start with this idTag.
    pub fn by_tag(&self, charger: &str, tag: &str) -> Option<String> {
        let waiting = |order_no: &&String| {
            self.orders.get(*order_no).is_some_and(|row| {
                let order = &row.facts.order;
                order.session.is_none() && order.id_tag.as_deref() == Some(tag)
            })
        };
        self.by_charger.get(charger)?.iter().rev().find(waiting).cloned()
    }

    /// Orders on a charger (on one of its connectors) that occupy their connector.
    pub fn live_orders(&self, charger: &str, connector: Option<u32>) -> Vec<String> {
        let live = |order_no: &&String| {
            self.orders.get(*order_no).is_some_and(|row| {
                let order = &row.facts.order;
                order.state.occupies_connector() && connector.is_none_or(|number| order.connector == number)
            })
        };
        self.by_charger.get(charger).into_iter().flatten().filter(live).cloned().collect()
    }

    /// What a new order on a connector is, with a number of its own.
    pub fn place(&self, charger: &str, connector: u32, at_ms: i64, payer: Option<String>, tariff: &str) -> Placed {
        let protocol = self.chargers.get(charger).map_or("", |view| view.protocol.as_str());
        let mut random = rand::rng();
        Placed {
            order_no: order_number(at_ms, random.random_range(COUNTERS), random.random()),
            tenant: self.tenant.0.unsigned_abs(),
            charger: charger.to_owned(),
            connector,
            protocol: if protocol == "ykc" { Protocol::Ykc } else { Protocol::Ocpp },
            payer,
            tariff: Some(tariff.to_owned()).filter(|id| !id.is_empty()),
        }
    }

    /// Opens an order and carries out what follows; answers its number.
    pub fn open(&mut self, placed: Placed, at_ms: i64, opening: &Opening, origin: &'static str) -> String {
        let order_no = placed.order_no.clone();
        let station = self.chargers.get(&placed.charger).map(|view| view.station.clone()).unwrap_or_default();
        let step = open(placed, at_ms, opening, &self.rules.policy);
        let mut facts = Facts::new(step.order);
        facts.session_use = facts.order.session.as_ref().map_or(0, |session| self.uses(&facts.order.charger, session));
        self.index(OrderRow { facts, station, version: 0 });
        self.adopt_waiting(&order_no);
        self.orders_changed.insert(order_no.clone(), None);
        metrics::counter!(ORDERS_CREATED, "origin" => origin).increment(1);
        let mut inputs = VecDeque::new();
        self.carry_out(&order_no, at_ms, step.effects, &mut inputs);
        self.go_on(&order_no, at_ms, inputs);
        order_no
    }

    /// Gives an order an input, and what follows from it. An impossible pair is counted and changes nothing.
    pub fn step(&mut self, order_no: &str, at_ms: i64, input: Input) -> Result<(), Illegal> {
        let mut inputs = VecDeque::new();
        self.step_once(order_no, at_ms, &input, &mut inputs)?;
        self.go_on(order_no, at_ms, inputs);
        Ok(())
    }

    fn go_on(&mut self, order_no: &str, at_ms: i64, mut inputs: VecDeque<Input>) {
        while let Some(input) = inputs.pop_front() {
            if let Err(illegal) = self.step_once(order_no, at_ms, &input, &mut inputs) {
                tracing::warn!(order_no, %illegal, "an order refused what followed from its own step");
            }
        }
    }

    fn step_once(
        &mut self,
        order_no: &str,
        at_ms: i64,
        input: &Input,
        inputs: &mut VecDeque<Input>,
    ) -> Result<(), Illegal> {
        let Some(row) = self.orders.get(order_no) else { return Ok(()) };
        let step = match step(&row.facts.order, at_ms, input, &self.rules.policy) {
            Ok(step) => step,
            Err(illegal) => {
                self.metrics.illegal.increment(1);
                tracing::debug!(order_no, %illegal, "not applied");
                return Err(illegal);
            }
        };
        let before = &row.facts.order;
        if step.effects.is_empty() && step.order == *before {
            return Ok(());
        }
        let told = (before.state.name(), before.exception.map(|code| code.name()));
        self.orders_changed.entry(order_no.to_owned()).or_insert(Some(told));
        let named = step.order.session.clone().filter(|_| step.order.session != before.session);
        let named = named.map(|session| (self.uses(&step.order.charger, &session), session));
        let located = named.is_some() || step.order.meter_start != before.meter_start;
        let Some(row) = self.orders.get_mut(order_no) else { return Ok(()) };
        row.facts.order = step.order;
        if let Some((session_use, session)) = named {
            row.facts.session_use = session_use;
            self.by_session.entry(session).or_default().push(order_no.to_owned());
        }
        if row.facts.order.state.terminal() {
            // Nothing that it waited for matters any more.
            row.facts.timers.clear();
        }
        if located {
            self.adopt_waiting(order_no);
        }
        self.carry_out(order_no, at_ms, step.effects, inputs);
        Ok(())
    }

    /// Keeps a point of the energy curve. Bounded: see `samples_per_order`.
    pub fn keep_sample(&mut self, order_no: &str, sample: Sample) {
        let samples_max = u32::try_from(self.rules.samples_max).unwrap_or(u32::MAX);
        let Some(row) = self.orders.get_mut(order_no) else { return };
        let order = &row.facts.order;
        if order.settled.is_some() {
            self.after_bill(order_no, sample);
            return;
        }
        // One that was given up may have started all the same: then its record is billed (T9).
        let over = order.state.terminal() && (order.state != State::StartFailed || order.record.is_some());
        if over || order.state == State::PendingPayment || row.facts.samples >= samples_max {
            return;
        }
        if let Some((last_ms, last_energy)) = row.facts.last_sample {
            let soon = sample.at_ms.saturating_sub(last_ms) < SPARSE_MS;
            let same_slot = sample.at_ms.div_euclid(MS_PER_SLOT) == last_ms.div_euclid(MS_PER_SLOT);
            let thinned = row.facts.samples >= DENSE_SAMPLES && soon && same_slot;
            if thinned || (last_ms, last_energy) == (sample.at_ms, sample.energy.0) {
                return;
            }
        }
        row.facts.samples += 1;
        row.facts.last_sample = Some((sample.at_ms, sample.energy.0));
        let before = &row.facts.order;
        let told = (before.state.name(), before.exception.map(|code| code.name()));
        self.orders_changed.entry(order_no.to_owned()).or_insert(Some(told));
        self.samples.entry(order_no.to_owned()).or_default().push(sample);
        self.new_samples.push(crate::store::settlement::SampleRow {
            order_no: order_no.to_owned(),
            at_ms: sample.at_ms,
            energy_e4: sample.energy.0,
        });
    }

    /// A reading from within the session that the bill could not know: the bill stands, as with a record (T29), and says so. YKC live
    /// data is behind its record as a rule, and a bill that depends on it has waited.
    fn after_bill(&mut self, order_no: &str, sample: Sample) {
        let Some(row) = self.orders.get_mut(order_no) else { return };
        let within = |record: &Record| sample.at_ms < record.ended_at_ms && record.energy != Some(EnergyE4::ZERO);
        let order = &row.facts.order;
        if order.protocol == Protocol::Ykc || !order.record.as_ref().is_some_and(within) {
            return;
        }
        self.metrics.samples_after_bill.increment(1);
        if !std::mem::replace(&mut row.facts.sample_after_bill, true) {
            let detail = format!("a meter reading of {} came after the bill", instant_text(sample.at_ms));
            self.remark(order_no, self.now_ms, "sample_after_bill", detail);
        }
    }

    /// Writes down that somebody asks for an estimate; it moves nothing before somebody else approves it.
    pub fn ask_estimate(&mut self, order_no: &str, asked: EstimateAsked) {
        let Some(row) = self.orders.get_mut(order_no) else { return };
        let (at_ms, estimate) = (asked.at_ms, &asked.estimate);
        let detail = format!("{} kWh, asked by {}: {}", estimate.energy, estimate.requested_by, estimate.reason);
        row.facts.estimate_asked = Some(asked);
        self.remark(order_no, at_ms, "estimate_asked", detail);
    }

    /// T22: settles an order by the estimate that was asked for.
    ///
    /// # Errors
    /// [`Illegal`]: the order is not held, or `by` is who asked.
    pub fn approve_estimate(&mut self, order_no: &str, at_ms: i64, by: &str) -> Result<(), Illegal> {
        let asked = self.orders.get_mut(order_no).and_then(|row| row.facts.estimate_asked.take());
        let Some(EstimateAsked { estimate, account, .. }) = asked else { return Ok(()) };
        let estimate = Estimate { approved_by: by.to_owned(), ..estimate };
        self.step(order_no, at_ms, Input::EstimateApproved { estimate, payer: Some(account) })
    }

    /// Applies a record with its bytes.
    pub fn with_record(&mut self, body: Vec<u8>, apply: impl FnOnce(&mut Self)) {
        self.record_body = body;
        apply(self);
        self.record_body.clear();
    }

    /// Fires the timers of an order that are due.
    pub fn fire_timers(&mut self, order_no: &str) {
        let now_ms = self.now_ms;
        let Some(row) = self.orders.get_mut(order_no) else { return };
        let (mut due, waiting): (Vec<_>, Vec<_>) = row.facts.timers.drain(..).partition(|timer| timer.at_ms <= now_ms);
        row.facts.timers = waiting;
        if due.is_empty() {
            return;
        }
        let before = &row.facts.order;
        let told = (before.state.name(), before.exception.map(|code| code.name()));
        self.orders_changed.entry(order_no.to_owned()).or_insert(Some(told));
        due.sort_by_key(|timer| timer.at_ms);
        for timer in due {
            // Every pair of timer and state is possible; an overtaken one changes nothing.
            let _ = self.step(order_no, now_ms, Input::Timer(timer.kind));
        }
    }
}
