//! The running process as its operator steers it: leave, and read the configuration again.
//!
//! A reload takes all or nothing: the files are read and checked first. What cannot be applied to a
//! running process is named in the log, again at each reload until the process is started anew.

use crate::config::{Loaded, Sources, changed};
use crate::logs::LogLevel;
use seams::{BoxFuture, Lifecycle, ReloadError};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The keys that a reload applies.
const APPLIED: [&str; 1] = ["log_level"];

/// The process.
pub struct Process {
    sources: Sources,
    /// The configuration as it was typed when the process started.
    started_with: Value,
    level: LogLevel,
    leaving: CancellationToken,
    /// One reload at a time, so that the last file read is the one applied.
    reloading: Mutex<()>,
}

impl Process {
    /// A process that was started with this.
    pub fn new(sources: Sources, started_with: Value, level: LogLevel) -> Process {
        let leaving = CancellationToken::new();
        Process { sources, started_with, level, leaving, reloading: Mutex::new(()) }
    }

    /// Waits until somebody asked it to leave.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    fn apply(&self, loaded: &Loaded) {
        for warning in &loaded.warnings {
            warn!(warning, "configuration");
        }
        self.level.set(loaded.config.log_level);
        let changed = changed(&self.started_with, &loaded.typed);
        for key in changed.iter().filter(|key| !APPLIED.contains(&key.as_str())) {
            warn!(key, "configuration changed, and this key needs a restart");
        }
        info!("configuration reloaded");
    }
}

impl Lifecycle for Process {
    fn leave(&self) {
        self.leaving.cancel();
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>> {
        Box::pin(async move {
            let _turn = self.reloading.lock().await;
            let sources = self.sources.clone();
            let read = tokio::task::spawn_blocking(move || sources.load()).await;
            match read.map_err(anyhow::Error::from).flatten() {
                Ok(loaded) => {
                    self.apply(&loaded);
                    Ok(())
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(error, "configuration not reloaded");
                    Err(ReloadError(format!("configuration not reloaded: {error}")))
                }
            }
        })
    }
}
