//! The running process as its operator steers it: leave, and read the configuration again.
//!
//! A reload takes all or nothing: the files are read and checked first, and the agent takes what they
//! define or refuses all of it. What cannot be applied to a running process is named in the log, again
//! at each reload until the process is started anew.

use crate::config::{Loaded, Sources, changed};
use crate::logs::LogLevel;
use seams::{BoxFuture, Lifecycle, Registrar, ReloadError};
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The keys that a reload applies; of a block, all in it.
const APPLIED: [&str; 2] = ["log_level", "dns_config"];

/// How often files are looked at that are to be read again by themselves.
const WATCH: Duration = Duration::from_secs(1);

/// The process.
pub struct Process {
    sources: Sources,
    /// The configuration as it was typed when the process started.
    started_with: Value,
    level: LogLevel,
    leaving: CancellationToken,
    /// What is told of a new configuration; empty until it runs.
    parts: OnceLock<Parts>,
    /// One reload at a time, so that the last file read is the one applied.
    reloading: Mutex<()>,
}

/// The parts that take a new configuration while they run.
pub struct Parts {
    /// The agent, to follow the files' definitions.
    pub files: agent::Files,
    /// What is registered already.
    pub registrar: Arc<dyn Registrar>,
    /// The DNS face.
    pub dns: dns::Live,
    /// What DNS was started with: its zone stays.
    pub dns_started_with: dns::Config,
}

impl Process {
    /// A process that was started with this.
    pub fn new(sources: Sources, started_with: Value, level: LogLevel) -> Process {
        let leaving = CancellationToken::new();
        let (parts, reloading) = (OnceLock::new(), Mutex::new(()));
        Process { sources, started_with, level, leaving, parts, reloading }
    }

    /// Takes the parts, which run from now on.
    pub fn runs(&self, parts: Parts) {
        // A process starts its parts once.
        let _ = self.parts.set(parts);
    }

    /// Waits until somebody asked it to leave.
    pub async fn leaving(&self) {
        self.leaving.cancelled().await;
    }

    /// Reads the configuration again whenever one of its files was written anew, for ever.
    ///
    /// Looks at them every second: unlike a watch of the kernel's it sees through links that are
    /// switched and file systems that tell nobody. What is being written is waited for: a file must
    /// look the same twice.
    pub async fn follow_files(&self) {
        let look = || {
            let sources = self.sources.clone();
            async move { tokio::task::spawn_blocking(move || sources.fingerprint()).await.ok() }
        };
        let mut applied = look().await;
        let mut last = applied.clone();
        loop {
            tokio::time::sleep(WATCH).await;
            let seen = look().await;
            if seen != applied && seen == last {
                info!("configuration files changed");
                // What came of it stands in the log.
                drop(self.reload().await);
                applied = seen.clone();
            }
            last = seen;
        }
    }

    async fn apply(&self, loaded: &Loaded) -> anyhow::Result<()> {
        if let Some(parts) = self.parts.get() {
            let dns = loaded.config.dns.clone();
            let started = &parts.dns_started_with;
            let dns = dns::Config {
                domain: started.domain.clone(),
                alt_domain: started.alt_domain.clone(),
                datacenter: started.datacenter.clone(),
                ..dns
            };
            let registered = parts.registrar.instances();
            let definitions = loaded.definitions(registered.clone())?;
            let followed = parts.files.follow(definitions).await;
            followed.map_err(|error| loaded.refused(error, &registered))?;
            parts.dns.reconfigure(&dns)?;
        }
        for warning in &loaded.warnings {
            warn!(warning, "configuration");
        }
        self.level.set(loaded.config.log_level);
        let applied = |key: &str| {
            APPLIED.iter().any(|name| {
                key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let changed = changed(&self.started_with, &loaded.typed);
        for key in changed.iter().filter(|key| !applied(key)) {
            warn!(key, "configuration changed, and this key needs a restart");
        }
        info!("configuration reloaded");
        Ok(())
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
            let applied = match read.map_err(anyhow::Error::from).flatten() {
                Ok(loaded) => self.apply(&loaded).await,
                Err(error) => Err(error),
            };
            applied.map_err(|error| {
                let error = format!("{error:#}");
                warn!(error, "configuration not reloaded");
                ReloadError(format!("configuration not reloaded: {error}"))
            })
        })
    }
}
