//! Bytes to messages, per protocol: frames are decoded where they lie in the shard's buffer and given to the session.

use codecs::{
    ws::{self, Assembler, Limits, Message, Opcode, Read, Role, Status, UpgradeStep, parse_upgrade},
    ykc::{Scan, ScanOptions, kind, scan},
};

use crate::{
    registry::Seat,
    session::{
        CloseReason, Context, Effects, LoginResult, Malformed, Note,
        ocpp16::{Ocpp16Session, Refused, judge_upgrade},
        ykc::YkcSession,
    },
    shard::{Shard, inbox::News},
    telemetry::Wire,
};

/// `Retry-After` of an upgrade that is too much now, s: at least so much, and spread over as much again, so that they do not all come
/// back at once.
const RETRY_AFTER_S: u32 = 15;

/// Who speaks on a connection.
#[derive(Debug)]
pub(crate) enum Speaker {
    Ykc(YkcSession),
    /// An OCPP station that has not upgraded yet.
    Upgrade,
    Ocpp(OcppSpeaker),
    /// Over; what still arrives is discarded.
    Gone,
}

/// An upgraded station.
#[derive(Debug)]
pub(crate) struct OcppSpeaker {
    session: Box<Ocpp16Session>,
    assembler: Assembler,
    pinged_ms: u64,
}

impl Speaker {
    pub fn new(wire: Wire) -> Self {
        match wire {
            Wire::Ykc => Self::Ykc(YkcSession::new()),
            Wire::Ocpp => Self::Upgrade,
        }
    }

    /// Takes what it can from the front of `bytes`; returns how much. Stops when the connection is to be closed.
    pub fn on_bytes(&mut self, shard: &Shard, cx: &Context<'_>, bytes: &mut [u8], fx: &mut Effects) -> usize {
        match self {
            Self::Ykc(session) => on_ykc(session, shard, cx, bytes, ScanOptions::default(), fx),
            Self::Upgrade => self.on_upgrade(shard, cx, bytes, fx),
            Self::Ocpp(speaker) => speaker.on_bytes(shard, cx, bytes, fx),
            Self::Gone => bytes.len(),
        }
    }

    /// The rest of a begun frame did not come in time. YKC: the length byte may have been damaged, frames may lie behind it.
    pub fn on_half_frame(&mut self, shard: &Shard, cx: &Context<'_>, bytes: &mut [u8], fx: &mut Effects) {
        match self {
            Self::Ykc(session) => {
                let options = ScanOptions { at_end: true, ..ScanOptions::default() };
                on_ykc(session, shard, cx, bytes, options, fx);
            }
            Self::Ocpp(speaker) => speaker.session.close(fx, CloseReason::HalfFrame),
            Self::Upgrade => fx.close(CloseReason::HalfFrame),
            Self::Gone => {}
        }
    }

    fn on_upgrade(&mut self, shard: &Shard, cx: &Context<'_>, bytes: &mut [u8], fx: &mut Effects) -> usize {
        let request = match parse_upgrade(bytes) {
            Ok(UpgradeStep::Incomplete) => return 0,
            Ok(UpgradeStep::Request(request)) => request,
            Err(error) => {
                fx.malformed(Malformed::Upgrade);
                ws::write_refusal(&mut fx.out, error.status(), &error.to_string());
                fx.close(CloseReason::Refused);
                return bytes.len();
            }
        };
        if !shard.logins.borrow_mut().take(cx.now.mono_ms) {
            fx.notes.push(Note::Login(LoginResult::Busy));
            // Ports are spread already.
            let retry_after_s = RETRY_AFTER_S + u32::from(cx.remote.port()) % RETRY_AFTER_S;
            ws::write_refusal(&mut fx.out, Status::Unavailable { retry_after_s }, "too many at once");
            fx.close(CloseReason::Refused);
            return bytes.len();
        }
        let head_len = request.head_len;
        match judge_upgrade(cx.replica, &shard.shared.config.ocpp.path, &request) {
            Ok((identity, entry, subprotocol)) => {
                if subprotocol.is_none() {
                    fx.notes.push(Note::Quirk("missing_subprotocol"));
                }
                fx.notes.push(Note::Login(LoginResult::Accepted));
                ws::write_switching_protocols(&mut fx.out, request.key, subprotocol);
                let session = Box::new(Ocpp16Session::begin(cx, &identity, entry.tenant, fx));
                let mut speaker = OcppSpeaker { session, assembler: Assembler::new(), pinged_ms: cx.now.mono_ms };
                let rest = bytes.get_mut(head_len..).unwrap_or_default();
                let taken = if rest.is_empty() { 0 } else { speaker.on_bytes(shard, cx, rest, fx) };
                *self = Self::Ocpp(speaker);
                head_len + taken
            }
            Err(Refused::Http(status, why, result)) => {
                fx.notes.push(Note::Login(result));
                ws::write_refusal(&mut fx.out, status, why);
                fx.close(CloseReason::Refused);
                bytes.len()
            }
            Err(Refused::NoSubprotocol) => {
                fx.notes.push(Note::Login(LoginResult::NoSubprotocol));
                ws::write_switching_protocols(&mut fx.out, request.key, None);
                ws::write_close(&mut fx.out, Some(ws::CloseCode::PROTOCOL_ERROR), "no common subprotocol", None);
                fx.close(CloseReason::Refused);
                bytes.len()
            }
        }
    }

