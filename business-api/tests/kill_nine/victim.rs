//! The API as a process of its own, for `kill_nine.rs` to kill: `victim DATABASE LOG PLATFORM_MS`. A program, since a test that does
//! nothing unless it is told to would count as one that passed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use events::{
    clock::Clock,
    log::{EmbeddedConfig, EventLog, embedded::EmbeddedLog},
};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().expect("victim DATABASE LOG PLATFORM_MS");
    let (database_url, log, now_ms) = (argument(), argument(), argument());
    let log: Arc<dyn EventLog> =
        Arc::new(EmbeddedLog::open(&EmbeddedConfig { path: log.into(), ..EmbeddedConfig::default() }).unwrap());
    let config = business_api::Config {
        database_url,
        listen: ([127, 0, 0, 1], 0).into(),
        batch: 20,
        ..business_api::Config::default()
    };
    let clock = Clock::starting_at(now_ms.parse().unwrap(), 1);
    let api = business_api::start(config, log, clock, None, CancellationToken::new()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), api.join).await.expect("nobody killed the victim").unwrap().unwrap();
}
