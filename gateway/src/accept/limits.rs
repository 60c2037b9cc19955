//! How many connections, in all and per address, and how fast new ones are taken.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;

use crate::{config::Limits, telemetry::Refusal};

#[derive(Debug)]
struct Counts {
    total: AtomicUsize,
    per_ip: DashMap<IpAddr, usize>,
    /// Addresses already complained about, so that each is logged once; forgotten when the list is full.
    named: Mutex<Vec<IpAddr>>,
    full_named: AtomicBool,
}

/// Counts connections over all shards.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    counts: Arc<Counts>,
    total_max: usize,
    per_ip_max: usize,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Arc<Counts>,
    ip: IpAddr,
}

impl Admission {
    pub fn new(limits: &Limits) -> Self {
        Self {
            counts: Arc::new(Counts {
                total: AtomicUsize::new(0),
                per_ip: DashMap::new(),
                named: Mutex::default(),
                full_named: AtomicBool::new(false),
            }),
            total_max: limits.connections,
            per_ip_max: limits.connections_per_ip,
        }
    }

    /// Lets a connection from this address in, or says why not.
    pub fn enter(&self, ip: IpAddr) -> Result<Permit, Refusal> {
        if self.counts.total.fetch_add(1, Ordering::Relaxed) >= self.total_max {
            self.counts.total.fetch_sub(1, Ordering::Relaxed);
            if !self.counts.full_named.swap(true, Ordering::Relaxed) {
                tracing::warn!(limit = self.total_max, "limits.connections is reached; refusing more");
            }
            return Err(Refusal::Total);
        }
        let mut from_here = self.counts.per_ip.entry(ip).or_insert(0);
        if *from_here >= self.per_ip_max {
            drop(from_here);
            self.counts.total.fetch_sub(1, Ordering::Relaxed);
            self.name(ip);
            return Err(Refusal::PerIp);
        }
        *from_here += 1;
        drop(from_here);
        Ok(Permit { counts: Arc::clone(&self.counts), ip })
    }

    fn name(&self, ip: IpAddr) {
        let mut named = self.counts.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(&ip) {
            return;
        }
        if named.len() >= 64 {
            named.clear();
        }
        named.push(ip);
        tracing::warn!(%ip, limit = self.per_ip_max, "limits.connections_per_ip is reached; refusing more from it");
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.counts.total.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.total.fetch_sub(1, Ordering::Relaxed);
        self.counts.full_named.store(false, Ordering::Relaxed);
        self.counts.per_ip.remove_if_mut(&self.ip, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

/// A bucket of accepts or logins: refilled by time, holds half a second's worth.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u64,
    /// Thousandths of one.
    level: u64,
    at_ms: u64,
}

impl Rate {
    /// One shard's share of a rate over all of them, at least one per second.
    pub fn share(per_second: u32, shards: usize) -> Self {
        let shards = u32::try_from(shards).unwrap_or(u32::MAX).max(1);
        Self::new((per_second / shards).max(1))
    }

    fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, level: (per_second * 500).max(1_000), at_ms: 0 }
    }

    /// One more; false: there is none left now.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let gained = now_ms.saturating_sub(self.at_ms).saturating_mul(self.per_second);
        self.at_ms = now_ms;
        self.level = self.level.saturating_add(gained).min((self.per_second * 500).max(1_000));
        if self.level < 1_000 {
            return false;
        }
        self.level -= 1_000;
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let admission = Admission::new(&Limits { connections: 3, connections_per_ip: 2, ..Limits::default() });
        let [a, b]: [IpAddr; 2] = [[127, 0, 0, 1].into(), [127, 0, 0, 2].into()];
        let first = admission.enter(a).unwrap();
        let _second = admission.enter(a).unwrap();
        assert_eq!(admission.enter(a).unwrap_err(), Refusal::PerIp);
        let _third = admission.enter(b).unwrap();
        assert_eq!(admission.enter(b).unwrap_err(), Refusal::Total);
        drop(first);
        assert!(admission.enter(a).is_ok());
        assert_eq!(admission.count(), 2);
    }

    #[test]
    fn the_bucket_refills_by_time() {
        let mut rate = Rate::new(10);
        let taken = (0..20).filter(|_| rate.take(0)).count();
        assert_eq!(taken, 5);
        assert!(!rate.take(50));
        assert!(rate.take(150));
    }
}
