//! The keys of the log: `log_json`, `log_file`, `log_rotate_…`.

use super::raw::Raw;
use super::resolve::duration;
use crate::logs::Rotation;
use anyhow::Context;
use std::path::PathBuf;
use std::time::Duration;

/// Where lines go, and how they look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTo {
    /// Whether a line is an object of JSON.
    pub json: bool,
    /// The file they go to as well; one that ends in `/` is a directory.
    pub file: Option<PathBuf>,
    /// When another file begins.
    pub rotation: Rotation,
}

/// How long Consul writes to one file.
const ROTATE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Source: Consul, "Agents command-line reference", `-log-rotate-…`: of the number of files 0 is all,
/// and below 0 none but the one that is written; of bytes 0 is any number.
pub(super) fn log_to(raw: &Raw) -> anyhow::Result<LogTo> {
    let after = raw.log_rotate_duration.as_deref().map(duration).transpose();
    let after = after.context("log_rotate_duration")?.and_then(|given| given.positive());
    let most = raw.log_rotate_bytes.unwrap_or(0);
    let keep = raw.log_rotate_max_files.unwrap_or(0);
    Ok(LogTo {
        json: raw.log_json.unwrap_or(false),
        file: raw.log_file.clone().filter(|path| !path.as_os_str().is_empty()),
        rotation: Rotation {
            bytes: u64::try_from(most).ok().filter(|bytes| *bytes > 0),
            after: after.unwrap_or(ROTATE_AFTER),
            keep: (keep != 0).then(|| usize::try_from(keep).unwrap_or(0)),
        },
    })
}
