//! The order: its state, and what it remembers.

use events::units::{EnergyE4, Fen};
use serde::{Deserialize, Serialize};

use super::record::{Digest, Protocol, Record, StartMode};

/// Where an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// A prepayment was asked for and has not come.
    PendingPayment,
    /// Authorised: the start command is sent or the card approved, no sign of current yet.
    Starting,
    /// The charger charges under our session.
    Charging,
    /// A stop command is sent.
    Stopping,
    /// The session is over as far as we can see; its record is not here.
    AwaitingRecord,
    /// A record or an approved estimate is here; it is being billed and collected.
    Settling,
    /// More is due than could be collected.
    Unpaid,
    /// Held for a person or a late record; has an exception code.
    Exception,
    /// Collected.
    Completed,
    /// Over with nothing due.
    ClosedZero,
    /// Never delivered anything.
    StartFailed,
    /// Never started: unpaid or cancelled.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::PendingPayment,
        Self::Starting,
        Self::Charging,
        Self::Stopping,
        Self::AwaitingRecord,
        Self::Settling,
        Self::Unpaid,
        Self::Exception,
        Self::Completed,
        Self::ClosedZero,
        Self::StartFailed,
        Self::Cancelled,
    ];

    /// Its name in the database and in REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingPayment => "PENDING_PAYMENT",
            Self::Starting => "STARTING",
            Self::Charging => "CHARGING",
            Self::Stopping => "STOPPING",
            Self::AwaitingRecord => "AWAITING_RECORD",
            Self::Settling => "SETTLING",
            Self::Unpaid => "UNPAID",
            Self::Exception => "EXCEPTION",
            Self::Completed => "COMPLETED",
            Self::ClosedZero => "CLOSED_ZERO",
            Self::StartFailed => "START_FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Nothing more is expected; only T9 leaves one of these.
    #[must_use]
    pub const fn terminal(self) -> bool {
        matches!(self, Self::Completed | Self::ClosedZero | Self::StartFailed | Self::Cancelled)
    }

    /// The order holds its connector: another may not be placed on it.
    #[must_use]
    pub const fn occupies_connector(self) -> bool {
        matches!(self, Self::PendingPayment | Self::Starting | Self::Charging | Self::Stopping | Self::AwaitingRecord)
    }
}

/// Why an order is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionCode {
    /// T19: 24 h without a word of the charger.
    OfflineTimeout,
    /// T33: 24 h after a stop was asked for nobody has seen the end.
    StopTimeout,
    /// T21: no record ten minutes after the end.
    RecordMissing,
    /// T24: the charger's amount is too far from ours.
    AmountMismatch,
    /// T24: meter, total and split of the record contradict each other, or none of them is there.
    EnergyInconsistent,
    /// T31: a record that no order and no known payer belongs to.
    OrphanRecord,
    /// End before start, a date before the charger's clock was set, or more than seven days.
    BadTime,
    /// More energy than the charger can deliver in that time.
    EnergyImplausible,
    /// R7: no tariff version is valid on a date of the session.
    NoTariff,
    /// Figures that the billing rules cannot take.
    BillFailed,
}

impl ExceptionCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::OfflineTimeout,
        Self::StopTimeout,
        Self::RecordMissing,
        Self::AmountMismatch,
        Self::EnergyInconsistent,
        Self::OrphanRecord,
        Self::BadTime,
        Self::EnergyImplausible,
        Self::NoTariff,
        Self::BillFailed,
    ];

    /// Its name in the database and in REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OfflineTimeout => "offline_timeout",
            Self::StopTimeout => "stop_timeout",
            Self::RecordMissing => "record_missing",
            Self::AmountMismatch => "amount_mismatch",
            Self::EnergyInconsistent => "energy_inconsistent",
            Self::OrphanRecord => "orphan_record",
            Self::BadTime => "bad_time",
            Self::EnergyImplausible => "energy_implausible",
            Self::NoTariff => "no_tariff",
            Self::BillFailed => "bill_failed",
        }
    }
}

