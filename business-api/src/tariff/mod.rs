//! Time-of-use tariffs: 96 quarter hours of (kind, electricity price, service price), dated versions, and what of them a
//! YKC charger can be told. Pure: no I/O, no clock.

mod billing_model;
mod local_time;
mod table;
mod version;

pub use billing_model::{BillingModel, NotRepresentable};
pub use local_time::{LocalDate, LocalTime, MS_PER_DAY, MS_PER_SLOT, TimeError, instant_text, parse_instant};
pub use table::{DayTable, Period, PeriodKind, PeriodText, Price, SLOTS, Slot, TableError, UnknownKind};
pub use version::{Tariff, TariffError, TariffVersion};
