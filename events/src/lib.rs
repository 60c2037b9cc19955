//! The language after the gateway: what happened at a charger, and the log that carries it.
//!
//! Knows no protocol and no transport. `proto` is the schema, `topic` says where an event belongs and under which promise,
//! `log` carries it durably (embedded or Kafka), `units` and `clock` are the numbers and the time that everybody shares.

pub mod card;
pub mod clock;
pub mod envelope;
pub mod json;
pub mod log;
pub mod topic;
pub mod units;

pub use bytes;
pub use prost;

/// `evgate.events.v1`: the envelope and its bodies.
#[allow(missing_debug_implementations, clippy::all, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/evgate.events.v1.rs"));
}
/// `evgate.commands.v1`: what the business wants done.
#[allow(missing_debug_implementations, clippy::all, reason = "generated")]
pub mod commands {
    include!(concat!(env!("OUT_DIR"), "/evgate.commands.v1.rs"));
}
/// `evgate.registry.v1`: what every gateway keeps in memory.
#[allow(missing_debug_implementations, clippy::all, reason = "generated")]
pub mod registry {
    include!(concat!(env!("OUT_DIR"), "/evgate.registry.v1.rs"));
}
