//! What an operator can set. Whole and valid before a port is bound; every error names its key.

mod validate;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use listener::HttpLimits;
use serde::{Deserialize, Serialize};

pub use self::validate::ConfigError;

/// The gateway's configuration (`[gateway]` in the TOML file). Times are real time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of this node in events and claims; unique in the cluster. Default: the host's name.
    pub node: String,
    /// Number of shards (one thread each). 0 = one per core, less one per eight for the log's threads.
    pub shards: usize,
    /// The listener for YKC chargers (TCP).
    pub ykc: YkcConfig,
    /// The listener for OCPP chargers (WebSocket).
    pub ocpp: OcppConfig,
    /// Health, status and metrics.
    pub admin: AdminConfig,
    /// What one peer, one address and all of them may use.
    pub limits: Limits,
    /// The promise for money messages.
    pub money: MoneyConfig,
    /// Commands from the business side to chargers.
    pub commands: CommandConfig,
    /// Goodbye on SIGTERM.
    pub drain: DrainConfig,
    /// Trading latency for CPU under load.
    pub coalesce: CoalesceConfig,
    /// Follow the claims of other nodes on `ev.session.v1` and publish our own. Off saves a record per login where
    /// only one gateway exists.
    pub claims: bool,
    /// A gateway of which nothing was heard on `ev.session.v1` for this long is dead, ms, 3000..=86400000: another one says for it that
    /// its chargers are gone. The same on every node. 0 = this one says it only of earlier processes of its own node.
    pub node_lost_ms: u64,
    /// How often deadlines are looked at, ms, 10..=5000. Every time-out may be late by this much.
    pub sweep_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: host_name(),
            shards: 0,
            ykc: YkcConfig::default(),
            ocpp: OcppConfig::default(),
            admin: AdminConfig::default(),
            limits: Limits::default(),
            money: MoneyConfig::default(),
            commands: CommandConfig::default(),
            drain: DrainConfig::default(),
            coalesce: CoalesceConfig::default(),
            claims: true,
            node_lost_ms: 60_000,
            sweep_ms: 1_000,
        }
    }
}

/// `[gateway.ykc]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct YkcConfig {
    /// Open this listener.
    pub enabled: bool,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS; absent = plain TCP (what YKC chargers speak).
    pub tls: Option<TlsConfig>,
    /// A charger from which no frame came for this long is gone, ms (heartbeats come every 10 s; YKC V1.6 §1.5).
    pub silence_ms: u64,
    /// Answer with the CRC's bytes in the order in which the charger sent its own, if it never sent the standard one.
    pub mirror_crc_order: bool,
    /// A gun whose last session has ended without its record (0x3B) being in the log is granted no card or VIN start for this
    /// long after the end, ms: refusal 0x0A (YKC V1.6 §6.4). 0 = never refused for that.
    pub record_wait_ms: u64,
    /// Most piles on one connection (a concentrator).
    pub piles_per_connection: usize,
    /// Send the platform's time (0x56) after login and once a day.
    pub sync_time: bool,
    /// When other prices hold, connected chargers are sent them (0x58) at this pace per second, over all shards, each when all its
    /// guns are idle. 0 = they are not, and ask at their next login.
    pub tariffs_per_second: u32,
}

impl Default for YkcConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 9100)),
            tls: None,
            silence_ms: 90_000,
            mirror_crc_order: true,
            record_wait_ms: 600_000,
            piles_per_connection: 64,
            sync_time: true,
            tariffs_per_second: 100,
        }
    }
}

/// `[gateway.ocpp]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OcppConfig {
    /// Open this listener.
    pub enabled: bool,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS; absent = plain WebSocket (trusted networks, or a proxy in front).
    pub tls: Option<TlsConfig>,
    /// The path before the charger's identity, with both slashes.
    pub path: String,
    /// Heartbeat interval told in the answer to BootNotification, seconds, at least 1.
    pub heartbeat_s: u32,
    /// A connection that said nothing for this long is pinged, ms. Load balancers drop flows that are silent for 60 s.
    pub ping_after_ms: u64,
    /// A connection that said nothing for this long, pongs included, is closed, ms.
    pub silence_ms: u64,
}

impl Default for OcppConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 9180)),
            tls: None,
            path: "/ocpp/".to_owned(),
            heartbeat_s: 60,
            ping_after_ms: 45_000,
            silence_ms: 120_000,
        }
    }
}

/// A certificate chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain, leaf first. ECDSA P-256 costs a fifth of RSA-2048 per handshake.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// `[gateway.admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address and port of `/livez`, `/readyz`, `/status`, `/metrics`. Not for the internet.
    pub listen: SocketAddr,
    /// Most connections; more are closed at once.
    pub connections: usize,
    /// From the first byte of a request (of a connection's first: from accept) to the end of its head, ms.
    pub head_ms: u64,
    /// From an answer to the end of the next request's head, ms.
    pub idle_ms: u64,
    /// A peer that takes none of an answer for this long is closed, ms.
    pub write_ms: u64,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9190)),
            connections: 64,
            head_ms: 10_000,
            idle_ms: 75_000,
            write_ms: 20_000,
        }
    }
}

