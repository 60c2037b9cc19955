//! What a bill is made from (rule R1).

use std::fmt;
use std::str::FromStr;

use events::units::{AmountE4, DecimalError, EnergyE4, Fen, PriceP5, parse_decimal};
use serde::{Deserialize, Serialize};

use crate::tariff::{LocalTime, PeriodKind};

/// A point of the energy curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sample {
    /// Charger's clock, UTC ms.
    pub at_ms: i64,
    /// Energy since the session began.
    pub energy: EnergyE4,
}

/// Energy that the charger counted in one kind of period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargerPeriod {
    /// The kind; a YKC cell is translated by [`BillingModel::kinds`](crate::tariff::BillingModel::kinds).
    pub kind: PeriodKind,
    /// Energy without loss.
    pub energy: EnergyE4,
    /// Electricity and service price together, where the charger states it.
    pub price: Option<PriceP5>,
}

/// What is known about the tariff that the charger split by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitTariff {
    /// The charger says nothing about it.
    #[default]
    NotStated,
    /// It names a version.
    Version(String),
}

/// The charger's own split of the energy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargerSplit {
    /// Energy per kind; a kind may come more than once.
    pub periods: Vec<ChargerPeriod>,
    /// The version it was made with.
    pub tariff: SplitTariff,
}

/// One charging session. Times are UTC ms on the charger's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Start.
    pub start_ms: i64,
    /// End.
    pub end_ms: i64,
    /// Total energy E.
    pub energy: EnergyE4,
    /// Points between start and end, in any order.
    pub samples: Vec<Sample>,
    /// The charger's split, if it made one.
    pub charger_split: Option<ChargerSplit>,
    /// The charger's own amount, electricity and service.
    pub charger_amount: Option<AmountE4>,
    /// Charger's clock minus the platform's, ms; 0 = in step or not known.
    pub clock_skew_ms: i64,
    /// When the connector was unplugged; `None` = no occupancy.
    pub unplug_ms: Option<i64>,
    /// The charger held only an approximation of the tariff: its split is not used and its amount only informs.
    pub charger_price_approximate: bool,
}

/// Which version prices a slot (rule R7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricePolicy {
    /// The version valid on the local date of the start, for the whole session.
    #[default]
    LockAtStart,
    /// Each slot the version valid on its own local date.
    BySlotDate,
}

/// A factor with four decimals, as 1/10000: "0.85" is 8500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u32);

impl Rate {
    /// The factor 1.
    pub const ONE: Self = Self(10_000);
}

impl FromStr for Rate {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let value = parse_decimal(text, 4)?;
        if value < 0 {
            return Err(DecimalError::NotDecimal);
        }
        u32::try_from(value).map(Self).map_err(|_| DecimalError::TooLarge)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

/// A time of day without occupancy fee, [from, to); wraps midnight when `from` is after `to`, is empty when they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeWindow {
    /// First free minute.
    pub from: LocalTime,
    /// First minute after it.
    pub to: LocalTime,
}

/// The occupancy fee (占位费, rule R13).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupancy {
    /// Minutes after the end that are free.
    pub grace_min: u32,
    /// Fee of each started minute.
    pub fen_per_min: Fen,
    /// Highest fee; `None` = none.
    pub cap: Option<Fen>,
    /// Times of day without fee.
    pub free_windows: Vec<FreeWindow>,
}

/// How to rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Loss added to the energy, percent (rule R8); 0 where consumer rules forbid it, which is the default.
    pub loss_percent: u32,
    /// Part of the service fee that is charged (rule R12); 1 = no discount.
    pub service_discount_rate: Rate,
    /// Least amount of a session with energy (rule R11).
    pub min_charge: Fen,
    /// Value of a coupon (rule R12).
    pub coupon: Fen,
    /// Which version prices a slot (rule R7).
    pub price_policy: PricePolicy,
    /// A clock skew up to this many seconds is left alone (rule R3).
    pub clock_tolerance_s: u32,
    /// The occupancy fee; `None` = none.
    pub occupancy: Option<Occupancy>,
}

impl Options {
    /// What a charger's times are put right by, ms, when its clock is off by `clock_skew_ms`: all of it, or nothing within the
    /// tolerance (rule R3).
    #[must_use]
    pub fn correction_ms(&self, clock_skew_ms: i64) -> i64 {
        let tolerated = clock_skew_ms.unsigned_abs() <= u64::from(self.clock_tolerance_s) * 1_000;
        if tolerated { 0 } else { clock_skew_ms }
    }

    /// Checks the ranges of what an operator may set under `[api.billing]`: the key and what is wrong.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        const FEN: std::ops::RangeInclusive<Fen> = Fen::ZERO..=Fen(10_000_000);
        if self.loss_percent > 100 {
            return Err(("billing.loss_percent", "must be 0..=100"));
        }
        if self.service_discount_rate > Rate::ONE {
            return Err(("billing.service_discount_rate", "must be 0..=10000 (ten-thousandths)"));
        }
        if !FEN.contains(&self.min_charge) {
            return Err(("billing.min_charge", "must be 0..=10000000 fen"));
        }
        if !FEN.contains(&self.coupon) {
            return Err(("billing.coupon", "must be 0..=10000000 fen"));
        }
        if self.clock_tolerance_s > 86_400 {
            return Err(("billing.clock_tolerance_s", "must be 0..=86400"));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loss_percent: 0,
            service_discount_rate: Rate::ONE,
            min_charge: Fen::ZERO,
            coupon: Fen::ZERO,
            price_policy: PricePolicy::LockAtStart,
            clock_tolerance_s: 60,
            occupancy: None,
        }
    }
}