    pub fn on_ack(&mut self, cx: &Context<'_>, ticket: u32, durable: bool, fx: &mut Effects) {
        match self {
            Self::Ykc(session) => session.on_ack(cx, ticket, durable, fx),
            Self::Ocpp(speaker) => speaker.session.on_ack(cx, ticket, durable, fx),
            Self::Upgrade | Self::Gone => {}
        }
    }

    /// False: its charger is not here.
    pub fn on_command(
        &mut self,
        cx: &Context<'_>,
        command: &std::sync::Arc<events::commands::Command>,
        fx: &mut Effects,
    ) -> bool {
        match self {
            Self::Ykc(session) => session.on_command(cx, command, fx),
            Self::Ocpp(speaker) => speaker.session.on_command(cx, command, fx),
            Self::Upgrade | Self::Gone => false,
        }
    }

    pub fn on_news(&mut self, cx: &Context<'_>, seat: &Seat, news: News, fx: &mut Effects) {
        match (self, news) {
            (speaker @ (Self::Ykc(_) | Self::Ocpp(_)), News::GivenUp) => speaker.close(fx, CloseReason::GatewayLost),
            (Self::Ykc(session), News::Fenced) => session.on_fenced(cx, seat, fx),
            (Self::Ykc(session), News::Removed) => session.on_removed(cx, seat, fx),
            (Self::Ykc(session), News::Tariff) => session.on_tariff(cx, seat, fx),
            (Self::Ocpp(speaker), News::Fenced) => speaker.session.on_fenced(seat, fx),
            (Self::Ocpp(speaker), News::Removed) => speaker.session.on_removed(seat, fx),
            // OCPP 1.6 has no prices.
            (Self::Ocpp(_), News::Tariff) | (Self::Upgrade | Self::Gone, _) => {}
        }
    }

    /// Looks at the protocol's deadlines. `heard_ms`: when the peer last said anything.
    pub fn on_tick(&mut self, shard: &Shard, cx: &Context<'_>, heard_ms: u64, login_over: bool, fx: &mut Effects) {
        match self {
            Self::Ykc(session) => session.on_tick(cx, login_over, fx),
            Self::Ocpp(speaker) => {
                speaker.session.on_tick(cx, fx);
                let config = &shard.shared.config.ocpp;
                let silent = cx.now.mono_ms.saturating_sub(heard_ms);
                if silent >= config.silence_ms {
                    speaker.session.close(fx, CloseReason::Silent);
                } else if silent >= config.ping_after_ms
                    && cx.now.mono_ms.saturating_sub(speaker.pinged_ms) >= config.ping_after_ms
                {
                    speaker.pinged_ms = cx.now.mono_ms;
                    speaker.session.ping(fx);
                }
            }
            Self::Upgrade if login_over => fx.close(CloseReason::LoginTimeout),
            Self::Upgrade | Self::Gone => {}
        }
    }

    /// Ends it in the protocol's own way.
    pub fn close(&mut self, fx: &mut Effects, reason: CloseReason) {
        match self {
            Self::Ocpp(speaker) => speaker.session.close(fx, reason),
            Self::Ykc(_) | Self::Upgrade => fx.close(reason),
            Self::Gone => {}
        }
    }

    /// The connection is over: what has to be said about that.
    pub fn finish(&mut self, cx: &Context<'_>, reason: CloseReason, fx: &mut Effects) {
        match std::mem::replace(self, Self::Gone) {
            Self::Ykc(mut session) => session.finish(cx, reason, fx),
            Self::Ocpp(mut speaker) => speaker.session.finish(cx, reason, fx),
            Self::Upgrade | Self::Gone => {}
        }
    }

    pub fn money_waiting(&self) -> usize {
        match self {
            Self::Ykc(session) => session.money_waiting(),
            Self::Ocpp(speaker) => speaker.session.money_waiting(),
            Self::Upgrade | Self::Gone => 0,
        }
    }

    pub fn is_busy(&self) -> bool {
        match self {
            Self::Ykc(session) => session.is_busy(),
            Self::Ocpp(speaker) => speaker.session.is_busy(),
            Self::Upgrade | Self::Gone => false,
        }
    }

    /// Logged-in chargers.
    pub fn seats(&self) -> usize {
        match self {
            Self::Ykc(session) => session.seats(),
            Self::Ocpp(_) => 1,
            Self::Upgrade | Self::Gone => 0,
        }
    }

