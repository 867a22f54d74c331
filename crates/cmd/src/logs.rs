//! Log lines on stderr, at a level that can change while the process runs.

use std::io::IsTerminal;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// The level of the lines.
pub struct LogLevel(reload::Handle<Targets, Registry>);

/// Begins to write lines; once a process.
pub fn to_stderr(level: Level) -> LogLevel {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    LogLevel(handle)
}

impl LogLevel {
    /// Changes it from now on.
    pub fn set(&self, level: Level) {
        // It fails only where there are no lines any more.
        let _ = self.0.reload(targets(level));
    }
}

/// Our own lines at the level asked for; libraries only when something is wrong.
fn targets(level: Level) -> Targets {
    let libraries = ["h2", "hyper", "hyper_util", "openraft", "raft_log", "rustls"];
    let quiet = libraries.map(|name| (name, level.min(Level::WARN)));
    Targets::new().with_default(level).with_targets(quiet)
}
