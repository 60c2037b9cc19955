//! What cannot be set, and why.

use std::net::{IpAddr, SocketAddr};

use super::Config;

/// The event made of a message has to fit into a record of the log (900 KiB with Kafka), or it could never be answered.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// No time-out is longer: whoever means "never" would not notice what hangs, and a time beyond what the clock holds is no time.
const DAY_MS: u64 = 86_400_000;
/// Nothing is counted that is more: it is the most files that a process may open.
const COUNT_MAX: usize = 1 << 23;

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("gateway.{key}: {problem}")]
pub struct ConfigError {
    /// The key, dotted.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// The first key whose value cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |key, problem: &str| Err(ConfigError { key, problem: problem.to_owned() });
        if self.node.is_empty() || self.node.len() > 64 || !self.node.bytes().all(|b| b.is_ascii_graphic()) {
            return bad("node", "1 to 64 printable ASCII characters without spaces");
        }
        if self.shards > 256 {
            return bad("shards", "at most 256");
        }
        if !self.ykc.enabled && !self.ocpp.enabled {
            return bad("ykc.enabled", "at least one of ykc and ocpp must be enabled");
        }
        if !(self.ocpp.path.starts_with('/') && self.ocpp.path.ends_with('/')) {
            return bad("ocpp.path", "begins and ends with a slash");
        }
        if !(1..=86_400).contains(&self.ocpp.heartbeat_s) {
            return bad("ocpp.heartbeat_s", "1 to 86400 (a day); stations take 0 for their own default");
        }
        if self.ocpp.ping_after_ms == 0 || self.ocpp.silence_ms <= self.ocpp.ping_after_ms {
            return bad("ocpp.silence_ms", "longer than ping_after_ms, which is at least 1");
        }
        if !(1024..=MESSAGE_BYTES_MAX).contains(&self.limits.message_bytes) {
            return bad("limits.message_bytes", "1024 to 524288: the log has to take an event made of it");
        }
        if !(10..=5_000).contains(&self.sweep_ms) {
            return bad("sweep_ms", "10 to 5000");
        }
        if self.node_lost_ms != 0 && !(3_000..=DAY_MS).contains(&self.node_lost_ms) {
            return bad("node_lost_ms", &format!("0, or 3000 to {DAY_MS} (a day)"));
        }
        if self.coalesce.sleep_us > 1_000 {
            return bad("coalesce.sleep_us", "0 to 1000: more would be felt");
        }
        for (key, ms, least) in [
            ("ykc.silence_ms", self.ykc.silence_ms, 1),
            ("ykc.record_wait_ms", self.ykc.record_wait_ms, 0),
            ("ocpp.silence_ms", self.ocpp.silence_ms, 1),
            ("admin.head_ms", self.admin.head_ms, 1),
            ("admin.idle_ms", self.admin.idle_ms, 1),
            ("admin.write_ms", self.admin.write_ms, 1),
            ("limits.login_ms", self.limits.login_ms, 1),
            ("limits.handshake_ms", self.limits.handshake_ms, 1),
            ("limits.half_frame_ms", self.limits.half_frame_ms, 1),
            ("limits.write_ms", self.limits.write_ms, 1),
            ("money.ack_ms", self.money.ack_ms, 1),
            ("money.start_ms", self.money.start_ms, 1),
            ("money.retry_ms", self.money.retry_ms, 1),
            ("commands.answer_ms", self.commands.answer_ms, 1),
            ("drain.delay_ms", self.drain.delay_ms, 0),
            ("drain.spread_ms", self.drain.spread_ms, 0),
            ("drain.deadline_ms", self.drain.deadline_ms, 0),
        ] {
            if !(least..=DAY_MS).contains(&ms) {
                return bad(key, &format!("{least} to {DAY_MS} (a day)"));
            }
        }
        for (key, count) in [
            ("ykc.piles_per_connection", self.ykc.piles_per_connection),
            ("admin.connections", self.admin.connections),
            ("limits.connections", self.limits.connections),
            ("limits.connections_per_ip", self.limits.connections_per_ip),
            ("limits.accepts_per_second", self.limits.accepts_per_second as usize),
            ("limits.logins_per_second", self.limits.logins_per_second as usize),
            ("limits.handshakes", self.limits.handshakes),
            ("limits.pending_money", self.limits.pending_money),
            ("limits.stalled_events", self.limits.stalled_events),
            ("limits.bad_in_a_row", self.limits.bad_in_a_row as usize),
            ("limits.backlog", usize::try_from(self.limits.backlog).unwrap_or(0)),
            ("commands.queue", self.commands.queue),
            ("commands.held", self.commands.held),
            ("commands.shard_queue", self.commands.shard_queue),
            ("commands.remembered", self.commands.remembered),
        ] {
            if !(1..=COUNT_MAX).contains(&count) {
                return bad(key, &format!("1 to {COUNT_MAX}"));
            }
        }
        // 0: they are not sent.
        if self.ykc.tariffs_per_second as usize > COUNT_MAX {
            return bad("ykc.tariffs_per_second", &format!("0 to {COUNT_MAX}"));
        }
        let listeners = self.listeners();
        for (index, (key, addr)) in listeners.iter().enumerate() {
            // SO_REUSEPORT would let both open, and the kernel deal chargers out among them.
            if let Some((other, _)) = listeners.iter().take(index).find(|(_, earlier)| overlap(*earlier, *addr)) {
                return bad(key, &format!("{addr} is also gateway.{other}"));
            }
        }
        Ok(())
    }

    /// The key of the listener whose address `addr` would share, if there is one.
    #[must_use]
    pub fn listens_on(&self, addr: SocketAddr) -> Option<&'static str> {
        self.listeners().into_iter().find(|(_, own)| overlap(*own, addr)).map(|(key, _)| key)
    }

    fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let all = [
            (true, "admin.listen", self.admin.listen),
            (self.ykc.enabled, "ykc.listen", self.ykc.listen),
            (self.ocpp.enabled, "ocpp.listen", self.ocpp.listen),
        ];
        all.into_iter().filter(|(enabled, ..)| *enabled).map(|(_, key, addr)| (key, addr)).collect()
    }
}

