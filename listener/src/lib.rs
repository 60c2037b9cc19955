//! What all listening sockets have in common: what happens when the process is out of file descriptors, and HTTP within limits that
//! hold whatever a peer does or does not send.

mod accept;
mod http;
mod paced;

pub use accept::AcceptErrors;
pub use http::{HttpLimits, HttpMeters, serve_http};
