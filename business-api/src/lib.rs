//! Events in, orders and bills out, over a thin REST interface.
//!
//! Data flows one way: [`consume`] folds the log's events into rows, the pure rooms `order`, `tariff` and `bill` decide, [`store`]
//! holds the only SQL, [`http`] renders, [`outbox`] carries commands and registry entries back to the log. Knows only `events`:
//! no frame, no connection.

pub mod bill;
pub mod config;
pub mod dead_letters;
pub mod http;
pub mod metrics;
pub mod order;
pub mod outbox;
pub mod registry;
pub mod status;
pub mod store;
pub mod tariff;

mod command;
mod consume;
mod housekeeping;
mod serve;
mod work;

pub use config::{Config, ConfigError};
pub use serve::{Api, Render, StartError, start};
pub use store::{Store, TenantId};
