//! What a gateway knows without asking anybody: the business's registry (replica), who is connected (live sessions), and
//! which id tags name a remote start.

pub mod follow;
pub mod live;
pub(crate) mod prices;
pub mod replica;
pub mod tags;

pub use live::{Address, Claimed, LiveSessions, Seat};
pub use replica::{Change, Replica};
pub use tags::RemoteTags;
