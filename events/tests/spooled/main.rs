//! The spool: its timing, order, restarts and disks, over a log whose confirmations the test decides. One file per question.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod disk;
mod double;
mod kafka;
mod order;
mod restart;
mod timing;
mod too_large;
