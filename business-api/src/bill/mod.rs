//! The bill of a charging session: charger energy x platform price, on integers, by the rules R1 to R16 of
//! `docs/billing.md`. Pure: the same input gives the same bill, today and in ten years.
//!
//! Data flow: [`Session`] + [`Tariff`](crate::tariff::Tariff) + [`Options`] go into [`rate`], a [`Bill`] comes out. Inside:
//! `correct` shifts the charger's clock, `curve` cleans the samples, `split` cuts the session into segments, `engine` prices
//! them, `occupancy` counts the minutes after the end.

mod correct;
mod curve;
mod engine;
mod input;
mod occupancy;
mod result;
mod rounding;
mod split;

pub mod cases;

pub use engine::{needs_samples, rate};
pub use input::{
    ChargerPeriod, ChargerSplit, FreeWindow, Occupancy, Options, PricePolicy, Rate, Sample, Session, SplitTariff,
};
pub use result::{Basis, Bill, BillError, Comparison, Flag, Segment, Source, Verdict};

/// Version of the rules that [`rate`] follows, stored in every bill.
pub const RULE_VERSION: u32 = 1;

/// Longest session that is rated at all; anything longer is a defect in the times and would only cost memory.
pub const SESSION_MS_MAX: i64 = 366 * crate::tariff::MS_PER_DAY;
