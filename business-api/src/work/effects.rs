//! Carries out what the order room asks for, into the unit of work.

use std::{collections::VecDeque, mem::discriminant};

use events::{
    commands::{ReadLiveData, StartCharging, StopCharging, command::Action},
    topic::Topic,
};
use serde_json::json;

use super::Work;
use crate::{
    command,
    metrics::{ALARMS, ORDERS_SETTLED},
    order::{Alarm, Effect, Input, Protocol, State, TimelineEntry, WorkItem},
    store::{
        orders::{Line, Timer},
        outbox::Outgoing,
        settlement::{LedgerRow, RecordRow},
        work_items::WorkItemRow,
    },
    tariff::instant_text,
};

impl Work {
    pub(super) fn carry_out(&mut self, order_no: &str, at_ms: i64, effects: Vec<Effect>, inputs: &mut VecDeque<Input>) {
        for effect in effects {
            match effect {
                Effect::SendStart => self.send_start(order_no),
                Effect::SendStop { .. } => self.send_stop(order_no),
                Effect::ReadLiveData => self.command(order_no, Action::ReadLiveData(ReadLiveData {})),
                Effect::ScheduleTimer { at_ms, kind } => self.schedule(order_no, Timer { kind, at_ms }),
                Effect::StoreRecord { version, digest } => {
                    let body = self.record_body.clone();
                    self.store_record(order_no, version, &digest.to_string(), body);
                }
                Effect::SetRecordAside { version, digest } => {
                    self.store_record(order_no, version, &digest.to_string(), Vec::new());
                    self.set_aside = Some(format!("version {version} of the record of order {order_no}"));
                }
                Effect::CountDuplicate => self.metrics.duplicates.increment(1),
                Effect::Bill => inputs.extend(self.bill(order_no)),
                Effect::Collect { amount } => inputs.push_back(self.collect(order_no, amount.0)),
                Effect::RaiseAlarm(alarm) => self.raise(order_no, alarm, at_ms),
                Effect::OpenWorkItem(item) => self.open_item(order_no, item),
                Effect::AppendTimeline(entry) => self.append(order_no, entry),
                // Orders are postpaid: no prepayment, no frozen balance, so there is nothing to give back. A payer in arrears
                // is found by its unpaid order. The change of state itself is announced with every other.
                Effect::FreezeBalance { .. }
                | Effect::ReleaseHold
                | Effect::CloseChannelOrder
                | Effect::Refund { .. }
                | Effect::BlockPayer
                | Effect::UnblockPayer
                | Effect::AnnounceCompleted => {}
            }
        }
    }

    fn send_start(&mut self, order_no: &str) {
        let Some(row) = self.orders.get(order_no) else { return };
        let order = &row.facts.order;
        let action = StartCharging {
            session: order.session.clone().filter(|_| order.protocol == Protocol::Ykc).unwrap_or_default(),
            id_tag: order.id_tag.clone().unwrap_or_default(),
            logical_card: String::new(),
            physical_card: String::new(),
            balance_fen: self.rules.balance_fen,
        };
        self.command(order_no, Action::StartCharging(action));
    }

    fn send_stop(&mut self, order_no: &str) {
        let Some(session) = self.orders.get(order_no).and_then(|row| row.facts.order.session.clone()) else { return };
        self.command(order_no, Action::StopCharging(StopCharging { session }));
    }

    fn command(&mut self, order_no: &str, action: Action) {
        let Some(row) = self.orders.get(order_no) else { return };
        let about = command::About {
            tenant: self.tenant,
            charger: &row.facts.order.charger,
            connector: row.facts.order.connector,
            order_no: Some(order_no),
            now_ms: self.now_ms,
            ttl_ms: self.rules.command_ttl_ms,
            traceparent: &self.traceparent,
        };
        let (row, outgoing) = command::issue(&about, action);
        self.put_command(row);
        self.publish(outgoing);
    }

    fn schedule(&mut self, order_no: &str, timer: Timer) {
        if let Some(row) = self.orders.get_mut(order_no) {
            row.facts.timers.retain(|known| discriminant(&known.kind) != discriminant(&timer.kind));
            row.facts.timers.push(timer);
        }
    }

    fn store_record(&mut self, order_no: &str, version: u32, digest: &str, body: Vec<u8>) {
        let Some(row) = self.orders.get(order_no) else { return };
        let order = &row.facts.order;
        let (charger, session) = (order.charger.clone(), order.session.clone().unwrap_or_default());
        if order.is_full_of_records() {
            self.known_records.insert((order_no.to_owned(), digest.to_owned()));
        }
        self.records.push(RecordRow {
            charger,
            session,
            digest: digest.to_owned(),
            version,
            order_no: order_no.to_owned(),
            received_at_ms: self.now_ms,
            body,
        });
    }

    /// Postpaid: the amount is booked to the payer's account, which always succeeds; without a payer it cannot be collected.
    fn collect(&mut self, order_no: &str, amount_fen: i64) -> Input {
        let payer = self.orders.get(order_no).and_then(|row| row.facts.order.payer.clone());
        let Some(account) = payer else { return Input::CollectFailed { collected: events::units::Fen(0) } };
        self.ledger.push(LedgerRow { order_no: order_no.to_owned(), account, amount_fen, booked_at_ms: self.now_ms });
        Input::Collected
    }

