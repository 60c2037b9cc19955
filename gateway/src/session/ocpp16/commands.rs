//! Commands to a station: one CALL at a time, the rest wait (OCPP-J 1.6 §4.1.1). After the time-out the slot is free and a
//! late answer is dropped.

use std::sync::Arc;

use codecs::{
    ocpp::{
        MessageId, Payload,
        v16::{Action as OcppAction, Call, remote_start_transaction, remote_stop_transaction, reset, trigger_message},
        write_call_raw,
    },
    ws::{Opcode, frame_with},
};
use events::{
    commands::{Command, command::Action},
    proto::CommandOutcome,
};
use serde::Deserialize;

use super::Ocpp16Session;
use crate::session::{Answer, Context, Effects, Malformed};

/// The CALL in flight.
#[derive(Debug)]
pub(super) struct Outstanding {
    /// Our message id, as a number.
    call: u32,
    deadline_ms: u64,
    command: Arc<Command>,
}

/// What every status of a command answer has in common.
#[derive(Deserialize)]
struct AnyStatus<'a> {
    #[serde(borrow, default)]
    status: Option<std::borrow::Cow<'a, str>>,
}

impl Ocpp16Session {
    /// The business side wants something done. False: the station is not here (any more).
    pub fn on_command(&mut self, cx: &Context<'_>, command: &Arc<Command>, fx: &mut Effects) -> bool {
        if *self.voice.seat.charger != *command.charger || self.voice.seat.is_fenced() {
            return false;
        }
        if self.leaving {
            self.answer(cx, fx, command, CommandOutcome::Rejected, "removed");
            return true;
        }
        if self.queue.len() >= cx.settings.command_queue {
            self.answer(cx, fx, command, CommandOutcome::QueueFull, "");
            return true;
        }
        self.queue.push(Arc::clone(command));
        self.next_command(cx, fx);
        true
    }

    /// Sends the next waiting command that can be sent.
    fn next_command(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        while self.outstanding.is_none() && !self.queue.is_empty() && !self.leaving {
            let command = self.queue.remove(0);
            if self.queue.is_empty() {
                self.queue = Vec::new();
            }
            if command.expires_at_ms != 0 && command.expires_at_ms < cx.now.wall_ms {
                self.answer(cx, fx, &command, CommandOutcome::Expired, "");
                continue;
            }
            self.call_last = self.call_last.wrapping_add(1);
            let id = call_id(self.voice.seat.epoch, self.call_last);
            match write(&command, &id, &mut fx.out) {
                Ok(()) => {
                    let deadline_ms = cx.now.mono_ms + cx.settings.answer_ms;
                    self.outstanding = Some(Outstanding { call: self.call_last, deadline_ms, command });
                }
                Err((outcome, code)) => self.answer(cx, fx, &command, outcome, code),
            }
        }
    }

    /// The station answered a CALL of ours.
    pub(super) fn on_result(&mut self, cx: &Context<'_>, id: &MessageId<'_>, payload: &str, fx: &mut Effects) {
        let Some(outstanding) = self.take_outstanding(id, fx) else { return };
        self.bad = 0;
        let status = serde_json::from_str::<AnyStatus<'_>>(payload).ok().and_then(|any| any.status);
        // The station's own word; an answer without a status (GetConfiguration and the like) is a yes.
        let (outcome, code) = match status.as_deref() {
            None => (CommandOutcome::Accepted, ""),
            Some(word @ ("Accepted" | "Scheduled" | "RebootRequired" | "Unlocked")) => (CommandOutcome::Accepted, word),
            Some(word) => (CommandOutcome::Rejected, word),
        };
        let code: String = code.chars().take(64).collect();
        self.answer(cx, fx, &outstanding.command, outcome, &code);
        self.next_command(cx, fx);
    }

    /// The station refused a CALL of ours.
    pub(super) fn on_error(&mut self, cx: &Context<'_>, id: &MessageId<'_>, code: &str, fx: &mut Effects) {
        let Some(outstanding) = self.take_outstanding(id, fx) else { return };
        self.bad = 0;
        let outcome = match code {
            "NotImplemented" | "NotSupported" => CommandOutcome::Unsupported,
            _ => CommandOutcome::Rejected,
        };
        let code: String = code.chars().take(64).collect();
        self.answer(cx, fx, &outstanding.command, outcome, &code);
        self.next_command(cx, fx);
    }

