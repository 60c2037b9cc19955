//! The stream to frames: one file per thing that can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod any_split;
mod codec;
mod corrupted_frame;
mod encrypted_frame;
mod half_frame;
mod hostile_start_bytes;
mod length_counts_body;
mod random_bytes;
mod stream;
mod wrong_crc;
