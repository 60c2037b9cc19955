//! Every metric of the gateway, declared once. Handles are made at start and kept: a kept handle costs 7 ns, a look-up 61 ns.
//! No label ever names a charger, a station or an address. `docs/metrics.md` is checked against this list by a test.

mod handles;

use events::{proto::CommandOutcome, topic::Topic};
use metrics::Unit;

pub use self::handles::Metrics;
pub(crate) use self::handles::Wire;

use crate::session::{CloseReason, LoginResult, Malformed, PushOutcome};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over [`Metric::buckets`].
    Histogram,
}

/// One line of the catalogue.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKind,
    /// Unit.
    pub unit: Unit,
    /// What it tells, one sentence.
    pub help: &'static str,
    /// Label names and all their values.
    pub labels: Vec<(&'static str, Vec<&'static str>)>,
    /// Upper bounds of a histogram's buckets; empty otherwise.
    pub buckets: &'static [f64],
}

const PROTOCOLS: [&str; 2] = ["ykc", "ocpp1.6"];
/// Kinds of messages that are counted apart; everything else is `other`.
pub const YKC_KINDS: [&str; 10] = [
    "login",
    "heartbeat",
    "tariff",
    "live_data",
    "start_request",
    "record",
    "command_answer",
    "bms",
    "ground_lock",
    "other",
];
/// OCPP 1.6 messages that are counted apart.
pub const OCPP_KINDS: [&str; 10] = [
    "BootNotification",
    "Heartbeat",
    "StatusNotification",
    "Authorize",
    "StartTransaction",
    "StopTransaction",
    "MeterValues",
    "DataTransfer",
    "command_answer",
    "other",
];
/// Deviations that are served and counted.
pub const QUIRKS: [&str; 7] =
    ["crc_order", "length_dialect", "ocpp_deviation", "binary_json", "missing_subprotocol", "vin_order", "bad_time"];
const ACK_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0];

/// Why a connection was refused before it had a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `limits.connections`.
    Total,
    /// `limits.connections_per_ip`.
    PerIp,
    /// The TLS handshake failed, or took too long.
    Tls,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::Total, Self::PerIp, Self::Tls];

    const fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerIp => "per_ip",
            Self::Tls => "tls",
        }
    }
}