    /// Something to look at every sweep, or else how long silence is fine.
    pub fn quiet_for(&self, shard: &Shard) -> Option<u64> {
        match self {
            Self::Ykc(session) => (!session.has_deadlines()).then_some(shard.shared.config.ykc.silence_ms),
            // Between ping and pong it is looked at every sweep, which costs nothing that matters.
            Self::Ocpp(speaker) => (!speaker.session.has_deadlines()).then_some(shard.shared.config.ocpp.ping_after_ms),
            Self::Upgrade | Self::Gone => None,
        }
    }
}

fn on_ykc(
    session: &mut YkcSession,
    shard: &Shard,
    cx: &Context<'_>,
    bytes: &[u8],
    options: ScanOptions,
    fx: &mut Effects,
) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..)
        && !rest.is_empty()
        && fx.close.is_none()
    {
        match scan(rest, options) {
            Scan::Frame { frame, consumed } => {
                at += consumed;
                shard.messages.set(shard.messages.get() + 1);
                shard.shared.metrics.ykc_frame(ykc_kind(frame.kind));
                if frame.kind == kind::LOGIN && session.seats() == 0 && !shard.logins.borrow_mut().take(cx.now.mono_ms)
                {
                    // Not an answer: a refusal would be taken for the last word.
                    fx.notes.push(Note::Login(LoginResult::Busy));
                    fx.close(CloseReason::Refused);
                    break;
                }
                session.on_frame(cx, &frame, fx);
            }
            Scan::Skip { consumed, error } => {
                at += consumed.max(1);
                session.on_frame_error(cx, &error, fx);
            }
            Scan::Incomplete { .. } => break,
        }
    }
    at
}

/// Index into [`crate::telemetry::YKC_KINDS`].
const fn ykc_kind(kind: u8) -> usize {
    match kind {
        kind::LOGIN => 0,
        kind::HEARTBEAT => 1,
        kind::MODEL_CHECK | kind::MODEL_REQUEST => 2,
        kind::REAL_TIME => 3,
        kind::START_REQUEST => 4,
        kind::RECORD | 0x3d => 5,
        kind::REMOTE_START_REPLY
        | kind::REMOTE_STOP_REPLY
        | kind::BALANCE_REPLY
        | kind::TIME_SYNC_REPLY
        | kind::MODEL_SET_REPLY
        | kind::REBOOT_REPLY
        | kind::PARAMETERS_REPLY => 6,
        0x15 | 0x17 | 0x19 | 0x1b | 0x1d | 0x21 | 0x23 | 0x25 => 7,
        0x61 | 0x63 => 8,
        _ => 9,
    }
}

impl OcppSpeaker {
    fn on_bytes(&mut self, shard: &Shard, cx: &Context<'_>, bytes: &mut [u8], fx: &mut Effects) -> usize {
        let limits = Limits { message_max: shard.shared.config.limits.message_bytes, ..Limits::default() };
        let mut at = 0;
        while fx.close.is_none()
            && let Some(rest) = bytes.get_mut(at..)
            && !rest.is_empty()
        {
            match ws::read(rest, Role::Server, &limits, &mut self.assembler) {
                Ok(Read::Incomplete { .. }) => break,
                Ok(Read::Fragment { consumed }) => at += consumed,
                Ok(Read::Message { message, consumed }) => {
                    at += consumed;
                    self.on_message(shard, cx, &message, fx);
                }
                Err(error) => {
                    let kind = match error.kind {
                        ws::WsErrorKind::TooBig | ws::WsErrorKind::TooManyFragments => Malformed::TooLong,
                        ws::WsErrorKind::NotUtf8 => Malformed::NotJson,
                        _ => Malformed::WebSocket,
                    };
                    fx.malformed(kind);
                    ws::write_close(&mut fx.out, Some(error.close_code()), error.label(), None);
                    fx.close(CloseReason::StreamLost);
                }
            }
        }
        at
    }

    fn on_message(&mut self, shard: &Shard, cx: &Context<'_>, message: &Message<'_>, fx: &mut Effects) {
        match message {
            Message::Text(text) => self.on_text(shard, cx, text, fx),
            Message::Binary(bytes) => {
                // Some stations send their JSON in binary frames.
                fx.notes.push(Note::Quirk("binary_json"));
                match std::str::from_utf8(bytes) {
                    Ok(text) => self.on_text(shard, cx, text, fx),
                    Err(_) => self.session.on_unreadable(cx, fx),
                }
            }
            Message::Ping(payload) => ws::write_frame(&mut fx.out, Opcode::Pong, payload),
            Message::Pong(_) => {}
            Message::Close { code, reason } => {
                ws::write_close(&mut fx.out, *code, reason, None);
                fx.close(CloseReason::PeerLeft);
            }
        }
    }

    fn on_text(&mut self, shard: &Shard, cx: &Context<'_>, text: &str, fx: &mut Effects) {
        shard.messages.set(shard.messages.get() + 1);
        fx.message_kind = crate::telemetry::OCPP_KINDS.len() - 1;
        self.session.on_text(cx, text, fx);
        shard.shared.metrics.ocpp_message(fx.message_kind);
    }
}
