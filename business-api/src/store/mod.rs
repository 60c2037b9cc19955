//! SQL lives here and nowhere else. One text for both databases; a file per group of tables.
//!
//! Every function that touches a tenant's row takes a [`Tx`] that was begun for that tenant and has `tenant_id` in its predicate.
//! PostgreSQL checks the same again by row level security.

mod db;
mod open;

pub mod alarms;
pub mod commands;
pub mod dead_letters;
pub mod idempotency;
pub mod live;
pub mod orders;
pub mod outbox;
pub mod positions;
pub mod registry;
pub mod removal;
pub mod settlement;
pub mod summary;
pub mod tariffs;
pub mod tokens;
pub mod waiting;
pub mod work_items;

pub use db::{Arg, DbError, Row, Tx};
pub use open::{Backend, OpenError, Store};

/// A tenant: comes from a verified key or from the registry, never from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub i64);

impl TenantId {
    /// Of an event's envelope; 0 and what no database column holds are no tenant.
    #[must_use]
    pub fn of_envelope(tenant: u64) -> Option<Self> {
        i64::try_from(tenant).ok().filter(|id| *id > 0).map(Self)
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Arguments of a statement, in the order of `$1`, `$2`, ..
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Arg::from($value)),*] };
}
pub(crate) use args;
