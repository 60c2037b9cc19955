//! The bill: everything that is needed to explain it years later (rule R16), and why there may be none.

use events::units::{AmountE4, EnergyE4, Fen};
use serde::{Deserialize, Serialize};

use super::input::Options;
use crate::tariff::{LocalDate, PeriodKind, Price};

/// Where the split of the energy came from (rule R6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The charger's own split.
    Charger,
    /// The curve of the samples.
    Samples,
    /// A straight line from start to end.
    Linear,
    /// No energy, nothing to split.
    None,
}

/// What a reader of the bill should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The charger's times were shifted (rule R3).
    ClockAdjusted,
    /// The charger split the energy, and its split could not be used (rule R6b).
    ChargerSplitRejected,
    /// The charger could only hold the closest table: its split is not used, its amount only informs.
    ChargerPriceApproximate,
}

/// One priced part of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First instant, UTC ms on the corrected clock; `None` for a part of the charger's own split.
    pub from_ms: Option<i64>,
    /// Its end, exclusive.
    pub to_ms: Option<i64>,
    /// Kind of its slots.
    pub kind: PeriodKind,
    /// Their prices.
    pub price: Price,
    /// Version of the tariff that they come from.
    pub tariff_version: String,
    /// Energy of the charger's meter.
    pub energy: EnergyE4,
    /// Energy that is charged for: with loss (rule R8).
    pub billed: EnergyE4,
    /// Electricity fee (rule R9).
    pub electricity: AmountE4,
    /// Service fee (rule R9).
    pub service: AmountE4,
}

/// How the charger's own amount compares (rule R14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same fen.
    Match,
    /// At most max(2 fen, 0.5 %) apart.
    WithinTolerance,
    /// Further apart.
    AmountMismatch,
}

/// The charger's amount beside ours, before discounts, minimum, coupon and occupancy (rule R14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The charger's amount.
    pub charger: Fen,
    /// Charger's minus ours.
    pub diff: Fen,
    /// Largest difference that is tolerated, either way.
    pub tolerance: Fen,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether a mismatch holds the order; not where the charger worked by an approximate table.
    pub binding: bool,
}

/// What the bill was made from, as far as the segments do not say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Start on the corrected clock, UTC ms.
    pub start_ms: i64,
    /// End on the corrected clock, UTC ms.
    pub end_ms: i64,
    /// Unplugged, on the corrected clock, UTC ms.
    pub unplug_ms: Option<i64>,
    /// The charger's clock minus the platform's, ms.
    pub clock_skew_ms: i64,
    /// Samples that took part (rule R4).
    pub samples_used: u32,
    /// The options.
    pub options: Options,
}

/// A rated session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Version of the rules.
    pub rule_version: u32,
    /// Version of the tariff locked at the start; `None` only where there is no energy and no version for that date.
    pub tariff_version: Option<String>,
    /// Where the split came from.
    pub source: Source,
    /// E, the charger's total.
    pub energy: EnergyE4,
    /// Sum of the segments' billed energy.
    pub billed: EnergyE4,
    /// The parts, in order of time.
    pub segments: Vec<Segment>,
    /// Sum of the segments' electricity fees.
    pub electricity: AmountE4,
    /// Sum of the segments' service fees.
    pub service: AmountE4,
    /// Electricity fee.
    pub electricity_fen: Fen,
    /// Service fee before discount.
    pub service_fen: Fen,
    /// Taken off the service fee.
    pub service_discount_fen: Fen,
    /// Added to reach the minimum.
    pub min_topup_fen: Fen,
    /// Paid by coupon.
    pub coupon_fen: Fen,
    /// Minutes with occupancy fee.
    pub occupancy_minutes: u64,
    /// Occupancy fee.
    pub occupancy_fen: Fen,
    /// Amount due (rule R15).
    pub total_fen: Fen,
    /// The charger's amount, if it stated one.
    pub comparison: Option<Comparison>,
    /// What a reader should know, sorted.
    pub flags: Vec<Flag>,
    /// What it was made from.
    pub basis: Basis,
}

impl Bill {
    /// The charger's amount is too far from ours to collect without a person looking (transition T24).
    #[must_use]
    pub fn amount_mismatch(&self) -> bool {
        self.comparison.is_some_and(|comparison| comparison.binding && comparison.verdict == Verdict::AmountMismatch)
    }
}

/// Why a session cannot be rated. Each is an order exception, never a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// No version of the tariff is valid on a date of the session (rule R7).
    #[error("no tariff version is valid on {date}")]
    NoTariff {
        /// The date.
        date: LocalDate,
    },
    /// A quantity that cannot be negative is.
    #[error("{field} is negative")]
    Negative {
        /// Which one.
        field: &'static str,
    },
    /// The session is longer than [`SESSION_MS_MAX`](super::SESSION_MS_MAX).
    #[error("the session lasts longer than 366 days")]
    TooLong,
    /// A figure does not fit 64 bits.
    #[error("{field} is too large")]
    TooLarge {
        /// Which one.
        field: &'static str,
    },
}
