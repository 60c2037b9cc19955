//! The gateway in one process, over loopback, with a log whose confirmations the test controls. One file per failure mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

mod admin;
mod admin_crowd;
mod charger_removed;
mod command_once;
mod command_queue_full;
mod command_survives_restart;
mod command_waits_for_login;
mod concentrator;
mod drain;
mod duplicate_login;
mod gateway_lost;
mod kafka_away;
mod limits;
mod log_down;
mod log_full;
mod login_timeout;
mod malformed_ocpp;
mod malformed_ykc;
mod money_acked_after_log;
mod ocpp_session;
mod panicking_session;
mod prices_pushed;
mod record_without_number;
mod retry_at_another_node;
mod slow_reader;
mod start_recorded_first;
mod steps_ocpp;
mod steps_ykc;
mod takeover;
mod tls;
mod ykc_session;
