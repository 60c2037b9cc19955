//! An OCPP 1.6-J charge point on one WebSocket.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | upgrade, boot, heartbeat, time |
//! | `messages.rs` | calls out, answers and frames in |
//! | `calls.rs` | one call at a time, transaction messages kept and retried |
//! | `drivers.rs` | what people do |
//! | `transaction.rs` | a transaction from its start to its confirmed stop |
//! | `meter.rs` | meter values, periodic and clock-aligned |
//! | `orders.rs` | what the platform wants |
//! | `settings.rs` | configuration keys |

mod calls;
mod drivers;
mod messages;
mod meter;
mod orders;
mod settings;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::calls::{About, Calls, TxKey};
use self::drivers::{Connector, Phase};
use self::settings::Settings;
use self::transaction::Transaction;
use crate::charge::WMS_PER_WH;
use crate::charger::{Charger, Control, Hangup, Now, Outbox, World, within};
use crate::clock::rfc3339;
use crate::fault::Faults;
use crate::wire::ws;

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// Waiting for the 101.
    Upgrading,
    Up,
}

/// How far the registration is; it survives a reconnect (OCPP 1.6 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot {
    /// BootNotification is due at this time.
    Due(Instant),
    Accepted,
}

/// The charge point.
pub(crate) struct OcppCharger {
    world: Arc<World>,
    rng: StdRng,
    link: Link,
    boot: Boot,
    /// Of the message that arrives in fragments.
    fragments: Vec<u8>,
    calls: Calls,
    settings: Settings,
    connectors: Vec<Connector>,
    transactions: HashMap<TxKey, Transaction>,
    /// Who started the running transactions.
    tags_used: HashMap<TxKey, String>,
    next_tx: TxKey,
    heartbeat_at: Instant,
    /// A retry repeats the message id (some stations do, some do not).
    retries_keep_id: bool,
    authorizes_remote: bool,
    duplicates: Faults,
    planned: u32,
    starts: usize,
    winding_down: bool,
}

impl OcppCharger {
    pub(crate) fn new(world: Arc<World>, mut rng: StdRng) -> Self {
        let at = Instant::now();
        let now = world.now(at);
        let connectors = (1..=u32::from(world.config.connectors))
            .map(|number| Connector {
                number,
                phase: Phase::Idle { next_ms: now.ms + within(&mut rng, world.plan.first_gap_ms) },
                register: rng.random_range(0..50_000_000) * WMS_PER_WH + rng.random_range(0..WMS_PER_WH),
                operative: true,
            })
            .collect();
        let duplicates = Faults::new(world.faults, rand::SeedableRng::from_rng(&mut rng));
        let mut settings = Settings::new(world.config.connectors);
        let authorizes_remote = rng.random();
        settings.set("AuthorizeRemoteTxRequests", if authorizes_remote { "true" } else { "false" });
        Self {
            link: Link::Down,
            boot: Boot::Due(at),
            fragments: Vec::new(),
            calls: Calls::new(),
            settings,
            connectors,
            transactions: HashMap::new(),
            tags_used: HashMap::new(),
            next_tx: 1,
            heartbeat_at: at,
            retries_keep_id: rng.random(),
            authorizes_remote,
            duplicates,
            planned: world.plan.sessions,
            starts: 0,
            winding_down: false,
            world,
            rng,
        }
    }

    fn is_online(&self) -> bool {
        self.link == Link::Up && self.boot == Boot::Accepted
    }

    fn call(&mut self, now: Now, about: About, action: &'static str, payload: &Value) {
        self.calls.push(now.at, about, action, payload.to_string());
    }

    fn text(&mut self, text: &[u8], out: &mut Outbox) {
        let mut bytes = Vec::with_capacity(text.len() + 14);
        ws::write_frame(&mut bytes, ws::TEXT, text, self.rng.random());
        out.message(bytes);
    }

    fn booted(&mut self, now: Now, answer: &Value) {
        let interval = answer.get("interval").and_then(Value::as_u64).filter(|s| (1..=86_400).contains(s));
        if answer.get("status").and_then(Value::as_str) != Some("Accepted") {
            let wait = self.world.paced(interval.unwrap_or(60) * 1000, self.world.floors.request_ms);
            self.boot = Boot::Due(now.at + wait);
            return;
        }
        if let Some(seconds) = interval {
            self.settings.set("HeartbeatInterval", &seconds.to_string());
        }
        // A triggered boot changes nothing.
        if std::mem::replace(&mut self.boot, Boot::Accepted) != Boot::Accepted {
            self.world.counters.accepted.fetch_add(1, Relaxed);
            self.came_online(now);
        }
    }

    fn came_online(&mut self, now: Now) {
        self.heartbeat_at = now.at + self.heartbeat_gap();
        for index in 0..self.connectors.len() {
            self.notify(now, index);
        }
    }

    fn heartbeat_gap(&self) -> Duration {
        let stated = self.settings.number("HeartbeatInterval").max(1).saturating_mul(1000);
        self.world.paced(stated, self.world.floors.heartbeat_ms)
    }