/// Why an order ended without charging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// T3: not paid in time.
    PaymentTimeout,
    /// T3: the user changed their mind.
    UserCancelled,
    /// T7: the charger refused; its own code.
    Refused(String),
    /// T7: the command never reached the charger; why.
    Undelivered(String),
    /// T8: no current within 90 s.
    StartTimeout,
    /// A record without energy came instead of a start.
    RecordWithoutEnergy,
}

/// What is known of the charger's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// None came.
    #[default]
    None,
    /// One came.
    Received,
    /// It came again, the same.
    Duplicate,
    /// Another came under the same session.
    Conflict,
}

impl RecordStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::None, Self::Received, Self::Duplicate, Self::Conflict];

    /// Its name in the database and in REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Received => "received",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
        }
    }
}

/// Money held for the order before it charges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// None: postpaid, or prepaid per order.
    #[default]
    None,
    /// Frozen on the payer's balance.
    Frozen(Fen),
    /// Given back, or used up by the collection.
    Released,
}

/// Where the billed energy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// The charger's record.
    Record,
    /// An operator's estimate (T22).
    Estimate,
}

/// What an operator settles by when no usable record is there (T22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Energy.
    pub energy: EnergyE4,
    /// Start, UTC ms.
    pub started_at_ms: i64,
    /// End, UTC ms.
    pub ended_at_ms: i64,
    /// Who asked.
    pub requested_by: String,
    /// Who approved; somebody else.
    pub approved_by: String,
    /// Why.
    pub reason: String,
}

/// The figures of the settled bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Amount due.
    pub total: Fen,
    /// Energy that was billed, without loss.
    pub energy: EnergyE4,
    /// Where that energy comes from.
    pub source: EnergySource,
}

/// A timer that an order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// T3: 15 min to pay.
    PaymentDue,
    /// T8: 90 s to start.
    StartTimeout,
    /// T15: 30 s to answer stop command number `attempt`, from 1.
    StopAnswer {
        /// Number of the stop command.
        attempt: u8,
    },
    /// T32: 2 min to stop, after saying yes to that.
    StopEffect,
    /// T33: 24 h from the stop that was asked for to an end.
    StopTimeout,
    /// T19: 24 h offline.
    OfflineTimeout,
    /// T20: 30 s after the end.
    RecordLate,
    /// T21: 10 min after the end.
    RecordMissing,
}

/// Versions of a record that an order keeps with their bytes. A charger that has more to say of one session is broken, and what it says
/// goes to the dead letters.
pub const VERSIONS_KEPT: usize = 32;

