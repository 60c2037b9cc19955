//! Simulated chargers that behave like real ones: YKC V1.6 and OCPP 1.6-J, from a seed, on a clock that may run faster.
//!
//! [`Fleet::start`] runs one task per charger; [`Fleet::stop`] ends them well and gives the [`Ledger`]: what the chargers
//! believe happened, with the cost of each session computed a second time, independently of any platform code. `docs/simulator.md`
//! says how they behave.
//!
//! ```text
//! config ─▶ Fleet ─▶ task per charger: drive (socket, backoff, faults) ◀─bytes─▶ YkcCharger | OcppCharger (no I/O)
//!                                                                                  └▶ charge (physics) ─▶ ledger ─▶ rating
//! ```

mod charge;
mod charger;
mod clock;
mod config;
mod drive;
mod fault;
mod fleet;
mod ledger;
mod ocpp;
pub mod rating;
pub mod tariff;
pub mod wire;
mod ykc;

pub use charger::Control;
pub use clock::{Floors, SimClock};
pub use config::{ChargerConfig, ConfigError, FleetConfig, Protocol, SessionPlan, StartBy};
pub use fault::FaultPlan;
pub use fleet::{Fleet, FleetEvent, Outcome, Progress};
pub use ledger::{Ledger, SessionEntry};
pub use tariff::{Period, Slot, TariffBook, TariffVersion};
