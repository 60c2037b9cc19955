//! Every metric of this crate, once: name, kind, unit, help, label values. All exist at zero from the first scrape.

use std::time::Duration;

use axum::http::StatusCode;
use listener::HttpMeters;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::{order::WorkItem, store::dead_letters::Source};

pub const EVENTS_APPLIED: &str = "evgate_api_events_applied_total";
pub const EVENTS_SKIPPED: &str = "evgate_api_events_skipped_total";
pub const EVENTS_OUTDATED: &str = "evgate_api_events_outdated_total";
pub const EVENTS_UNREGISTERED: &str = "evgate_api_events_unregistered_total";
pub const EVENTS_MISSED: &str = "evgate_events_missed_total";
pub const LOG_REPLACED: &str = "evgate_log_replaced_total";
pub const DEAD_LETTERS: &str = "evgate_api_dead_letters_total";
pub const LETTERS_WAITING: &str = "evgate_api_dead_letters_waiting";
pub const LETTERS_REDRIVEN: &str = "evgate_api_dead_letters_redriven_total";
pub const BATCH_SECONDS: &str = "evgate_api_batch_seconds";
pub const CONSUMER_RETRIES: &str = "evgate_api_consumer_retries_total";
pub const TRANSITIONS_ILLEGAL: &str = "evgate_api_order_illegal_transitions_total";
pub const RECORDS_DUPLICATE: &str = "evgate_api_records_duplicate_total";
pub const SAMPLES_DROPPED: &str = "evgate_api_samples_dropped_total";
pub const ORDERS_CREATED: &str = "evgate_api_orders_created_total";
pub const ORDERS_SETTLED: &str = "evgate_api_orders_settled_total";
pub const ALARMS: &str = "evgate_api_order_alarms_total";
pub const CONSUMER_LAG: &str = "evgate_api_consumer_lag_ms";
pub const WORK_ITEMS_OPEN: &str = "evgate_api_work_items_open";
pub const OUTBOX_PUBLISHED: &str = "evgate_api_outbox_published_total";
pub const OUTBOX_DEPTH: &str = "evgate_api_outbox_depth";
pub const OUTBOX_REFUSED: &str = "evgate_api_outbox_refused";
pub const REQUESTS: &str = "evgate_api_http_requests_total";
pub const REQUEST_SECONDS: &str = "evgate_api_http_request_seconds";
pub const PANICS: &str = "evgate_api_http_panics_total";
pub const CONNECTIONS: &str = "evgate_api_http_connections";
pub const CONNECTIONS_REFUSED: &str = "evgate_api_http_connections_refused_total";
pub const CONNECTIONS_TIMED_OUT: &str = "evgate_api_http_connections_timed_out_total";
pub const ACCEPT_ERRORS: &str = "evgate_api_http_accept_errors_total";

/// Why an event was put aside.
pub const DEAD_LETTER_REASONS: [&str; 5] =
    ["undecodable", "no_tenant", "unknown_charger", "impossible", "too_many_records"];
/// How an order ended its settlement.
pub const SETTLED_AS: [&str; 3] = ["completed", "closed_zero", "exception"];
/// Where an order came from.
pub const CREATED_BY: [&str; 2] = ["api", "event"];

/// Every name, for the page that describes them.
pub const ALL: &[&str] = &[
    EVENTS_APPLIED,
    EVENTS_SKIPPED,
    EVENTS_OUTDATED,
    EVENTS_UNREGISTERED,
    EVENTS_MISSED,
    LOG_REPLACED,
    DEAD_LETTERS,
    LETTERS_WAITING,
    LETTERS_REDRIVEN,
    BATCH_SECONDS,
    CONSUMER_RETRIES,
    CONSUMER_LAG,
    TRANSITIONS_ILLEGAL,
    RECORDS_DUPLICATE,
    SAMPLES_DROPPED,
    ORDERS_CREATED,
    ORDERS_SETTLED,
    ALARMS,
    WORK_ITEMS_OPEN,
    OUTBOX_PUBLISHED,
    OUTBOX_DEPTH,
    OUTBOX_REFUSED,
    REQUESTS,
    REQUEST_SECONDS,
    PANICS,
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    CONNECTIONS_TIMED_OUT,
    ACCEPT_ERRORS,
];

