//! StartTransaction, MeterValues of a transaction, StopTransaction: money. Their answers wait for the log.

use codecs::ocpp::{
    ErrorCode, MessageId,
    v16::{AuthorizationStatus, IdTagInfo, meter_values, start_transaction, stop_transaction},
};
use events::proto::envelope::Body as EventBody;

use super::{Ocpp16Session, refuse, reply};
use crate::{
    session::{Class, Context, Effects, What},
    translate::ocpp16 as translate,
};

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Held {
    id: MessageId<'static>,
    answer: HeldAnswer,
}

#[derive(Debug)]
enum HeldAnswer {
    Start { transaction_id: i32, status: AuthorizationStatus<'static>, parent: Option<Box<str>> },
    Stop { status: Option<AuthorizationStatus<'static>>, parent: Option<Box<str>> },
    MeterValues,
    Refusal(Box<(ErrorCode<'static>, String)>),
}

impl Held {
    pub fn refusal(id: &MessageId<'_>, code: ErrorCode<'static>, why: String) -> Self {
        Self { id: id.clone().into_owned(), answer: HeldAnswer::Refusal(Box::new((code, why))) }
    }

    pub fn write(self, fx: &mut Effects) {
        let info = |status: AuthorizationStatus<'static>, parent: Option<Box<str>>| {
            let mut info = IdTagInfo::new(status);
            info.parent_id_tag = parent.map(|parent| String::from(parent).into());
            info
        };
        match self.answer {
            HeldAnswer::Start { transaction_id, status, parent } => reply(
                fx,
                &self.id,
                &start_transaction::Response {
                    id_tag_info: info(status, parent),
                    transaction_id: transaction_id.into(),
                },
            ),
            HeldAnswer::Stop { status, parent } => reply(
                fx,
                &self.id,
                &stop_transaction::Response { id_tag_info: status.map(|status| info(status, parent)) },
            ),
            HeldAnswer::MeterValues => reply(fx, &self.id, &meter_values::Response {}),
            HeldAnswer::Refusal(refusal) => refuse(fx, &self.id, &refusal.0, &refusal.1),
        }
    }
}

impl Ocpp16Session {
    pub(super) fn on_start(
        &mut self,
        cx: &Context<'_>,
        id: MessageId<'_>,
        start: &start_transaction::Request<'_>,
        fx: &mut Effects,
    ) {
        let transaction_id = translate::transaction_id(&self.voice.seat.charger, start);
        // Always an id, also for an invalid tag: the station decides by the status (§4.8).
        let (mut status, mut parent) = self.judge_tag(cx, &start.id_tag);
        let connector = translate::connector(start.connector_id);
        if !self.has_connector(cx, connector) {
            (status, parent) = (AuthorizationStatus::Invalid, None);
        } else if !cx.tags.begin(&self.voice.seat.charger, &start.id_tag, transaction_id) {
            // It names one order, and that has its session.
            (status, parent) = (AuthorizationStatus::ConcurrentTx, None);
        }
        if let Some(known) = self.connector(connector) {
            known.transaction = i64::from(transaction_id);
        }
        let body = translate::session_started(start, transaction_id, cx.now.wall_ms);
        let occurred = body.started_at_ms;
        let answer = HeldAnswer::Start { transaction_id, status, parent: parent.map(String::into_boxed_str) };
        let ticket = self.money.hold(Held { id: id.into_owned(), answer }, 1, cx.now.mono_ms);
        let what = What::Body(EventBody::SessionStarted(body));
        self.voice.say_full(cx, fx, Class::Money, connector, occurred, ticket, Vec::new(), what);
    }

    /// The registry has such a connector, as far as it says how many there are. 0 is the whole station.
    fn has_connector(&self, cx: &Context<'_>, connector: u32) -> bool {
        let entry = cx.replica.charger(&self.voice.seat.charger);
        let connectors = entry.map_or(0, |entry| entry.connectors);
        connector != 0 && (connectors == 0 || connector <= connectors)
    }

    pub(super) fn on_stop(
        &mut self,
        cx: &Context<'_>,
        id: MessageId<'_>,
        stop: &stop_transaction::Request<'_>,
        payload: &str,
        fx: &mut Effects,
    ) {
        let (status, parent) = match &stop.id_tag {
            Some(tag) => {
                let (status, parent) = self.judge_tag(cx, tag);
                (Some(status), parent)
            }
            None => (None, None),
        };
        let mut connector = 0;
        for known in &mut self.connectors {
            if known.transaction != 0 && known.transaction == stop.transaction_id.get() {
                known.transaction = 0;
                connector = known.id;
            }
        }
        // Also for ids that we never gave, 0 and -1: the energy is real, and the end cannot be refused (§4.10).
        let body = translate::recorded(stop, payload, cx.now.wall_ms);
        let occurred = body.ended_at_ms;
        let answer = HeldAnswer::Stop { status, parent: parent.map(String::into_boxed_str) };
        let ticket = self.money.hold(Held { id: id.into_owned(), answer }, 1, cx.now.mono_ms);
        let what = What::Body(EventBody::TransactionRecorded(body));
        self.voice.say_full(cx, fx, Class::Money, connector, occurred, ticket, Vec::new(), what);
    }

    pub(super) fn on_meter_values(
        &mut self,
        cx: &Context<'_>,
        id: MessageId<'_>,
        values: &meter_values::Request<'_>,
        fx: &mut Effects,
    ) {
        let connector = translate::connector(values.connector_id);
        let transaction = values.transaction_id.map(codecs::ocpp::Int::get);
        let samples = || values.meter_value.iter().filter(|value| !value.sampled_value.is_empty());
        let count = u32::try_from(samples().count()).unwrap_or(u32::MAX);
        let Some(transaction) = transaction.filter(|_| count > 0) else {
            for value in samples() {
                let (body, leftovers) = translate::meter_sampled(value, String::new(), false);
                let occurred = translate::time_or(&value.timestamp, cx.now.wall_ms);
                let what = What::Body(EventBody::MeterSampled(body));
                self.voice.say_full(cx, fx, Class::Live, connector, occurred, 0, leftovers, what);
            }
            reply(fx, &id, &meter_values::Response {});
            return;
        };
        if let Some(known) = self.connector(connector)
            && known.transaction == 0
        {
            // Began before this connection did.
            known.transaction = transaction;
        }
        let held = Held { id: id.into_owned(), answer: HeldAnswer::MeterValues };
        let ticket = self.money.hold(held, count, cx.now.mono_ms);
        for value in samples() {
            let (body, leftovers) = translate::meter_sampled(value, transaction.to_string(), true);
            let occurred = translate::time_or(&value.timestamp, cx.now.wall_ms);
            let what = What::Body(EventBody::MeterSampled(body));
            self.voice.say_full(cx, fx, Class::Money, connector, occurred, ticket, leftovers, what);
        }
    }
}
