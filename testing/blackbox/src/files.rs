//! How many files this process may hold open, for tests that are a crowd themselves.

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enough for the crowds of all tests at once. No more: programs that these tests start inherit it, and some take
/// memory for each file that they may open.
const ENOUGH: u64 = 16 << 10;

/// Lets this process open as many files as a crowd of connections needs, if the system allows it.
pub fn allow_many() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        hard >= 4096,
        "the hard limit of open files (ulimit -Hn) is {hard}, and 4096 are needed"
    );
    let raised = ENOUGH.min(hard).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard).context("raising the limit of open files")
}
