//! Load generation for gateways: many connections of either protocol from one process, latency in percentiles, the server's CPU
//! per message and its memory per connection, and a bare echo server to hold them against. `docs/load.md` says how to read it.
//!
//! ```text
//! Plan ─▶ run ─▶ engine per thread (epoll; dialect says what is sent) ─▶ Report
//!                procfs: CPU and memory of the server over the same window
//! walls: reference and gateway side by side, ratios, limits
//! ```

mod dialect;
mod engine;
mod epoll;
mod ids;
mod plan;
pub mod procfs;
mod reference;
mod report;
mod run;

pub use ids::{ocpp_ids, ykc_ids};
pub use plan::{FIRST_YKC, Mix, OCPP_PREFIX, Pace, Plan, PlanError};
pub use reference::{Reference, Stop};
pub use report::{CpuReport, Latency, MemoryReport, Report};
pub use run::{RunError, run};
