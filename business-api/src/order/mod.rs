//! The life of a charging order as a pure function: (order, time, input) gives the next order and what must be done. No I/O, no
//! clock, no log: the consumer loads an order, calls [`step`], stores the result and carries out the effects in one transaction.
//!
//! Data flow: `inbound` maps events of the log to inputs, [`open`] makes an order from the first thing heard of a session,
//! [`step`] moves it, [`settle`] turns a record into a bill or into the reason why there is none. `docs/orders.md` has the
//! states and transitions.

mod clock;
mod effect;
mod inbound;
mod input;
mod live;
mod numbers;
mod open;
mod plausibility;
mod policy;
mod record;
mod recorded;
mod session;
mod settle;
mod start;
mod state;
mod step;
mod stop_reason;
mod timers;

pub use effect::{Alarm, AlarmLevel, Effect, Step, TimelineEntry, WorkItem};
pub use inbound::{AnswerTo, Incoming, Reading, Target, answered, incoming};
pub use input::{BillOutcome, Input, InputKind, StopBy};
pub use numbers::{COUNTERS, NumberError, order_number, order_tag, trade_number};
pub use open::{Opening, Placed, open};
pub use plausibility::{Against, Implausible, Limits, plausible};
pub use policy::Policy;
pub use record::{CellEnergy, Digest, METER_TOLERANCE, Protocol, Record, RecordError, StartMode};
pub use session::SaidStart;
pub use settle::{Facts, Settlement, bill_session, settle};
pub use state::{
    CloseReason, EnergySource, Estimate, ExceptionCode, Hold, Order, RecordStatus, Settled, State, TimerKind,
    VERSIONS_KEPT,
};
pub use step::{Illegal, step};
pub use stop_reason::{StopGroup, stop_group};
