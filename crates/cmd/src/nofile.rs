//! File descriptors: as many as the system gives, and how they are divided.
//!
//! A connection is one; so connections are fewer than descriptors, or a crowd of clients would take the
//! last one from the log, and a log that cannot open a file ends the process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// What is kept from HTTP connections: files of the log and snapshots, DNS over UDP and TCP, probes of
/// the agent's checks (three for each script), and connections just being refused.
const RESERVE: usize = 1024 + 3 * agent::MAX_PROBES;

/// Raises the soft limit to the hard one; the limit that holds then.
pub fn raise() -> usize {
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

/// How many HTTP connections fit into a limit of descriptors, of those wanted.
pub fn connections(limit: usize, wanted: usize) -> usize {
    let reserve = RESERVE.min(limit / 2);
    wanted.min(limit - reserve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_the_log() {
        for (limit, wanted, expected) in [
            (1_048_576, 100_000, 100_000),
            (65_536, 100_000, 62_976),
            (8192, 100_000, 5632),
            (4096, 100_000, 2048),
            (1024, 100_000, 512),
            (4096, 10, 10),
        ] {
            assert_eq!(connections(limit, wanted), expected, "of {limit}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let limit = raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert_eq!(soft, hard);
        assert_eq!(usize::try_from(soft).expect("it fits"), limit);
    }
}