/// Every metric of this crate.
#[must_use]
pub fn catalogue() -> Vec<Metric> {
    let counter =
        |name, help, labels| Metric { name, kind: MetricKind::Counter, unit: Unit::Count, help, labels, buckets: &[] };
    let gauge =
        |name, help, labels| Metric { name, kind: MetricKind::Gauge, unit: Unit::Count, help, labels, buckets: &[] };
    let protocol = || ("protocol", PROTOCOLS.to_vec());
    vec![
        counter("evgate_connections_accepted_total", "Connections accepted.", vec![protocol()]),
        counter(
            "evgate_connections_refused_total",
            "Connections refused before a session began, by reason.",
            vec![("reason", Refusal::ALL.map(Refusal::label).to_vec())],
        ),
        counter(
            "evgate_connections_closed_total",
            "Connections ended, by reason.",
            vec![("reason", CloseReason::ALL.map(CloseReason::label).to_vec())],
        ),
        gauge("evgate_connections", "Connections open now.", vec![protocol()]),
        gauge(
            "evgate_connections_limit",
            "Most chargers' connections that are taken: limits.connections, or what the limit of open files leaves.",
            vec![],
        ),
        counter(
            "evgate_accept_errors_total",
            "Connections that could not be accepted and were tried again (out of file descriptors or memory), by listener.",
            vec![("listener", vec!["ykc", "ocpp", "admin"])],
        ),
        gauge("evgate_admin_connections", "Connections of the admin listener open now.", vec![]),
        counter(
            "evgate_admin_connections_refused_total",
            "Connections of the admin listener closed because there were too many.",
            vec![],
        ),
        counter(
            "evgate_admin_connections_timed_out_total",
            "Connections of the admin listener closed because the peer was silent or too slow.",
            vec![],
        ),
        gauge("evgate_sessions", "Chargers logged in now.", vec![protocol()]),
        counter(
            "evgate_logins_total",
            "Logins and upgrades decided, by result.",
            vec![protocol(), ("result", LoginResult::ALL.map(LoginResult::label).to_vec())],
        ),
        counter(
            "evgate_ykc_frames_received_total",
            "YKC frames with a right checksum, by kind.",
            vec![("kind", YKC_KINDS.to_vec())],
        ),
        counter(
            "evgate_ocpp_messages_received_total",
            "OCPP-J messages received, by action.",
            vec![("kind", OCPP_KINDS.to_vec())],
        ),
        counter(
            "evgate_malformed_total",
            "Input that could not be used, by kind; it never ends another charger's session.",
            vec![protocol(), ("kind", Malformed::ALL.map(Malformed::label).to_vec())],
        ),
        counter(
            "evgate_quirks_total",
            "Deviations from the standard that were served, by kind.",
            vec![("quirk", QUIRKS.to_vec())],
        ),
        counter(
            "evgate_events_published_total",
            "Events handed to the log, by topic.",
            vec![("topic", PUBLISHED.map(Topic::name).to_vec())],
        ),
        counter(
            "evgate_events_shed_total",
            "Live data and status given up because the log was full, by class. Money is never shed.",
            vec![("class", vec!["live", "status"])],
        ),
        counter("evgate_log_full_total", "Appends that the log had no room for and that were tried again.", vec![]),
        gauge(
            "evgate_log_failing",
            "1 while the log cannot take records (disk full, read-only or failing; no broker reachable).",
            vec![],
        ),
        counter(
            "evgate_log_lost_total",
            "Records that the log took and then failed, by topic; of these, money is sent again by its charger.",
            vec![("topic", Topic::ALL.map(Topic::name).to_vec())],
        ),
        counter(
            "evgate_spool_taken_total",
            "Records that the spool took because the log did not confirm in time.",
            vec![],
        ),
        counter("evgate_spool_drained_total", "Records that went from the spool to the log.", vec![]),
        counter(
            "evgate_spool_refused_total",
            "Records of the spool that the log refused for good: they are set aside in its folder.",
            vec![],
        ),
        gauge("evgate_spool_records", "Records in the spool that the log does not have yet.", vec![]),
        Metric {
            unit: Unit::Bytes,
            ..gauge("evgate_spool_bytes", "Keys, payloads and headers of the records in the spool.", vec![])
        },
        Metric {
            unit: Unit::Seconds,
            ..gauge("evgate_spool_oldest_seconds", "Age of the oldest record in the spool; 0 when it is empty.", vec![])
        },
        gauge("evgate_spool_failing", "1 while the spool cannot write: money is not answered by it.", vec![]),
        counter("evgate_money_answered_total", "Money messages answered after the log or the spool confirmed.", vec![]),
        counter(
            "evgate_money_unanswered_total",
            "Money messages given up unanswered (connection lost or closed, log failed): the charger sends them again.",
            vec![],
        ),
        counter(
            "evgate_starts_unrecorded_total",
            "Card and VIN starts refused because the log did not confirm them in time.",
            vec![],
        ),
        Metric {
            name: "evgate_money_ack_seconds",
            kind: MetricKind::Histogram,
            unit: Unit::Seconds,
            help: "From a money message's arrival to its answer.",
            labels: vec![],
            buckets: &ACK_BUCKETS,
        },
        counter(
            "evgate_commands_total",
            "Commands that ended, by outcome.",
            vec![("outcome", COMMAND_OUTCOMES.map(outcome_label).to_vec())],
        ),
        counter(
            "evgate_commands_skipped_total",
            "Command records not carried out here, by reason.",
            vec![("reason", vec!["not_here", "answered", "duplicate", "before_start", "unreadable"])],
        ),
        gauge("evgate_commands_held", "Commands that wait for their charger to log in here.", vec![]),
        counter(
            "evgate_tariff_pushes_total",
            "Billing models (0x58) sent to YKC chargers because prices changed, by outcome of the try.",
            vec![("outcome", PushOutcome::ALL.map(PushOutcome::label).to_vec())],
        ),
        gauge(
            "evgate_registry_entries",
            "Entries of the registry replica.",
            vec![("kind", vec!["charger", "token", "tariff"])],
        ),
        counter(
            "evgate_chargers_given_up_total",
            "Chargers said to be gone for a gateway's process that died without saying it.",
            vec![],
        ),
        counter("evgate_session_panics_total", "Sessions ended by a defect of ours.", vec![]),
        gauge("evgate_draining", "1 while the gateway says goodbye.", vec![]),
    ]
}

