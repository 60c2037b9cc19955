//! The handles of the catalogue's metrics, made once and kept.

use std::collections::HashMap;

use events::{log::SpoolHealth, proto::CommandOutcome, topic::Topic};
use listener::HttpMeters;
use metrics::{Counter, Gauge, Histogram};

use super::{COMMAND_OUTCOMES, OCPP_KINDS, PROTOCOLS, QUIRKS, Refusal, YKC_KINDS, outcome_label};
use crate::session::{CloseReason, LoginResult, Malformed, PushOutcome};

/// The handles. Look-ups by label go over arrays and small maps, never through the recorder.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) accepted: [Counter; 2],
    refused: [Counter; 3],
    closed: HashMap<CloseReason, Counter>,
    pub(crate) connections: [Gauge; 2],
    pub(crate) connections_limit: Gauge,
    pub(crate) accept_errors_ykc: Counter,
    pub(crate) accept_errors_ocpp: Counter,
    pub(crate) admin: HttpMeters,
    pub(crate) sessions: [Gauge; 2],
    logins: [HashMap<LoginResult, Counter>; 2],
    ykc_frames: [Counter; YKC_KINDS.len()],
    ocpp_messages: [Counter; OCPP_KINDS.len()],
    malformed: [HashMap<Malformed, Counter>; 2],
    quirks: HashMap<&'static str, Counter>,
    pub(crate) published_device: Counter,
    pub(crate) published_telemetry: Counter,
    pub(crate) published_session: Counter,
    pub(crate) given_up: Counter,
    pub(crate) published_dlq: Counter,
    pub(crate) shed_live: Counter,
    pub(crate) shed_status: Counter,
    pub(crate) log_full: Counter,
    pub(crate) money_answered: Counter,
    pub(crate) money_unanswered: Counter,
    pub(crate) starts_unrecorded: Counter,
    pub(crate) money_ack: Histogram,
    commands: HashMap<i32, Counter>,
    pub(crate) command_not_here: Counter,
    pub(crate) command_answered: Counter,
    pub(crate) command_duplicate: Counter,
    pub(crate) command_before_start: Counter,
    pub(crate) command_unreadable: Counter,
    pub(crate) commands_held: Gauge,
    tariff_pushes: [Counter; PushOutcome::ALL.len()],
    pub(crate) registry: [Gauge; 3],
    pub(crate) panics: Counter,
    pub(crate) draining: Gauge,
    pub(crate) log_failing: Gauge,
    spool_records: Gauge,
    spool_bytes: Gauge,
    spool_oldest: Gauge,
    spool_failing: Gauge,
}

/// Index of a protocol in the arrays of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Ykc = 0,
    Ocpp = 1,
}

