//! CALLs of the station: who answers what, at once or after the log.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use codecs::ocpp::{
    ErrorCode, MessageId, Timestamp,
    v16::{
        Action, AuthorizationStatus, CallRefusal, IdTagInfo, StationCall, authorize, boot_notification, data_transfer,
        heartbeat, status_notification,
    },
};
use events::proto::{VendorMessage, envelope::Body as EventBody};

use super::{Ocpp16Session, refuse, reply};
use crate::{
    session::{Class, Context, Effects, Malformed, Note, What},
    translate::ocpp16 as translate,
};

impl Ocpp16Session {
    pub(super) fn on_call(
        &mut self,
        cx: &Context<'_>,
        id: MessageId<'_>,
        action: &str,
        payload: &str,
        fx: &mut Effects,
    ) {
        let call = match StationCall::parse(action, payload) {
            Ok(call) => call,
            Err(CallRefusal::NotSupported(action)) if action.empty_response().is_some() => {
                return self.on_notification(cx, &id, action, payload, fx);
            }
            Err(refusal) => return self.on_refused(cx, &id, &refusal, payload, fx),
        };
        if !call.deviations().is_empty() {
            fx.notes.push(Note::Quirk("ocpp_deviation"));
        }
        self.bad = 0;
        fx.message_kind = kind_of(call.action());
        match call {
            StationCall::MeterValues(values) => self.on_meter_values(cx, id, &values, fx),
            StationCall::Heartbeat(_) => {
                reply(fx, &id, &heartbeat::Response { current_time: Timestamp::from_ms(cx.now.wall_ms) });
            }
            StationCall::StatusNotification(status) => self.on_status(cx, &id, &status, fx),
            StationCall::StartTransaction(start) => self.on_start(cx, id, &start, fx),
            StationCall::StopTransaction(stop) => self.on_stop(cx, id, &stop, payload, fx),
            StationCall::Authorize(request) => {
                let (status, parent) = self.judge_tag(cx, &request.id_tag);
                let mut info = IdTagInfo::new(status);
                info.parent_id_tag = parent.map(Into::into);
                reply(fx, &id, &authorize::Response { id_tag_info: info });
            }
            StationCall::BootNotification(boot) => {
                self.voice.say(cx, fx, Class::Kept, 0, EventBody::ChargerBooted(translate::booted(&boot)));
                reply(
                    fx,
                    &id,
                    &boot_notification::Response {
                        status: boot_notification::RegistrationStatus::Accepted,
                        current_time: Timestamp::from_ms(cx.now.wall_ms),
                        interval: cx.settings.heartbeat_s.into(),
                    },
                );
            }
            StationCall::DataTransfer(_) => {
                let body =
                    VendorMessage { kind: "DataTransfer".to_owned(), payload: payload.as_bytes().to_vec().into() };
                self.voice.say(cx, fx, Class::Kept, 0, EventBody::VendorMessage(body));
                let status = data_transfer::DataTransferStatus::UnknownVendorId;
                reply(fx, &id, &data_transfer::Response { status, data: None });
            }
        }
    }

    /// A notification that nobody reads typed here: passed on, answered with nothing in it.
    fn on_notification(
        &mut self,
        cx: &Context<'_>,
        id: &MessageId<'_>,
        action: Action,
        payload: &str,
        fx: &mut Effects,
    ) {
        if codecs::ocpp::check_value(payload).is_err() {
            refuse(fx, id, &ErrorCode::FormationViolation, "the payload is not JSON");
            return self.on_bad(cx, Malformed::Payload, fx);
        }
        self.bad = 0;
        let body = VendorMessage { kind: action.name().to_owned(), payload: payload.as_bytes().to_vec().into() };
        self.voice.say(cx, fx, Class::Kept, 0, EventBody::VendorMessage(body));
        reply(fx, id, &codecs::ocpp::v16::meter_values::Response {});
    }

