//! How many files the process may open, and who gets them: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, Parts};

/// Databases, log, spool, Kafka and the runtime's own.
const RESERVE: u64 = 256;
/// Listening sockets of a shard, and what its runtime needs.
const RESERVE_OF_SHARD: u64 = 8;

/// Raises the soft limit of open files to the hard one. Says what holds then; `None`: no limit.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    }
}

/// Lowers the limits of connections to what `files` descriptors are enough for, so that no listener can take another one's, and says so.
pub fn fit(config: &mut Config, parts: Parts, files: u64) {
    let mut reserve = RESERVE;
    let (mut api, mut admin, mut chargers) = (0, 0, 0);
    if parts != Parts::Gateway {
        reserve += u64::from(config.api.postgres_connections);
        api = count(config.api.limits.connections);
    }
    if parts != Parts::Api {
        reserve += RESERVE_OF_SHARD * count(config.gateway.shard_count());
        admin = count(config.gateway.admin.connections);
        chargers = count(config.gateway.limits.connections);
    }
    let wanted = reserve + api + admin + chargers;
    if wanted <= files {
        return;
    }
    let left = files.saturating_sub(reserve);
    // HTTP gives way first where there is little.
    let http = left - chargers.min(left / 2);
    let admin = admin.min(left / 16).max(1);
    let api = api.min(http.saturating_sub(admin)).max(1);
    if parts != Parts::Gateway {
        config.api.limits.connections = whole(api);
    }
    if parts != Parts::Api {
        let others = admin + if parts == Parts::Gateway { 0 } else { api };
        config.gateway.admin.connections = whole(admin);
        config.gateway.limits.connections = whole(chargers.min(left.saturating_sub(others)).max(1));
    }
    tracing::warn!(
        open_files = files,
        wanted,
        chargers = (parts != Parts::Api).then_some(config.gateway.limits.connections),
        admin = (parts != Parts::Api).then_some(config.gateway.admin.connections),
        api = (parts != Parts::Gateway).then_some(config.api.limits.connections),
        "the limit of open files is too low for the limits of connections, which are lowered to these: raise it to `wanted` (LimitNOFILE=, \
         ulimit -Hn, --ulimit nofile=), or set gateway.limits.connections and api.limits.connections lower"
    );
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn whole(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chargers, admin, API of the default configuration with two shards.
    fn fitted(parts: Parts, files: u64) -> [usize; 3] {
        let mut config = Config::default();
        config.gateway.shards = 2;
        fit(&mut config, parts, files);
        [config.gateway.limits.connections, config.gateway.admin.connections, config.api.limits.connections]
    }

    #[test]
    fn nobody_gets_what_another_one_needs() {
        assert_eq!(fitted(Parts::Serve, 1 << 20), [200_000, 64, 1_024]);
        assert_eq!(fitted(Parts::Serve, 4_096), [2_728, 64, 1_024]);
        assert_eq!(fitted(Parts::Gateway, 4_096), [3_760, 64, 1_024]);
        assert_eq!(fitted(Parts::Api, 4_096), [200_000, 64, 1_024]);
        assert_eq!(fitted(Parts::Serve, 1_024), [372, 46, 326]);
        // It would hardly work, but it starts, and says so.
        assert_eq!(fitted(Parts::Serve, 100), [1, 1, 1]);
        for files in 300..10_000 {
            let [chargers, admin, api] = fitted(Parts::Serve, files);
            assert!(chargers + admin + api <= whole(files - 280).max(3), "{files}");
            assert!(chargers >= api, "{files}");
        }
    }
}
