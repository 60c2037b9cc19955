//! What has to be done because of a step. Effects are data: the caller carries them out in the transaction that stores the order.
//!
//! The charger's acknowledgement of a record is not among them: the gateway gave it when the log confirmed the record, before
//! anybody here read it (`docs/orders.md`).

use events::units::Fen;
use serde::{Deserialize, Serialize};

use super::record::Digest;
use super::state::{ExceptionCode, Order, State, TimerKind};

/// How bad an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmLevel {
    /// To know.
    Info,
    /// To look at.
    Warning,
    /// To act on now: a car may be charging that should not.
    Safety,
}

/// Alarms that orders raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// T9: energy after the platform gave the start up.
    LateStart,
    /// T15: nobody answers the stop.
    StopNoAnswer,
    /// T32: the charger said yes to the stop and goes on.
    StopIgnored,
    /// T20: the record is later than 30 s.
    RecordLate,
    /// The record says the charger or the car broke the session off.
    AbnormalStop,
    /// A payment of another amount than asked for.
    PaymentAmountDiffers,
    /// The session started again, or another way, than the order says.
    SessionDiffers,
}

impl Alarm {
    /// Its code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::LateStart => "late_start",
            Self::StopNoAnswer => "stop_no_answer",
            Self::StopIgnored => "stop_ignored",
            Self::RecordLate => "record_late",
            Self::AbnormalStop => "abnormal_stop",
            Self::PaymentAmountDiffers => "payment_amount_differs",
            Self::SessionDiffers => "session_differs",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn level(self) -> AlarmLevel {
        match self {
            Self::LateStart | Self::StopNoAnswer | Self::StopIgnored => AlarmLevel::Safety,
            Self::RecordLate => AlarmLevel::Info,
            Self::AbnormalStop | Self::PaymentAmountDiffers | Self::SessionDiffers => AlarmLevel::Warning,
        }
    }
}

/// Work for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkItem {
    /// T29, T22: another record under the same session.
    RecordConflict,
    /// The order is held.
    Held(ExceptionCode),
}

impl WorkItem {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::RecordConflict,
        Self::Held(ExceptionCode::OfflineTimeout),
        Self::Held(ExceptionCode::StopTimeout),
        Self::Held(ExceptionCode::RecordMissing),
        Self::Held(ExceptionCode::AmountMismatch),
        Self::Held(ExceptionCode::EnergyInconsistent),
        Self::Held(ExceptionCode::OrphanRecord),
        Self::Held(ExceptionCode::BadTime),
        Self::Held(ExceptionCode::EnergyImplausible),
        Self::Held(ExceptionCode::NoTariff),
        Self::Held(ExceptionCode::BillFailed),
    ];

    /// Its code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::RecordConflict => "record_conflict",
            Self::Held(code) => code.name(),
        }
    }
}

/// A line of an order's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When, UTC ms.
    pub at_ms: i64,
    /// What happened, a name of [`Input::kind`](super::Input::kind) or of an opening.
    pub what: String,
    /// The transition of `docs/orders.md`, "T12"; empty where none has a number.
    pub transition: String,
    /// State before; `None` for the first line.
    pub from: Option<State>,
    /// State after.
    pub to: State,
    /// What else there is to say.
    pub detail: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Send the start command.
    SendStart,
    /// Send the stop command, number `attempt`.
    SendStop {
        /// 1 = the first.
        attempt: u8,
    },
    /// Ask the charger for live data (YKC 0x12).
    ReadLiveData,
    /// Call [`step`](super::step) with this timer at this time; it replaces a timer of the same kind.
    ScheduleTimer {
        /// When, UTC ms on the platform's clock.
        at_ms: i64,
        /// Which.
        kind: TimerKind,
    },
    /// Freeze money on the payer's balance.
    FreezeBalance {
        /// How much.
        amount: Fen,
    },
    /// Give all of it back.
    ReleaseHold,
    /// Close the open payment at its channel, then ask once more whether it was paid (T3).
    CloseChannelOrder,
    /// Refund part of the prepayment.
    Refund {
        /// How much.
        amount: Fen,
    },
    /// Keep a record with its bytes. `version` 1 is the one that counts.
    StoreRecord {
        /// 1, 2, ...
        version: u32,
        /// Which.
        digest: Digest,
    },
    /// Keep that there was such a record, and put its bytes aside: the order has more versions than a person will read.
    SetRecordAside {
        /// 33, 34, ...
        version: u32,
        /// Which.
        digest: Digest,
    },
    /// Count a record that was here before.
    CountDuplicate,
    /// Rate the session, then come back with [`Input::Billed`](super::Input::Billed).
    Bill,
    /// Collect from the payer, then come back with `Collected` or `CollectFailed`.
    Collect {
        /// How much is due; a prepayment and a hold are used first.
        amount: Fen,
    },
    /// Refuse new starts of this payer until it has paid (T26).
    BlockPayer,
    /// Let it start again (T27).
    UnblockPayer,
    /// Tell an alarm.
    RaiseAlarm(Alarm),
    /// Open a work item.
    OpenWorkItem(WorkItem),
    /// Say to the outside that the order is completed (T23, T27).
    AnnounceCompleted,
    /// Write a line into the timeline.
    AppendTimeline(TimelineEntry),
}

impl Effect {
    /// It moves money or decides how much: such an effect happens at most once per order and amount.
    #[must_use]
    pub const fn is_money(&self) -> bool {
        matches!(
            self,
            Self::FreezeBalance { .. } | Self::ReleaseHold | Self::Refund { .. } | Self::Bill | Self::Collect { .. }
        )
    }
}

/// What came of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The order after it.
    pub order: Order,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
}
