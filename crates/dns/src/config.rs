//! Settings of the DNS face, resolved: no options left to guess, durations as durations.

use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of the DNS face.
///
/// Source: Consul, "DNS configuration" (`dns_config`, `domain`, `alt_domain`).
#[derive(Debug, Clone)]
pub struct Config {
    /// The zone served; default `consul.`, with or without the last dot.
    pub domain: String,
    /// A second name of the same zone; none by default. Answers repeat the name that was asked.
    pub alt_domain: Option<String>,
    /// The name of this datacenter, a label in targets; default `dc1`.
    pub datacenter: String,
    /// How long resolvers may keep answers about nodes; default 0 s. Longer hides changes.
    pub node_ttl: Duration,
    /// The same for services, by name, `prefix*` or `*`; empty by default, which means 0 s.
    pub service_ttl: BTreeMap<String, Duration>,
    /// Leave out instances that warn, too; default false.
    pub only_passing: bool,
    /// At most so many A or AAAA records of a service in an answer; default 0: no such limit.
    pub a_record_limit: usize,
    /// At most so many records over UDP without EDNS; default 3, never more than 8.
    pub udp_answer_limit: usize,
    /// Set TC on answers that did not fit, so that clients come again over TCP; default false,
    /// a silently shortened random subset.
    pub enable_truncate: bool,
    /// Write every owner name whole; default false. Answers grow, and fewer records fit.
    pub disable_compression: bool,
    /// Send TXT records of the nodes' meta along; default true. Answers grow with the meta.
    pub enable_additional_node_meta_txt: bool,
    /// Numbers of the SOA record.
    pub soa: Soa,
    /// Threads that answer over UDP; default 0: one for each CPU, at most four.
    pub threads: usize,
    /// Bounds of what is not the fast path.
    pub limits: Limits,
}

/// Numbers of the SOA record, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    /// Refresh; default 3600.
    pub refresh: u32,
    /// Retry; default 600.
    pub retry: u32,
    /// Expire; default 86400.
    pub expire: u32,
    /// The record's TTL and that of negative answers; default 0.
    pub min_ttl: u32,
}

/// Bounds of what is not the fast path.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// TCP connections at a time; default 1024. Beyond it a new one is closed and counted.
    pub tcp_connections: usize,
    /// The same of one client address; default 128, so that silent ones do not shut out the rest.
    /// Raise it where many askers share an address.
    pub tcp_connections_per_client: usize,
    /// How long a TCP connection may be silent, or slow to take an answer; default 10 s.
    pub tcp_idle: Duration,
    /// Questions waiting for the slow path, and as many in it; default 1024. Beyond it they are
    /// dropped and counted: the asker comes again.
    pub slow_questions: usize,
    /// How long to wait for what is not held here; default 2 s, then SERVFAIL.
    pub hold: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            domain: "consul.".to_owned(),
            alt_domain: None,
            datacenter: "dc1".to_owned(),
            node_ttl: Duration::ZERO,
            service_ttl: BTreeMap::new(),
            only_passing: false,
            a_record_limit: 0,
            udp_answer_limit: 3,
            enable_truncate: false,
            disable_compression: false,
            enable_additional_node_meta_txt: true,
            soa: Soa::default(),
            threads: 0,
            limits: Limits::default(),
        }
    }
}

impl Default for Soa {
    fn default() -> Soa {
        Soa { refresh: 3600, retry: 600, expire: 86400, min_ttl: 0 }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tcp_connections: 1024,
            tcp_connections_per_client: 128,
            tcp_idle: Duration::from_secs(10),
            slow_questions: 1024,
            hold: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// The TTL of a service: its own entry, else the longest prefix that fits, else `*`, else 0.
    pub(crate) fn service_ttl(&self, service: &str) -> u32 {
        let exact = self.service_ttl.iter().find(|(name, _)| name.eq_ignore_ascii_case(service));
        let fits = |pattern: &str| {
            let prefix = pattern.strip_suffix('*')?;
            let start = service.get(..prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then_some(prefix.len())
        };
        let longest = || {
            let fitting =
                self.service_ttl.iter().filter_map(|(name, ttl)| Some((fits(name)?, ttl)));
            fitting.max_by_key(|(length, _)| *length).map(|(_, ttl)| ttl)
        };
        seconds(exact.map(|(_, ttl)| ttl).or_else(longest).copied().unwrap_or_default())
    }
}

/// Whole seconds, as TTLs are.
pub(crate) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_decides_a_ttl() {
        let ttl = [("*", 5), ("web", 20), ("db*", 30), ("db-ma*", 40)];
        let service_ttl = ttl.map(|(name, ttl)| (name.to_owned(), Duration::from_secs(ttl))).into();
        let config = Config { service_ttl, ..Config::default() };
        for (service, expected) in
            [("web", 20), ("WEB", 20), ("webx", 5), ("db", 30), ("DB-master", 40), ("", 5)]
        {
            assert_eq!(config.service_ttl(service), expected, "{service}");
        }
        assert_eq!(Config::default().service_ttl("web"), 0);
    }
}