const PUBLISHED: [Topic; 4] = [Topic::Device, Topic::Telemetry, Topic::Session, Topic::DeviceDlq];
const COMMAND_OUTCOMES: [CommandOutcome; 7] = [
    CommandOutcome::Accepted,
    CommandOutcome::Rejected,
    CommandOutcome::NoAnswer,
    CommandOutcome::ConnectionLost,
    CommandOutcome::Unsupported,
    CommandOutcome::Expired,
    CommandOutcome::QueueFull,
];

const fn outcome_label(outcome: CommandOutcome) -> &'static str {
    match outcome {
        CommandOutcome::Accepted => "accepted",
        CommandOutcome::Rejected | CommandOutcome::Unspecified => "rejected",
        CommandOutcome::NoAnswer => "no_answer",
        CommandOutcome::ConnectionLost => "connection_lost",
        CommandOutcome::Unsupported => "unsupported",
        CommandOutcome::Expired => "expired",
        CommandOutcome::QueueFull => "queue_full",
    }
}

/// Registers every metric with the installed recorder and shows every counter at zero. Call it after installing the recorder.
pub fn describe() {
    for metric in catalogue() {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
        if metric.kind == MetricKind::Histogram {
            continue;
        }
        for labels in combinations(&metric.labels) {
            let labels: Vec<metrics::Label> =
                labels.iter().map(|&(name, value)| metrics::Label::from_static_parts(name, value)).collect();
            match metric.kind {
                MetricKind::Counter => metrics::counter!(metric.name, labels).absolute(0),
                MetricKind::Gauge => metrics::gauge!(metric.name, labels).set(0.0),
                MetricKind::Histogram => {}
            }
        }
    }
}

fn combinations(labels: &[(&'static str, Vec<&'static str>)]) -> Vec<Vec<(&'static str, &'static str)>> {
    labels.iter().fold(vec![Vec::new()], |heads, (name, values)| {
        heads
            .iter()
            .flat_map(|head| {
                values.iter().map(move |value| {
                    let mut whole: Vec<(&'static str, &'static str)> = head.clone();
                    whole.push((name, value));
                    whole
                })
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_ours_and_unique_and_counters_say_total() {
        let catalogue = catalogue();
        let names: HashSet<_> = catalogue.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), catalogue.len());
        for metric in catalogue {
            assert!(metric.name.starts_with("evgate_"), "{}", metric.name);
            assert_eq!(metric.kind == MetricKind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.kind == MetricKind::Histogram, !metric.buckets.is_empty(), "{}", metric.name);
        }
    }

    #[test]
    fn the_document_lists_every_metric_and_label_value() {
        let document = include_str!("../../../docs/metrics.md");
        for metric in catalogue() {
            assert!(document.contains(metric.name), "docs/metrics.md lacks {}", metric.name);
            for (name, values) in metric.labels {
                assert!(document.contains(name), "docs/metrics.md lacks label {name}");
                for value in values {
                    assert!(document.contains(value), "docs/metrics.md lacks {}{{{name}=\"{value}\"}}", metric.name);
                }
            }
        }
    }
}