/// Registers every metric and puts it at zero. [`start`](crate::start) does it too.
pub fn describe() {
    drop(Metrics::register());
}

/// Handles for the paths that run per batch or per request.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub applied: Counter,
    pub skipped: Counter,
    pub outdated: Counter,
    pub unregistered: Counter,
    pub missed: Counter,
    pub log_replaced: Counter,
    pub retries: Counter,
    pub illegal: Counter,
    pub duplicates: Counter,
    /// Readings that no bill will know.
    pub samples_full: Counter,
    pub samples_expired: Counter,
    pub samples_after_bill: Counter,
    pub batch_seconds: Histogram,
    pub lag: Gauge,
    /// In the order of [`Source::ALL`].
    pub letters_waiting: [Gauge; Source::ALL.len()],
    pub letters_redriven: Counter,
    /// In the order of [`WorkItem::ALL`].
    pub work_items_open: [Gauge; WorkItem::ALL.len()],
    pub outbox_depth: Gauge,
    pub outbox_refused: Gauge,
    pub http_panics: Counter,
    connections: HttpMeters,
    classes: [Counter; 5],
    request_seconds: Histogram,
}

impl Metrics {
    /// Registers everything and puts it at zero.
    pub fn register() -> Self {
        describe_counter!(EVENTS_APPLIED, Unit::Count, "Events applied to the database.");
        describe_counter!(EVENTS_SKIPPED, Unit::Count, "Events that had been applied before.");
        describe_counter!(
            EVENTS_OUTDATED,
            Unit::Count,
            "Events of a connection that a newer one of its charger has replaced: only money and command answers of them count."
        );
        describe_counter!(
            EVENTS_UNREGISTERED,
            Unit::Count,
            "Events of chargers that the registry does not have which were about nothing but now: dropped."
        );
        describe_counter!(
            EVENTS_MISSED,
            Unit::Count,
            "Events that the log had deleted before they were applied: they are in no order."
        );
        describe_counter!(
            LOG_REPLACED,
            Unit::Count,
            "Partitions found to be of another log, or of an older state of it, and read from their beginning."
        );
        describe_counter!(
            DEAD_LETTERS,
            Unit::Count,
            "Events that could not be applied and went to a dead letter topic, by reason."
        );
        describe_gauge!(LETTERS_WAITING, Unit::Count, "Dead letters that nobody has redriven, by who put them aside.");
        describe_counter!(LETTERS_REDRIVEN, Unit::Count, "Dead letters that were redriven over REST.");
        describe_histogram!(BATCH_SECONDS, Unit::Seconds, "Time to apply a batch of events in one transaction.");
        describe_counter!(CONSUMER_RETRIES, Unit::Count, "Batches that were tried again after a transient fault.");
        describe_gauge!(
            CONSUMER_LAG,
            Unit::Milliseconds,
            "How far behind the log the database is: age of what was applied last while there is more; 0 at the end of the log."
        );
        describe_counter!(TRANSITIONS_ILLEGAL, Unit::Count, "Events that an order could do nothing with in its state.");
        describe_counter!(RECORDS_DUPLICATE, Unit::Count, "Records that had been received before.");
        describe_counter!(
            SAMPLES_DROPPED,
            Unit::Count,
            "Meter readings that no bill knows: too many waited for their start, it never came, or the bill was made before them."
        );
        describe_counter!(ORDERS_CREATED, Unit::Count, "Orders created, by origin.");
        describe_counter!(ORDERS_SETTLED, Unit::Count, "Orders settled, by outcome.");
        describe_counter!(ALARMS, Unit::Count, "Alarms that orders raised.");
        describe_gauge!(WORK_ITEMS_OPEN, Unit::Count, "Work items that nobody has closed, by kind.");
        describe_counter!(OUTBOX_PUBLISHED, Unit::Count, "Outbox records confirmed by the log.");
        describe_gauge!(OUTBOX_DEPTH, Unit::Count, "Outbox records that wait for the log.");
        describe_gauge!(
            OUTBOX_REFUSED,
            Unit::Count,
            "Outbox records that the log refuses as too large; they are kept."
        );
        describe_counter!(REQUESTS, Unit::Count, "HTTP requests, by class of status.");
        describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time to answer an HTTP request.");
        describe_counter!(PANICS, Unit::Count, "Handlers that panicked.");
        describe_gauge!(CONNECTIONS, Unit::Count, "HTTP connections open now.");
        describe_counter!(CONNECTIONS_REFUSED, Unit::Count, "HTTP connections closed because there were too many.");
        describe_counter!(
            CONNECTIONS_TIMED_OUT,
            Unit::Count,
            "HTTP connections closed because the peer was silent or too slow."
        );
        describe_counter!(
            ACCEPT_ERRORS,
            Unit::Count,
            "HTTP connections that could not be accepted and were tried again (out of file descriptors or memory)."
        );
        for reason in DEAD_LETTER_REASONS {
            counter!(DEAD_LETTERS, "reason" => reason).absolute(0);
        }
        for outcome in SETTLED_AS {
            counter!(ORDERS_SETTLED, "outcome" => outcome).absolute(0);
        }
        for origin in CREATED_BY {
            counter!(ORDERS_CREATED, "origin" => origin).absolute(0);
        }
        counter!(ALARMS).absolute(0);
        counter!(OUTBOX_PUBLISHED).absolute(0);
        Self {
            applied: zero(EVENTS_APPLIED),
            skipped: zero(EVENTS_SKIPPED),
            outdated: zero(EVENTS_OUTDATED),
            unregistered: zero(EVENTS_UNREGISTERED),
            missed: zero(EVENTS_MISSED),
            log_replaced: zero(LOG_REPLACED),
            retries: zero(CONSUMER_RETRIES),
            illegal: zero(TRANSITIONS_ILLEGAL),
            duplicates: zero(RECORDS_DUPLICATE),
            samples_full: samples_dropped("full"),
            samples_expired: samples_dropped("expired"),
            samples_after_bill: samples_dropped("after_bill"),
            batch_seconds: histogram!(BATCH_SECONDS),
            lag: zero_gauge(CONSUMER_LAG),
            letters_waiting: Source::ALL.map(|source| {
                let gauge = gauge!(LETTERS_WAITING, "source" => source.name());
                gauge.set(0.0);
                gauge
            }),
            letters_redriven: zero(LETTERS_REDRIVEN),
            work_items_open: WorkItem::ALL.map(|item| {
                let gauge = gauge!(WORK_ITEMS_OPEN, "kind" => item.code());
                gauge.set(0.0);
                gauge
            }),
            outbox_depth: zero_gauge(OUTBOX_DEPTH),
            outbox_refused: zero_gauge(OUTBOX_REFUSED),
            http_panics: zero(PANICS),
            connections: HttpMeters {
                open: zero_gauge(CONNECTIONS),
                refused: zero(CONNECTIONS_REFUSED),
                timed_out: zero(CONNECTIONS_TIMED_OUT),
                accept_errors: zero(ACCEPT_ERRORS),
            },
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
                let counter = counter!(REQUESTS, "status" => class);
                counter.absolute(0);
                counter
            }),
            request_seconds: histogram!(REQUEST_SECONDS),
        }
    }

    /// Those of the listener's connections.
    pub fn connections(&self) -> HttpMeters {
        self.connections.clone()
    }

    pub fn http_done(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.increment(1);
        }
        self.request_seconds.record(took);
    }
}

fn zero_gauge(name: &'static str) -> Gauge {
    let gauge = gauge!(name);
    gauge.set(0.0);
    gauge
}

fn samples_dropped(reason: &'static str) -> Counter {
    let counter = counter!(SAMPLES_DROPPED, "reason" => reason);
    counter.absolute(0);
    counter
}

fn zero(name: &'static str) -> Counter {
    let counter = counter!(name);
    counter.absolute(0);
    counter
}