    fn take_outstanding(&mut self, id: &MessageId<'_>, fx: &mut Effects) -> Option<Outstanding> {
        let ours = self
            .outstanding
            .as_ref()
            .is_some_and(|outstanding| call_id(self.voice.seat.epoch, outstanding.call) == id.as_str());
        if !ours {
            // Too late, or never asked: no answer to an answer (§4.2).
            fx.malformed(Malformed::Unasked);
            return None;
        }
        self.outstanding.take()
    }

    pub(super) fn expire_command(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        if self.outstanding.as_ref().is_some_and(|outstanding| outstanding.deadline_ms <= cx.now.mono_ms)
            && let Some(outstanding) = self.outstanding.take()
        {
            self.answer(cx, fx, &outstanding.command, CommandOutcome::NoAnswer, "");
            self.next_command(cx, fx);
        }
    }

    /// The connection is gone: every waiting command fails at once.
    pub(super) fn lose_commands(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        let lost = self.outstanding.take().map(|outstanding| outstanding.command);
        for command in lost.into_iter().chain(std::mem::take(&mut self.queue)) {
            self.answer(cx, fx, &command, CommandOutcome::ConnectionLost, "");
        }
    }

    fn answer(&mut self, cx: &Context<'_>, fx: &mut Effects, command: &Command, outcome: CommandOutcome, code: &str) {
        let session = match &command.action {
            Some(Action::StopCharging(stop)) => stop.session.as_str(),
            _ => "",
        };
        self.voice.answer(cx, fx, &Answer { session, ..Answer::to(command, outcome, code) });
    }
}

/// Unique over the connections of a station: the epoch, and a counter.
fn call_id(epoch: u64, call: u32) -> String {
    format!("{epoch:x}-{call}")
}

fn write(command: &Command, id: &str, out: &mut Vec<u8>) -> Result<(), (CommandOutcome, &'static str)> {
    let rejected = |code: &'static str| (CommandOutcome::Rejected, code);
    let connector = i64::from(command.connector);
    match &command.action {
        Some(Action::StartCharging(start)) => {
            let request = remote_start_transaction::Request {
                connector_id: (connector > 0).then(|| connector.into()),
                id_tag: start.id_tag.as_str().into(),
                charging_profile: None,
            };
            if start.id_tag.is_empty() {
                return Err(rejected("bad_id_tag"));
            }
            call(&request, id, out)
        }
        Some(Action::StopCharging(stop)) => {
            let transaction_id: i64 = stop.session.parse().map_err(|_| rejected("bad_session"))?;
            call(&remote_stop_transaction::Request { transaction_id: transaction_id.into() }, id, out)
        }
        Some(Action::Reboot(reboot)) => {
            let kind = if reboot.immediately { reset::ResetType::Hard } else { reset::ResetType::Soft };
            call(&reset::Request { kind }, id, out)
        }
        Some(Action::ReadLiveData(_)) => {
            let request = trigger_message::Request {
                requested_message: trigger_message::MessageTrigger::MeterValues,
                connector_id: (connector > 0).then(|| connector.into()),
            };
            call(&request, id, out)
        }
        Some(Action::SendOcppCall(raw)) => {
            if OcppAction::from_name(&raw.action).is_none_or(|action| !action.from_csms()) {
                return Err((CommandOutcome::Unsupported, "unknown_action"));
            }
            if !raw.payload_json.trim_start().starts_with('{') || codecs::ocpp::check_value(&raw.payload_json).is_err()
            {
                return Err(rejected("bad_payload"));
            }
            let written: Result<(), std::convert::Infallible> = frame_with(out, Opcode::Text, |out| {
                write_call_raw(out, id, &raw.action, raw.payload_json.trim());
                Ok(())
            });
            let Ok(()) = written;
            Ok(())
        }
        // 1.6 has no tariffs, no balance, and sets clocks by Heartbeat.
        Some(Action::SetTariff(_) | Action::SyncTime(_) | Action::UpdateBalance(_)) | None => {
            Err((CommandOutcome::Unsupported, "unsupported"))
        }
    }
}

fn call<'a, C: Call<'a> + Payload<'a>>(
    request: &C,
    id: &str,
    out: &mut Vec<u8>,
) -> Result<(), (CommandOutcome, &'static str)> {
    frame_with(out, Opcode::Text, |out| request.write(out, id)).map_err(|_| (CommandOutcome::Rejected, "bad_payload"))
}
