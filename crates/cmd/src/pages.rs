//! Memory in small pages.
//!
//! A huge page is two megabytes whatever is in it, and an agent's memory is many small things: what the
//! system gives in huge pages is a third more than what is used (`bench/RESULTS.md`, `memory`).

use nix::sys::prctl;

/// Asks the system for no huge pages from now on; before there are threads and tables.
///
/// It holds for what this process starts, too; a script's guard asks for them again.
pub fn keep_small() {
    if let Err(error) = prctl::set_thp_disable(true) {
        tracing::debug!(%error, "the system may give huge pages");
    }
}