    fn boot_if_due(&mut self, now: Now) {
        if matches!(self.boot, Boot::Due(at) if at <= now.at) && !self.calls.has_live(&About::Boot) {
            let payload = json!({
                "chargePointVendor": "EVGate", "chargePointModel": "Simulator", "firmwareVersion": "1.0.0",
                "chargePointSerialNumber": self.world.config.id.chars().take(25).collect::<String>(),
            });
            self.call(now, About::Boot, "BootNotification", &payload);
        }
    }

    fn heartbeat_if_due(&mut self, now: Now) {
        if self.is_online() && self.heartbeat_at <= now.at {
            self.heartbeat_at = now.at + self.heartbeat_gap();
            if !self.calls.has_live(&About::Heartbeat) {
                self.call(now, About::Heartbeat, "Heartbeat", &json!({}));
            }
        }
    }
}

impl Charger for OcppCharger {
    fn connected(&mut self, _: Now, out: &mut Outbox) {
        let config = &self.world.config;
        let nonce = self.rng.random();
        out.plain(ws::upgrade_request(&config.address, &config.path, &config.id, config.password.as_deref(), nonce));
        self.link = Link::Upgrading;
        self.fragments.clear();
    }

    fn disconnected(&mut self, now: Now) {
        if self.is_online() {
            self.world.counters.accepted.fetch_sub(1, Relaxed);
        }
        self.link = Link::Down;
        for call in self.calls.disconnected(now.at) {
            if let About::Authorize { connector } = call.about {
                self.authorize_failed(now, connector);
            }
        }
    }

    fn received(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) -> Result<(), Hangup> {
        if self.link == Link::Upgrading {
            match ws::upgrade_answer(input) {
                ws::Upgrade::More => return Ok(()),
                ws::Upgrade::Refused(_) => return Err(Hangup::Refused),
                ws::Upgrade::Done(len) => {
                    input.advance(len);
                    self.link = Link::Up;
                    if self.boot == Boot::Accepted {
                        // No boot after a mere reconnect: only states, which may have changed meanwhile.
                        self.world.counters.accepted.fetch_add(1, Relaxed);
                        self.came_online(now);
                    }
                }
            }
        }
        let mut bytes = std::mem::take(input);
        let (mut at, mut step) = (0, Ok(()));
        while let (Some(rest), Ok(())) = (bytes.get(at..), step) {
            match ws::read_frame(rest) {
                ws::Read::More => break,
                ws::Read::Bad => step = Err(Hangup::Garbage),
                ws::Read::Frame(frame) => {
                    at += frame.consumed;
                    step = self.frame(now, frame, out);
                }
            }
        }
        bytes.advance(at.min(bytes.len()));
        *input = bytes;
        step
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) -> Result<(), Hangup> {
        for index in 0..self.connectors.len() {
            self.drive(now, index);
        }
        if self.link == Link::Up {
            if let Some(call) = self.calls.overdue(now.at) {
                self.call_failed(now, call);
            }
            self.boot_if_due(now);
            self.heartbeat_if_due(now);
            self.pump(now, out);
        }
        if self.connectors.iter().any(|c| matches!(c.phase, Phase::Rebooting)) && self.link == Link::Up {
            self.rebooted(now);
            return Err(Hangup::Reboot);
        }
        Ok(())
    }

    fn wake_at(&self) -> Instant {
        let far = Instant::now() + self.world.paced(60_000, 10_000);
        let connectors = self.connectors.iter().map(|connector| self.driver_wakes_at(connector));
        let up = self.link == Link::Up;
        let calls = self.calls.wake_at().filter(|_| up && (self.boot == Boot::Accepted || self.calls.is_busy()));
        let boot = match self.boot {
            Boot::Due(at) if up && !self.calls.has_live(&About::Boot) => Some(at),
            Boot::Due(_) | Boot::Accepted => None,
        };
        let heartbeat = self.is_online().then_some(self.heartbeat_at);
        connectors.chain(calls).chain(boot).chain(heartbeat).min().unwrap_or(far).min(far)
    }

    fn control(&mut self, now: Now, control: &Control, _: &mut Outbox) {
        self.person(now, control);
    }

    fn wind_down(&mut self, now: Now, _: &mut Outbox) {
        self.winding_down = true;
        self.world.counters.sessions_skipped.fetch_add(u64::from(self.planned), Relaxed);
        self.planned = 0;
        for index in 0..self.connectors.len() {
            self.leave(now, index);
        }
    }

    fn is_settled(&self) -> bool {
        self.calls.transactional() == 0 && !self.connectors.iter().any(|c| matches!(c.phase, Phase::Charging(_)))
    }

    fn is_done(&self) -> bool {
        let coming = |c: &Connector| matches!(c.phase, Phase::Asking { .. } | Phase::Starting { .. });
        self.planned == 0 && self.is_settled() && !self.connectors.iter().any(coming)
    }

    fn spoil(&self, _: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        ws::write_frame(&mut bytes, ws::TEXT, br#"[2,"broken","Heartbeat",{"#, [0x5A, 0x11, 0xC3, 0x7E]);
        bytes
    }

    fn takes_garbage(&self) -> bool {
        // Between WebSocket frames it would end the connection: that is another fault.
        false
    }
}

/// A time stamp as the platform gets it.
fn stamp(ms: i64) -> String {
    rfc3339(ms)
}
