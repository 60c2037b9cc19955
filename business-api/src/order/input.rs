//! Everything that can happen to an order.

use events::units::{EnergyE4, Fen};
use serde::{Deserialize, Serialize};

use super::record::Record;
use super::state::{Estimate, ExceptionCode, TimerKind};

/// Who stops a session (T11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopBy {
    /// The driver.
    User,
    /// An operator.
    Operator,
    /// A limit of the order.
    Limit,
    /// The payer's balance is used up.
    BalanceGuard,
}

impl StopBy {
    /// Its name in a timeline.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Limit => "limit",
            Self::BalanceGuard => "balance_guard",
        }
    }
}

/// What billing found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillOutcome {
    /// There is a bill that may be collected.
    Due {
        /// Amount due.
        total: Fen,
        /// Energy billed, without loss.
        energy: EnergyE4,
    },
    /// There is none, or one that a person must look at.
    Held(ExceptionCode),
}

/// One thing that happened. The time is given beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A verified payment (T2, T3a).
    PaymentSucceeded {
        /// What was paid.
        amount: Fen,
    },
    /// The user cancels before paying (T3).
    CancelAsked,
    /// The charger accepted the start (T4).
    StartAccepted,
    /// The charger refused it (T6, T7).
    StartRefused {
        /// The charger's word.
        code: String,
        /// "Not plugged", which is not final.
        not_plugged: bool,
    },
    /// The start command never reached the charger (T7).
    StartUndelivered {
        /// Why.
        code: String,
    },
    /// Nobody knows whether it did (T8 decides).
    StartUnanswered,
    /// Current flows, or OCPP StartTransaction (T5).
    SessionStarted {
        /// Trade number or transaction id.
        session: String,
        /// On the charger's clock, UTC ms.
        started_at_ms: i64,
        /// Meter reading.
        meter_start: Option<EnergyE4>,
        /// Where; 0 = not said, or at another charger than the order's.
        connector: u32,
    },
    /// Somebody stops it (T11).
    StopAsked {
        /// In what role.
        by: StopBy,
        /// Name of the API key that asked; empty where the platform asks itself.
        client: String,
    },
    /// The charger will stop.
    StopAccepted,
    /// The charger says no.
    StopRefused {
        /// "Not charging" (T14).
        not_charging: bool,
        /// The charger's word.
        code: String,
    },
    /// No answer to a stop, or it never arrived; T15 sends it again.
    StopUnanswered,
    /// Live data "charging" with our session (T17).
    StillCharging {
        /// Energy since the start, where it says.
        energy: Option<EnergyE4>,
    },
    /// Live data "idle" on our connector (T13, T18).
    IdleFrame,
    /// The connector was unplugged (T13).
    Unplugged,
    /// The session is over: YKC 0x19, another trade number (T18), OCPP Available or Finishing (T13).
    SessionEnded,
    /// The charger's connection is gone (T16).
    ChargerOffline,
    /// It is back; what it says next decides (T17, T18).
    ChargerOnline,
    /// Another session or order begins on the connector (1.7).
    ConnectorTaken,
    /// The charger's record (T9, T10, T12, T28, T29).
    Recorded(Box<Record>),
    /// An operator settles by an estimate (T22).
    EstimateApproved {
        /// By what.
        estimate: Estimate,
        /// Who pays, where the order does not know.
        payer: Option<String>,
    },
    /// The start of its session came after the record that nobody seemed to pay for (T31, now as T30).
    PayerKnown {
        /// Whose token started it.
        payer: String,
    },
    /// Billing is done (T23 to T25).
    Billed(BillOutcome),
    /// The amount due was collected (T23).
    Collected,
    /// It could not be (T26).
    CollectFailed {
        /// What could.
        collected: Fen,
    },
    /// An unpaid order was paid (T27).
    ArrearsPaid,
    /// A timer that the order asked for.
    Timer(TimerKind),
}

/// The name of an input: a closed set, for tables, counters and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct InputKind(pub &'static str);

impl Input {
    /// Its name.
    #[must_use]
    pub const fn kind(&self) -> InputKind {
        InputKind(match self {
            Self::PaymentSucceeded { .. } => "payment_succeeded",
            Self::CancelAsked => "cancel_asked",
            Self::StartAccepted => "start_accepted",
            Self::StartRefused { .. } => "start_refused",
            Self::StartUndelivered { .. } => "start_undelivered",
            Self::StartUnanswered => "start_unanswered",
            Self::SessionStarted { .. } => "session_started",
            Self::StopAsked { .. } => "stop_asked",
            Self::StopAccepted => "stop_accepted",
            Self::StopRefused { .. } => "stop_refused",
            Self::StopUnanswered => "stop_unanswered",
            Self::StillCharging { .. } => "still_charging",
            Self::IdleFrame => "idle_frame",
            Self::Unplugged => "unplugged",
            Self::SessionEnded => "session_ended",
            Self::ChargerOffline => "charger_offline",
            Self::ChargerOnline => "charger_online",
            Self::ConnectorTaken => "connector_taken",
            Self::Recorded(_) => "recorded",
            Self::EstimateApproved { .. } => "estimate_approved",
            Self::PayerKnown { .. } => "payer_known",
            Self::Billed(_) => "billed",
            Self::Collected => "collected",
            Self::CollectFailed { .. } => "collect_failed",
            Self::ArrearsPaid => "arrears_paid",
            Self::Timer(TimerKind::PaymentDue) => "timer_payment_due",
            Self::Timer(TimerKind::StartTimeout) => "timer_start_timeout",
            Self::Timer(TimerKind::StopAnswer { .. }) => "timer_stop_answer",
            Self::Timer(TimerKind::StopEffect) => "timer_stop_effect",
            Self::Timer(TimerKind::StopTimeout) => "timer_stop_timeout",
            Self::Timer(TimerKind::OfflineTimeout) => "timer_offline_timeout",
            Self::Timer(TimerKind::RecordLate) => "timer_record_late",
            Self::Timer(TimerKind::RecordMissing) => "timer_record_missing",
        })
    }
}