/// A charging order. Everything that [`step`](super::step) needs to decide; the store keeps it whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Our number, unique per tenant.
    pub order_no: String,
    /// The tenant, never 0.
    pub tenant: u64,
    /// The charger.
    pub charger: String,
    /// Its connector, 1...
    pub connector: u32,
    /// What the charger speaks.
    pub protocol: Protocol,
    /// YKC trade number, OCPP transaction id; `None` until an OCPP charger's start brings it.
    pub session: Option<String>,
    /// OCPP: the idTag that names this order in its start.
    pub id_tag: Option<String>,
    /// Who pays; `None` = nobody known, nothing can be collected.
    pub payer: Option<String>,
    /// How it was started.
    pub start_mode: StartMode,
    /// The tariff group that was bound when it was created.
    pub tariff: Option<String>,
    /// Where it is.
    pub state: State,
    /// Why it is held; set exactly in [`State::Exception`].
    pub exception: Option<ExceptionCode>,
    /// Why it ended without charging.
    pub close_reason: Option<CloseReason>,

    /// Created, UTC ms; so are all times below, on the platform's clock unless said otherwise.
    pub created_at_ms: i64,
    /// The start command was sent, or the card approved.
    pub start_sent_at_ms: Option<i64>,
    /// The charger accepted it (T4).
    pub accepted_at_ms: Option<i64>,
    /// Current began, on the charger's clock.
    pub started_at_ms: Option<i64>,
    /// When we learned that (T5); what live data said before that is about another session.
    pub charging_at_ms: Option<i64>,
    /// A stop was asked for (T11).
    pub stop_asked_at_ms: Option<i64>,
    /// The session was seen to be over (T13, T14, T18), or its record came.
    pub ended_at_ms: Option<i64>,
    /// The record that counts came.
    pub recorded_at_ms: Option<i64>,
    /// Unplugged after the end: the occupancy clock stops.
    pub unplugged_at_ms: Option<i64>,
    /// It reached a terminal state.
    pub closed_at_ms: Option<i64>,

    /// Meter reading at the start, where the charger says it (OCPP).
    pub meter_start: Option<EnergyE4>,
    /// Last energy seen while charging, for display and for an estimate.
    pub energy_seen: Option<EnergyE4>,
    /// The charger is not connected; charging may go on (T16).
    pub charger_offline: bool,
    /// Since when.
    pub offline_since_ms: Option<i64>,
    /// Idle frames in a row, and when the last came: the same frame told twice counts once.
    pub idle_frames: u8,
    /// See `idle_frames`.
    pub last_idle_ms: Option<i64>,
    /// Stop commands sent since the stop was last begun anew (T11, T17, T32, a start that came too late).
    pub stop_attempts: u8,
    /// The charger accepted one of them.
    pub stop_accepted: bool,
    /// The alarm that none of them was answered was raised.
    pub stop_alarmed: bool,
    /// How often the charger accepted a stop and went on (T32).
    #[serde(default)]
    pub stop_ignored: u8,
    /// The record came later than 30 s after the end (T20).
    pub record_late: bool,

    /// What is known of the record.
    pub record_status: RecordStatus,
    /// The record that counts: the first.
    pub record: Option<Record>,
    /// Digests of other records of this session (T29), in order of arrival: the first of them, up to [`VERSIONS_KEPT`] with the one
    /// that counts. The store knows the rest.
    pub other_digests: Vec<Digest>,
    /// How many other records there are.
    #[serde(default)]
    pub other_records: u32,
    /// What an operator settles by.
    pub estimate: Option<Estimate>,
    /// The settled bill; set once.
    pub settled: Option<Settled>,

    /// The prepayment asked for (T1).
    pub prepay: Option<Fen>,
    /// What was paid before it charged (T2).
    pub paid: Fen,
    /// What was refunded of that.
    pub refunded: Fen,
    /// Money held on the payer's balance.
    pub hold: Hold,
    /// What was collected at the end.
    pub collected: Fen,
}

impl Order {
    /// T1: the instant that its prices are locked at, UTC ms: when it was made, or when its session began where it was made later
    /// (a record of an offline session, a start that was read late). Tariff versions that were added after it do not count.
    /// `correction_ms` is what its bill takes away from the charger's times.
    #[must_use]
    pub fn tariff_locked_at_ms(&self, correction_ms: i64) -> i64 {
        let on_charger_clock = self.record.as_ref().and_then(|record| record.started_at_ms).or(self.started_at_ms);
        let told = on_charger_clock.map(|at_ms| at_ms.saturating_sub(correction_ms));
        let began = self.estimate.as_ref().map(|estimate| estimate.started_at_ms).or(told);
        began.map_or(self.created_at_ms, |began| began.min(self.created_at_ms))
    }

    /// It keeps all the versions of its record that it may: whether another one is known, the store has to say.
    #[must_use]
    pub fn is_full_of_records(&self) -> bool {
        self.other_digests.len() + 1 >= VERSIONS_KEPT
    }

    /// Nothing has been heard of its start yet; the platform may have given it up meanwhile (T8).
    #[must_use]
    pub fn has_no_start_yet(&self) -> bool {
        let open = matches!(self.state, State::Starting | State::StartFailed);
        open && self.started_at_ms.is_none() && self.record.is_none()
    }

    /// A stop was sent to a session that is not known to be over. That of a closed order began too late (T8).
    #[must_use]
    pub fn is_being_stopped(&self) -> bool {
        let began_late = || self.state == State::StartFailed && self.started_at_ms.is_some() && self.record.is_none();
        self.state == State::Stopping || began_late()
    }

    /// Held for want of anybody who pays for its record.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.exception == Some(ExceptionCode::OrphanRecord) && self.payer.is_none() && self.record.is_some()
    }

    /// The energy source of the settlement that is under way or done.
    #[must_use]
    pub fn energy_source(&self) -> EnergySource {
        if self.estimate.is_some() { EnergySource::Estimate } else { EnergySource::Record }
    }
}
