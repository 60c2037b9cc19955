//! Who has to hear that other prices hold: connected YKC chargers whose tariff, or the binding to it, has changed, or whose tariff has
//! a version that begins today. Found in one pass over the chargers for all changes together, and told at a set pace.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use events::{proto::Protocol, registry::BillingModel};
use tokio_util::sync::CancellationToken;

use super::replica::local_day;
use crate::{
    accept::Rate,
    shard::{Shared, inbox::News},
};

/// How often changes are looked for; a version begins this late at most.
const LOOK: Duration = Duration::from_millis(500);
/// The same while somebody waits for their turn.
const TURN: Duration = Duration::from_millis(50);

/// What a charger would be sent, in one number; never 0.
pub(crate) fn fingerprint(model: &BillingModel) -> u64 {
    let mut hasher = DefaultHasher::new();
    (model.model_no, &model.energy_price_p5, &model.service_price_p5, &model.half_hours).hash(&mut hasher);
    hasher.finish().max(1)
}

/// Entries that changed since somebody looked; each is in it once.
#[derive(Debug, Default)]
struct Changed {
    tariffs: HashSet<Box<str>>,
    chargers: HashSet<Box<str>>,
}

/// Between the follower of the registry, which notes what changed, and the task that tells the chargers.
#[derive(Debug, Default)]
pub(crate) struct Prices(Mutex<Changed>);

impl Prices {
    /// A tariff's entry was written, `<tenant>/<id>`.
    pub fn tariff(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tariffs.insert(id.into());
    }

    /// Another tariff is bound to this charger.
    pub fn charger(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).chargers.insert(id.into());
    }

    fn take(&self) -> Changed {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs until `stop`.
pub(crate) async fn tell_prices(mut teller: Teller, stop: CancellationToken) {
    loop {
        let pause = if teller.waiting.is_empty() { LOOK } else { TURN };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        teller.look();
        teller.tell();
    }
}

pub(crate) struct Teller {
    shared: Arc<Shared>,
    day: i64,
    /// What holds on `day`, by tariff; nothing for one that has no version today.
    holding: HashMap<Box<str>, u64>,
    /// Chargers that wait for their turn, each once.
    waiting: VecDeque<Arc<str>>,
    queued: HashSet<Arc<str>>,
    rate: Rate,
    started: Instant,
}

impl Teller {
    /// Takes what holds now for known to everybody: made when the replica is loaded and before the listeners open.
    pub fn new(shared: Arc<Shared>) -> Self {
        let day = local_day(shared.clock.now_ms());
        let rate = Rate::share(shared.config.ykc.tariffs_per_second, 1);
        let (waiting, queued, started) = (VecDeque::new(), HashSet::new(), Instant::now());
        let mut teller = Self { day, holding: HashMap::new(), waiting, queued, rate, started, shared };
        let tariffs = teller.shared.replica.tariffs();
        teller.repriced(tariffs);
        teller
    }

    /// Of these tariffs those of which another model holds than before.
    fn repriced(&mut self, tariffs: impl IntoIterator<Item = Box<str>>) -> HashSet<Box<str>> {
        let mut repriced = HashSet::new();
        for tariff in tariffs {
            // Without prices there is nothing to tell: the charger hears "differs" at its next check, and no answer to 0x09.
            let Some(model) = self.shared.replica.model_on(&tariff, self.day) else {
                self.holding.remove(&tariff);
                continue;
            };
            let now = fingerprint(&model);
            if self.holding.insert(tariff.clone(), now) != Some(now) {
                repriced.insert(tariff);
            }
        }
        repriced
    }

    fn look(&mut self) {
        let Changed { tariffs, chargers } = self.shared.prices.take();
        let today = local_day(self.shared.clock.now_ms());
        let repriced = if today == self.day {
            self.repriced(tariffs)
        } else {
            self.day = today;
            let all = self.shared.replica.tariffs();
            self.repriced(all)
        };
        if self.shared.config.ykc.tariffs_per_second == 0 {
            return;
        }
        let bound = if repriced.is_empty() { Vec::new() } else { self.shared.replica.bound_to(&repriced) };
        for charger in chargers.iter().chain(&bound) {
            if let Some(seat) = self.shared.live.find(charger)
                && seat.protocol == Protocol::Ykc
                && self.queued.insert(Arc::clone(&seat.charger))
            {
                self.waiting.push_back(Arc::clone(&seat.charger));
            }
        }
    }

    fn tell(&mut self) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        while !self.waiting.is_empty() && self.rate.take(now_ms) {
            let Some(charger) = self.waiting.pop_front() else { break };
            self.queued.remove(&charger);
            if let Some(seat) = self.shared.live.find(&charger) {
                self.shared.tell(seat, News::Tariff);
            }
        }
        if self.waiting.is_empty() {
            (self.waiting, self.queued) = (VecDeque::new(), HashSet::new());
        }
    }
}
