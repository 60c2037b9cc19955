//! Carries a fault out.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;

use crate::{
    line::Weather,
    plan::{Between, Deed, Fault, When, Who},
    platform::Stand,
};

/// What several faults of a trial share.
pub struct Stage {
    pub stand: Stand,
    /// Index of the gateway that chargers are led to.
    current: Mutex<usize>,
}

impl Stage {
    pub fn new(stand: Stand) -> Arc<Self> {
        Arc::new(Self { stand, current: Mutex::new(0) })
    }

    /// Waits for its moment and does it; true once it is over, false if the moment never came.
    pub async fn play(&self, fault: Fault, over: tokio_util::sync::CancellationToken) -> bool {
        let moment = async {
            match fault.when {
                When::At(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                When::Message(point, touch) => {
                    if self.stand.chargers.arm(point, touch).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        };
        tokio::select! {
            () = moment => self.act(fault.deed).await,
            () = over.cancelled() => return false,
        }
        true
    }

    async fn act(&self, deed: Deed) {
        let millis = Duration::from_millis;
        match deed {
            Deed::Nothing => {}
            Deed::Kill { who, after_ms, down_ms } => {
                if after_ms > 0 {
                    tokio::time::sleep(millis(after_ms)).await;
                }
                self.kill(who, millis(down_ms)).await;
            }
            Deed::Freeze { who, ms } => self.freeze(who, millis(ms)).await,
            Deed::Move => {
                self.lead_to_other().await;
                self.stand.chargers.weather().cut();
            }
            Deed::FreezeAndMove { ms } => {
                let old = *self.current.lock().await;
                tokio::join!(self.stand.gateways[old].freeze(millis(ms)), async {
                    // Long enough for some messages to lie in the frozen one's sockets.
                    tokio::time::sleep(millis(ms / 4)).await;
                    self.lead_to_other().await;
                    self.stand.chargers.weather().cut();
                });
            }
            Deed::Cut(between) => self.weather(between).cut(),
            Deed::Hold { between, ms } => {
                self.weather(between).hold(true, true);
                tokio::time::sleep(millis(ms)).await;
                self.weather(between).hold(false, false);
            }
            Deed::Slow { between, each_ms, ms } => {
                self.weather(between).slow(each_ms);
                tokio::time::sleep(millis(ms)).await;
                self.weather(between).slow(0);
            }
        }
    }

    async fn kill(&self, who: Who, down: Duration) {
        match (who, &self.stand.services) {
            (Who::Gateway, _) => {
                let old = *self.current.lock().await;
                let killing = self.stand.gateways[old].kill(down);
                tokio::join!(killing, self.lead_to_other());
            }
            (Who::Api, _) => self.stand.api.as_ref().expect("the cluster form").kill(down).await,
            (Who::Broker, Some(services)) => services.broker.kill(down).await,
            (Who::Database, Some(services)) => services.database.kill(down).await,
            (Who::Broker | Who::Database, None) => panic!("the embedded form has neither broker nor database"),
        }
    }

    async fn freeze(&self, who: Who, lasting: Duration) {
        match (who, &self.stand.services) {
            (Who::Gateway, _) => {
                let current = *self.current.lock().await;
                self.stand.gateways[current].freeze(lasting).await;
            }
            (Who::Api, _) => self.stand.api.as_ref().expect("the cluster form").freeze(lasting).await,
            (Who::Broker, Some(services)) => services.broker.freeze(lasting).await,
            (Who::Broker | Who::Database, _) => panic!("a database is held on its line, not frozen"),
        }
    }

    /// New connections go to the other gateway, if there is one.
    async fn lead_to_other(&self) {
        let mut current = self.current.lock().await;
        *current = (*current + 1) % self.stand.targets.len();
        self.stand.chargers.lead_to(self.stand.targets[*current]);
    }

    fn weather(&self, between: Between) -> &Weather {
        match (between, &self.stand.services) {
            (Between::Chargers, _) => self.stand.chargers.weather(),
            (Between::Broker, Some(services)) => &services.broker_line.weather,
            (Between::Database, Some(services)) => &services.database_line.weather,
            (Between::Broker | Between::Database, None) => panic!("the embedded form has neither broker nor database"),
        }
    }
}