impl AdminConfig {
    pub(crate) const fn limits(&self) -> HttpLimits {
        HttpLimits {
            connections: self.connections,
            head: Duration::from_millis(self.head_ms),
            idle: Duration::from_millis(self.idle_ms),
            write: Duration::from_millis(self.write_ms),
        }
    }
}

/// `[gateway.limits]`: a peer that breaks one is refused, counted and logged once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections in all. Fewer where the process may not open that many files: `evgate_connections_limit` tells.
    pub connections: usize,
    /// Connections from one address. Chargers behind one mobile carrier's NAT share an address: keep it generous.
    pub connections_per_ip: usize,
    /// New connections taken per second over all shards; more wait in the kernel's queue.
    pub accepts_per_second: u32,
    /// Logins (YKC) and upgrades (OCPP) begun per second over all shards. More are asked to come back: HTTP 503 with `Retry-After`, YKC a
    /// close without a word. Lower it where a storm of logins slows the sessions that live.
    pub logins_per_second: u32,
    /// From accept to a successful login (YKC) or upgrade (OCPP), ms.
    pub login_ms: u64,
    /// TLS handshakes of one shard at the same time; more wait for their turn.
    pub handshakes: usize,
    /// From accept to a peer's first byte, and from its turn to the end of its TLS handshake, ms; all of it is within `login_ms`.
    pub handshake_ms: u64,
    /// The rest of a frame or message that has begun, ms.
    pub half_frame_ms: u64,
    /// A peer that takes none of what we send for this long is closed, ms.
    pub write_ms: u64,
    /// Longest OCPP message, bytes, 1024..=524288: the log has to take an event made of it.
    pub message_bytes: usize,
    /// Money messages of one connection that wait for the log; at this number its socket is not read.
    pub pending_money: usize,
    /// Events of one connection that wait because the log is full; live data beyond it is shed.
    pub stalled_events: usize,
    /// Unusable frames or messages in a row after which the stream is not trusted any more.
    pub bad_in_a_row: u32,
    /// Length of the kernel's accept queue per listener.
    pub backlog: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 200_000,
            connections_per_ip: 20_000,
            accepts_per_second: 20_000,
            logins_per_second: 20_000,
            login_ms: 30_000,
            handshakes: 256,
            handshake_ms: 10_000,
            half_frame_ms: 10_000,
            write_ms: 20_000,
            message_bytes: 256 * 1024,
            pending_money: 64,
            stalled_events: 64,
            bad_in_a_row: 20,
            backlog: 4096,
        }
    }
}

/// `[gateway.money]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoneyConfig {
    /// A money message that the log has not confirmed in this time closes its connection unanswered, ms. Chargers retry.
    pub ack_ms: u64,
    /// A card or VIN start (YKC 0x31) that the log has not confirmed in this time is refused, ms: an approved session is always known to
    /// the business side, and the driver does not wait longer at the charger.
    pub start_ms: u64,
    /// How often a connection tries again when the log is full, ms.
    pub retry_ms: u64,
}

impl Default for MoneyConfig {
    fn default() -> Self {
        Self { ack_ms: 20_000, start_ms: 3_000, retry_ms: 20 }
    }
}

/// `[gateway.commands]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CommandConfig {
    /// How long a charger may take to answer a command, ms. Mobile networks: 30 s.
    pub answer_ms: u64,
    /// Commands of one charger that wait for their turn; more are answered `QUEUE_FULL`.
    pub queue: usize,
    /// Commands held because their charger is not connected here, until it logs in or they expire; more are skipped.
    pub held: usize,
    /// Messages that may wait for one shard; commands beyond it are answered `QUEUE_FULL`.
    pub shard_queue: usize,
    /// Command ids remembered, so that a command delivered twice is carried out once.
    pub remembered: usize,
}

impl Default for CommandConfig {
    fn default() -> Self {
        Self { answer_ms: 30_000, queue: 16, held: 10_000, shard_queue: 65_536, remembered: 100_000 }
    }
}

/// `[gateway.drain]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainConfig {
    /// After the signal the gateway stays ready and accepting this long, ms: endpoints and balancers need it.
    pub delay_ms: u64,
    /// The goodbyes are spread over this time, ms, so that the chargers do not all reconnect at once.
    pub spread_ms: u64,
    /// Connections still waiting for the log are cut after this time (counted from the end of the delay), ms.
    /// They lose nothing: what was not answered is sent again.
    pub deadline_ms: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { delay_ms: 5_000, spread_ms: 15_000, deadline_ms: 40_000 }
    }
}

/// `[gateway.coalesce]`: above a message rate a shard sleeps a moment each time it runs out of work, and then serves more
/// messages per wakeup: 20 to 40 % less CPU per message at partial load, for at most this much latency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoalesceConfig {
    /// The sleep, microseconds, 0..=1000; 0 = never.
    pub sleep_us: u64,
    /// Messages per second of one shard from which on it sleeps.
    pub above_per_second: u64,
}

impl Default for CoalesceConfig {
    fn default() -> Self {
        Self { sleep_us: 500, above_per_second: 10_000 }
    }
}

impl Config {
    /// The number of shards to start.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        if self.shards > 0 {
            return self.shards;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores.saturating_sub(cores.div_ceil(8)).max(1)
    }

    pub(crate) const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or_else(|| "gateway".to_owned())
}
