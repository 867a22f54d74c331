//! File descriptors: as many as the system gives, and how they are divided.
//!
//! A connection is one, a check that runs up to three; so there are fewer of both than descriptors, or a
//! crowd of clients would take the last one from the log, and a log that cannot open a file ends the
//! process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// What is kept for files of the log, snapshots, the agent's store and the log file, for listeners and DNS
/// over UDP.
const FILES: usize = 384;

/// Where there are few, so many parts of what is kept are for telling clients that they are too many: one.
const PARTS: usize = 4;

/// The most that one probe has open: a script's two pipes and its guard.
const PER_PROBE: usize = 3;

/// With fewer HTTP connections than this, operators are warned.
const FEW: usize = 10_000;

/// How many of each there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// HTTP connections.
    pub http: usize,
    /// HTTP connections that are just being told that they are too many.
    pub refusing: usize,
    /// DNS connections over TCP.
    pub dns_tcp: usize,
    /// Checks that run at a time.
    pub probes: usize,
}

/// Raises the soft limit to the hard one and divides it; tells what had to be lowered.
pub fn divide_all(wanted: Shares) -> Shares {
    let limit = raise();
    let shares = divide(limit, wanted);
    if shares == wanted {
        return shares;
    }
    let needed = needed(wanted);
    let lowered = lowered(wanted, shares);
    if shares.http >= FEW && (Shares { http: wanted.http, ..shares }) == wanted {
        info!(limit, needed, lowered, "limit of open files divided");
    } else {
        warn!(limit, needed, lowered, "the limit of open files is low (ulimit -n, LimitNOFILE)");
    }
    shares
}

/// Raises the soft limit to the hard one; the limit that holds then.
fn raise() -> usize {
    const WHAT: Resource = Resource::RLIMIT_NOFILE;
    // Where the limit cannot be read, the usual one is as good a guess as any.
    let (soft, hard) = getrlimit(WHAT).unwrap_or((1024, 1024));
    let limit = match soft < hard {
        true => match setrlimit(WHAT, hard, hard) {
            Ok(()) => hard,
            Err(error) => {
                warn!(%error, soft, hard, "the limit of open files stays low");
                soft
            }
        },
        false => soft,
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn needed(shares: Shares) -> usize {
    FILES + shares.refusing + shares.http + shares.dns_tcp + PER_PROBE * shares.probes
}

/// What fits into a limit of descriptors, of what is wanted.
fn divide(limit: usize, wanted: Shares) -> Shares {
    if needed(wanted) <= limit {
        return wanted;
    }
    let kept = (FILES + wanted.refusing).min(limit / 4);
    let refusing = wanted.refusing.min(kept / PARTS);
    let rest = limit - kept;
    let probes = wanted.probes.min(rest / 4 / PER_PROBE);
    let dns_tcp = wanted.dns_tcp.min(rest / 4);
    let http = wanted.http.min(rest - dns_tcp - PER_PROBE * probes);
    Shares { http, refusing, dns_tcp, probes }
}

/// What was lowered, and to what.
fn lowered(wanted: Shares, shares: Shares) -> String {
    let rows = [
        ("http connections", wanted.http, shares.http),
        ("dns tcp connections", wanted.dns_tcp, shares.dns_tcp),
        ("checks at a time", wanted.probes, shares.probes),
    ];
    let lowered = rows.iter().filter(|(_, before, after)| after < before);
    let told = lowered.map(|(what, before, after)| format!("{what} from {before} to {after}"));
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Shares = Shares { http: 100_000, refusing: 128, dns_tcp: 1024, probes: 512 };

    #[track_caller]
    fn check(limit: usize, http: usize, refusing: usize, dns_tcp: usize, probes: usize) {
        let shares = divide(limit, WANTED);
        assert_eq!(shares, Shares { http, refusing, dns_tcp, probes }, "of {limit}");
        let files = limit - (needed(shares) - FILES);
        assert!(files >= FILES.min(limit / 4 * 3 / 4), "{files} for files of {limit}");
    }

    #[test]
    fn a_crowd_leaves_descriptors_to_the_log() {
        check(1_048_576, 100_000, 128, 1024, 512);
        check(103_072, 100_000, 128, 1024, 512);
        check(65_536, 62_464, 128, 1024, 512);
        check(8192, 5120, 128, 1024, 512);
        check(4096, 1794, 128, 896, 298);
        check(1024, 384, 64, 192, 64);
        check(256, 96, 16, 48, 16);
        check(64, 24, 4, 12, 4);
        let few = Shares { http: 10, ..WANTED };
        assert_eq!(divide(4096, few), few);
    }

    #[test]
    fn what_was_lowered_is_named() {
        let told = lowered(WANTED, Shares { http: 384, ..WANTED });
        assert_eq!(told, "http connections from 100000 to 384");
        assert_eq!(lowered(WANTED, WANTED), "");
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let limit = raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(soft, hard);
        assert_eq!(usize::try_from(soft).expect("it fits"), limit);
    }
}