    fn on_refused(
        &mut self,
        cx: &Context<'_>,
        id: &MessageId<'_>,
        refusal: &CallRefusal,
        payload: &str,
        fx: &mut Effects,
    ) {
        let kind = match refusal {
            CallRefusal::UnknownAction | CallRefusal::NotSupported(_) => Malformed::UnknownAction,
            CallRefusal::BadPayload(action, _) => {
                if is_money(*action) {
                    // It will be tried again and then dropped by the station: its text must not be lost with it.
                    self.keep_unreadable(cx, id, *action, refusal, payload, fx);
                    return;
                }
                Malformed::Payload
            }
        };
        refuse(fx, id, &refusal.error_code(), &refusal.to_string());
        // An action that we do not know is no sign of a broken stream.
        if kind == Malformed::UnknownAction { fx.malformed(kind) } else { self.on_bad(cx, kind, fx) }
    }

    /// A Start, Stop or MeterValues that cannot be read: to the dead-letter topic, then a CALLERROR, which makes the station
    /// drop it after its attempts.
    fn keep_unreadable(
        &mut self,
        cx: &Context<'_>,
        id: &MessageId<'_>,
        action: Action,
        refusal: &CallRefusal,
        payload: &str,
        fx: &mut Effects,
    ) {
        fx.malformed(Malformed::Payload);
        let held = super::transactions::Held::refusal(id, refusal.error_code(), refusal.to_string());
        let ticket = self.money.hold(held, 1, cx.now.mono_ms);
        let why = match action {
            Action::StartTransaction => "ocpp_start_unreadable",
            Action::StopTransaction => "ocpp_stop_unreadable",
            _ => "ocpp_meter_values_unreadable",
        };
        let what = What::DeadLetter { bytes: payload.as_bytes().to_vec(), why };
        self.voice.say_full(cx, fx, Class::Money, 0, cx.now.wall_ms, ticket, Vec::new(), what);
    }

    fn on_status(
        &mut self,
        cx: &Context<'_>,
        id: &MessageId<'_>,
        status: &status_notification::Request<'_>,
        fx: &mut Effects,
    ) {
        let connector = translate::connector(status.connector_id);
        let (body, leftovers) = translate::status_changed(status);
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let detail = hasher.hash_one((&body.error_code, &body.info, status.status.as_str()));
        let news = self.connector(connector).is_none_or(|known| {
            let news = known.status as i32 != body.status || known.detail != detail;
            known.status = translate::status_of(&status.status);
            known.detail = detail;
            news
        });
        if news {
            let occurred =
                status.timestamp.as_ref().map_or(cx.now.wall_ms, |at| translate::time_or(at, cx.now.wall_ms));
            let what = What::Body(EventBody::StatusChanged(body));
            self.voice.say_full(cx, fx, Class::Status, connector, occurred, 0, leftovers, what);
        }
        reply(fx, id, &status_notification::Response {});
    }

    /// The verdict on an id tag, and its group. Tags of remote starts are ours; everything else is the registry's word.
    pub(super) fn judge_tag(&self, cx: &Context<'_>, id_tag: &str) -> (AuthorizationStatus<'static>, Option<String>) {
        let seat = &self.voice.seat;
        if cx.tags.knows(&seat.charger, id_tag, cx.now.wall_ms) {
            return (AuthorizationStatus::Accepted, None);
        }
        let Some(token) = cx.replica.token(seat.tenant, id_tag) else {
            return (AuthorizationStatus::Invalid, None);
        };
        let expired = token.expires_at_ms != 0 && token.expires_at_ms <= cx.now.wall_ms;
        let status = match token.status.as_str() {
            "accepted" if expired => AuthorizationStatus::Expired,
            "accepted" => AuthorizationStatus::Accepted,
            "blocked" => AuthorizationStatus::Blocked,
            "expired" => AuthorizationStatus::Expired,
            _ => AuthorizationStatus::Invalid,
        };
        let parent = (!token.parent.is_empty() && token.parent.chars().count() <= 20).then(|| token.parent.clone());
        (status, parent)
    }
}

/// Index into [`crate::telemetry::OCPP_KINDS`].
const fn kind_of(action: Action) -> usize {
    match action {
        Action::BootNotification => 0,
        Action::Heartbeat => 1,
        Action::StatusNotification => 2,
        Action::Authorize => 3,
        Action::StartTransaction => 4,
        Action::StopTransaction => 5,
        Action::MeterValues => 6,
        Action::DataTransfer => 7,
        _ => 9,
    }
}

const fn is_money(action: Action) -> bool {
    matches!(action, Action::StartTransaction | Action::StopTransaction | Action::MeterValues)
}
