//! People with an app: start a charge by `POST /v1/orders`, wait for its bill, go away, come back.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::platform::Platform;

/// How long a driver looks at one order. An order that is not over by then is left to the books.
const PATIENCE: Duration = Duration::from_secs(600);

/// One driver per charger until `stop`; the tracker ends when all have left.
pub fn start(platform: &Platform, chargers: &[String], seed: u64, stop: &CancellationToken) -> TaskTracker {
    let tracker = TaskTracker::new();
    for (index, charger) in chargers.iter().enumerate() {
        let driver = Driver {
            platform: platform.clone(),
            charger: charger.clone(),
            account: format!("app-{:03}", index + 1),
            rng: StdRng::seed_from_u64(seed.wrapping_add(index as u64)),
            stop: stop.clone(),
        };
        tracker.spawn(driver.run());
    }
    tracker.close();
    tracker
}

struct Driver {
    platform: Platform,
    charger: String,
    account: String,
    rng: StdRng,
    stop: CancellationToken,
}

impl Driver {
    async fn run(mut self) {
        let stop = self.stop.clone();
        // A start that was asked for when the demo ends is an order like any other: the books look at it.
        stop.run_until_cancelled(async {
            loop {
                self.pause(300, 2_000).await;
                self.charge().await;
            }
        })
        .await;
    }

    async fn charge(&mut self) {
        let key = format!("demo-{:032x}", self.rng.random::<u128>());
        let order = match self.platform.start(&self.charger, 1, &self.account, &key).await {
            Ok(order) => order,
            Err(error) => {
                // Not online yet, or the last order is still being settled: come back later.
                tracing::debug!(charger = %self.charger, error = format!("{error:#}"), "start refused");
                return self.pause(500, 1_500).await;
            }
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            self.pause(400, 600).await;
            match self.platform.order(&order.order_no).await {
                Ok(order) if order.is_settled() => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(%order.order_no, error = format!("{error:#}"), "cannot read the order"),
            }
        }
    }

    async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(least_ms..=most_ms))).await;
    }
}