impl Metrics {
    /// Makes every handle with the recorder that is installed now.
    #[must_use]
    pub fn new() -> Self {
        let c = |name: &'static str| metrics::counter!(name);
        let cl = |name: &'static str, label: &'static str, value: &'static str| metrics::counter!(name, label => value);
        let accept_errors = |listener: &'static str| cl("evgate_accept_errors_total", "listener", listener);
        let by_protocol = |name: &'static str| PROTOCOLS.map(|protocol| metrics::gauge!(name, "protocol" => protocol));
        Self {
            accepted: PROTOCOLS.map(|protocol| cl("evgate_connections_accepted_total", "protocol", protocol)),
            refused: Refusal::ALL.map(|reason| cl("evgate_connections_refused_total", "reason", reason.label())),
            closed: CloseReason::ALL
                .map(|reason| (reason, cl("evgate_connections_closed_total", "reason", reason.label())))
                .into(),
            connections: by_protocol("evgate_connections"),
            connections_limit: metrics::gauge!("evgate_connections_limit"),
            accept_errors_ykc: accept_errors("ykc"),
            accept_errors_ocpp: accept_errors("ocpp"),
            admin: HttpMeters {
                open: metrics::gauge!("evgate_admin_connections"),
                refused: c("evgate_admin_connections_refused_total"),
                timed_out: c("evgate_admin_connections_timed_out_total"),
                accept_errors: accept_errors("admin"),
            },
            sessions: by_protocol("evgate_sessions"),
            logins: PROTOCOLS.map(|protocol| {
                LoginResult::ALL
                    .map(|result| {
                        let label = result.label();
                        (result, metrics::counter!("evgate_logins_total", "protocol" => protocol, "result" => label))
                    })
                    .into()
            }),
            ykc_frames: YKC_KINDS.map(|kind| cl("evgate_ykc_frames_received_total", "kind", kind)),
            ocpp_messages: OCPP_KINDS.map(|kind| cl("evgate_ocpp_messages_received_total", "kind", kind)),
            malformed: PROTOCOLS.map(|protocol| {
                Malformed::ALL
                    .map(|kind| {
                        let label = kind.label();
                        (kind, metrics::counter!("evgate_malformed_total", "protocol" => protocol, "kind" => label))
                    })
                    .into()
            }),
            quirks: QUIRKS.map(|quirk| (quirk, cl("evgate_quirks_total", "quirk", quirk))).into(),
            published_device: cl("evgate_events_published_total", "topic", Topic::Device.name()),
            published_telemetry: cl("evgate_events_published_total", "topic", Topic::Telemetry.name()),
            published_session: cl("evgate_events_published_total", "topic", Topic::Session.name()),
            given_up: c("evgate_chargers_given_up_total"),
            published_dlq: cl("evgate_events_published_total", "topic", Topic::DeviceDlq.name()),
            shed_live: cl("evgate_events_shed_total", "class", "live"),
            shed_status: cl("evgate_events_shed_total", "class", "status"),
            log_full: c("evgate_log_full_total"),
            money_answered: c("evgate_money_answered_total"),
            money_unanswered: c("evgate_money_unanswered_total"),
            starts_unrecorded: c("evgate_starts_unrecorded_total"),
            money_ack: metrics::histogram!("evgate_money_ack_seconds"),
            commands: COMMAND_OUTCOMES
                .map(|outcome| (outcome as i32, cl("evgate_commands_total", "outcome", outcome_label(outcome))))
                .into(),
            command_not_here: cl("evgate_commands_skipped_total", "reason", "not_here"),
            command_answered: cl("evgate_commands_skipped_total", "reason", "answered"),
            command_duplicate: cl("evgate_commands_skipped_total", "reason", "duplicate"),
            command_before_start: cl("evgate_commands_skipped_total", "reason", "before_start"),
            command_unreadable: cl("evgate_commands_skipped_total", "reason", "unreadable"),
            commands_held: metrics::gauge!("evgate_commands_held"),
            tariff_pushes: PushOutcome::ALL.map(|outcome| cl("evgate_tariff_pushes_total", "outcome", outcome.label())),
            registry: ["charger", "token", "tariff"]
                .map(|kind| metrics::gauge!("evgate_registry_entries", "kind" => kind)),
            panics: c("evgate_session_panics_total"),
            draining: metrics::gauge!("evgate_draining"),
            log_failing: metrics::gauge!("evgate_log_failing"),
            spool_records: metrics::gauge!("evgate_spool_records"),
            spool_bytes: metrics::gauge!("evgate_spool_bytes"),
            spool_oldest: metrics::gauge!("evgate_spool_oldest_seconds"),
            spool_failing: metrics::gauge!("evgate_spool_failing"),
        }
    }

    pub(crate) fn refused(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.increment(1);
        }
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        if let Some(counter) = self.closed.get(&reason) {
            counter.increment(1);
        }
    }

    pub(crate) fn login(&self, wire: Wire, result: LoginResult) {
        if let Some(counter) = self.logins.get(wire as usize).and_then(|results| results.get(&result)) {
            counter.increment(1);
        }
    }

    pub(crate) fn malformed(&self, wire: Wire, kind: Malformed) {
        if let Some(counter) = self.malformed.get(wire as usize).and_then(|kinds| kinds.get(&kind)) {
            counter.increment(1);
        }
    }

    pub(crate) fn quirk(&self, quirk: &'static str) {
        if let Some(counter) = self.quirks.get(quirk) {
            counter.increment(1);
        }
    }

    pub(crate) fn command(&self, outcome: CommandOutcome) {
        if let Some(counter) = self.commands.get(&(outcome as i32)) {
            counter.increment(1);
        }
    }

    pub(crate) fn pushed(&self, outcome: PushOutcome) {
        if let Some(counter) = self.tariff_pushes.get(outcome as usize) {
            counter.increment(1);
        }
    }

    /// Counts a YKC frame; `index` is into [`YKC_KINDS`].
    pub(crate) fn ykc_frame(&self, index: usize) {
        if let Some(counter) = self.ykc_frames.get(index) {
            counter.increment(1);
        }
    }

    /// Counts an OCPP message; `index` is into [`OCPP_KINDS`].
    pub(crate) fn ocpp_message(&self, index: usize) {
        if let Some(counter) = self.ocpp_messages.get(index) {
            counter.increment(1);
        }
    }

    /// How the spool is now; its counters count by themselves.
    pub(crate) fn spool(&self, spool: &SpoolHealth, now_ms: i64) {
        let whole = |value: u64| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
        self.spool_records.set(whole(spool.records));
        #[expect(clippy::cast_precision_loss, reason = "a gauge; exact up to 8 PiB")]
        self.spool_bytes.set(spool.bytes as f64);
        let age_ms = if spool.oldest_at_ms == 0 { 0 } else { now_ms.saturating_sub(spool.oldest_at_ms) };
        self.spool_oldest.set(whole(u64::try_from(age_ms / 1_000).unwrap_or(0)));
        self.spool_failing.set(f64::from(u8::from(spool.failing.is_some())));
    }

    pub(crate) fn published(&self, topic: Topic) {
        match topic {
            Topic::Device => self.published_device.increment(1),
            Topic::Telemetry => self.published_telemetry.increment(1),
            Topic::Session => self.published_session.increment(1),
            _ => self.published_dlq.increment(1),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