/// A connection could be meant for either; port 0 takes a free one and collides with nobody.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    // `::` also takes IPv4.
    let covers = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    one.port() != 0 && one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_that_the_log_could_not_take_cannot_be_allowed() {
        let mut config = Config::default();
        for (bytes, fits) in [(512 * 1024, true), (512 * 1024 + 1, false), (1 << 20, false)] {
            config.limits.message_bytes = bytes;
            let found = config.validate().err().map(|error| error.key);
            assert_eq!(found, (!fits).then_some("limits.message_bytes"), "{bytes}");
        }
    }

    #[test]
    fn listeners_may_not_share_a_port() {
        for (ykc, ocpp, shared) in [
            ("0.0.0.0:9100", "0.0.0.0:9100", true),
            ("0.0.0.0:9100", "127.0.0.1:9100", true),
            ("127.0.0.1:9100", "[::]:9100", true),
            ("[::1]:9100", "0.0.0.0:9100", false),
            ("127.0.0.1:9100", "127.0.0.2:9100", false),
            ("0.0.0.0:9100", "0.0.0.0:9101", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            let mut config = Config::default();
            (config.ykc.listen, config.ocpp.listen) = (ykc.parse().unwrap(), ocpp.parse().unwrap());
            let said = config.validate().map_err(|error| error.to_string());
            match said {
                Err(said) => assert!(shared && said.contains("ykc.listen") && said.contains("ocpp.listen"), "{said}"),
                Ok(()) => assert!(!shared, "{ykc} {ocpp}"),
            }
            config.ykc.enabled = false;
            config.validate().unwrap();
        }
        let config = Config::default();
        assert_eq!(config.listens_on(([127, 0, 0, 1], 9190).into()), Some("admin.listen"));
        assert_eq!(config.listens_on(([127, 0, 0, 1], 8080).into()), None);
    }
}