    fn raise(&mut self, order_no: &str, alarm: Alarm, at_ms: i64) {
        metrics::counter!(ALARMS).increment(1);
        let Some(row) = self.orders.get(order_no) else { return };
        let order = &row.facts.order;
        let body = json!({
            "kind": "alarm",
            "tenant": order.tenant,
            "order_no": order_no,
            "charger": order.charger,
            "connector": order.connector,
            "alarm": alarm.code(),
            "level": alarm.level(),
            "at": instant_text(at_ms),
        });
        self.outgoing.push(about_order(order_no, &body));
    }

    fn open_item(&mut self, order_no: &str, item: WorkItem) {
        let Some(row) = self.orders.get(order_no) else { return };
        self.items.push(WorkItemRow {
            kind: item,
            order_no: Some(order_no.to_owned()),
            charger: row.facts.order.charger.clone(),
            detail: row.facts.held_because.clone(),
        });
    }

    /// A remark that an event makes, known by its connection and number: when it is read again it makes none.
    pub fn remark_of(&mut self, event: (u64, u64), order_no: &str, at_ms: i64, what: &str, detail: String) {
        let Some(row) = self.orders.get_mut(order_no) else { return };
        if row.facts.remarked.is_none_or(|last| last < event) {
            row.facts.remarked = Some(event);
            self.remark(order_no, at_ms, what, detail);
        }
    }

    /// What is left to a person of what was opened: an order that is held no longer, or for another reason, needs nobody for that.
    pub(super) fn items_to_open(&self) -> Vec<&WorkItemRow> {
        let stands = |item: &&WorkItemRow| {
            let row = item.order_no.as_ref().and_then(|order_no| self.orders.get(order_no));
            let held = row.and_then(|row| row.facts.order.exception).map(WorkItem::Held);
            item.kind == WorkItem::RecordConflict || held == Some(item.kind)
        };
        self.items.iter().filter(stands).collect()
    }

    /// Orders that were held before this and are not any more, or were held anew: what is open about that is over.
    pub(super) fn no_longer_held(&self) -> Vec<(&str, String)> {
        let held_anew = |order_no: &str| {
            let of_order = |item: &WorkItemRow| item.order_no.as_deref() == Some(order_no);
            self.items.iter().any(|item| item.kind != WorkItem::RecordConflict && of_order(item))
        };
        let over = |(order_no, before): (&'_ String, &Option<(&'static str, Option<&'static str>)>)| {
            before.and_then(|(_, exception)| exception)?;
            let order = &self.orders.get(order_no)?.facts.order;
            match order.exception {
                None => Some(format!("the order is no longer held: {}", order.state.name())),
                Some(code) if held_anew(order_no) => Some(format!("the order was held anew: {}", code.name())),
                Some(_) => None,
            }
        };
        self.orders_changed.iter().filter_map(|(no, before)| over((no, before)).map(|why| (no.as_str(), why))).collect()
    }

    /// A line of the timeline about something that moves nothing.
    pub fn remark(&mut self, order_no: &str, at_ms: i64, what: &str, detail: String) {
        let Some(row) = self.orders.get(order_no) else { return };
        let (state, exception) = (row.facts.order.state, row.facts.order.exception);
        let told = (state.name(), exception.map(|code| code.name()));
        self.orders_changed.entry(order_no.to_owned()).or_insert(Some(told));
        let (what, transition) = (what.to_owned(), String::new());
        self.append(order_no, TimelineEntry { at_ms, what, transition, from: Some(state), to: state, detail });
    }

    fn append(&mut self, order_no: &str, entry: TimelineEntry) {
        let Some(row) = self.orders.get_mut(order_no) else { return };
        row.facts.lines += 1;
        self.lines.push(Line { order_no: order_no.to_owned(), seq: row.facts.lines, entry });
    }

    /// Tells the outside (biz.order.v1, JSON) about every order whose state is another than at the beginning. A reader that
    /// sees one twice knows it by `version`.
    pub(super) fn announce(&mut self) {
        let mut told = Vec::new();
        for (order_no, before) in &self.orders_changed {
            let Some(row) = self.orders.get(order_no) else { continue };
            let order = &row.facts.order;
            let now = (order.state.name(), order.exception.map(|code| code.name()));
            if *before == Some(now) {
                continue;
            }
            let outcome = match order.state {
                State::Completed => Some("completed"),
                State::ClosedZero => Some("closed_zero"),
                State::Exception => Some("exception"),
                _ => None,
            };
            if let Some(outcome) = outcome {
                metrics::counter!(ORDERS_SETTLED, "outcome" => outcome).increment(1);
            }
            let body = json!({
                "kind": "state",
                "tenant": order.tenant,
                "order_no": order_no,
                "version": row.version + 1,
                "from": before.map(|(state, _)| state),
                "state": now.0,
                "exception_code": now.1,
                "station": row.station,
                "charger": order.charger,
                "connector": order.connector,
                "session": order.session,
                "start_mode": order.start_mode.name(),
                "account": order.payer,
                "energy_kwh": order.settled.map(|settled| settled.energy.to_string()),
                "total_fen": order.settled.map(|settled| settled.total.0),
                "at": instant_text(self.now_ms),
            });
            told.push(about_order(order_no, &body));
        }
        self.outgoing.append(&mut told);
    }
}

fn about_order(order_no: &str, body: &serde_json::Value) -> Outgoing {
    Outgoing {
        topic: Topic::Order,
        key: order_no.as_bytes().to_vec(),
        payload: Some(body.to_string().into_bytes()),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
    }
}
