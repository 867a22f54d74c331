//! Log lines: what happened, with its values in fields, to the terminal and to a file.
//!
//! One layer writes all of it, because Consul's file rotates by size and by any duration, its JSON has
//! keys of its own, and scripts look for words of Consul's: `tracing-appender` rotates by the clock's
//! hours and days only, and `tracing-subscriber`'s formats have other keys. Fields of a span, such as a
//! request's id, stand on every line within it.

mod file;
mod line;
mod words;

pub use file::Rotation;

use crate::config::{Config, LogTo};
use anyhow::Context as _;
use file::RotatingFile;
use line::{Fields, Format, Line};
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// The level of the lines.
pub struct LogLevel(reload::Handle<Targets, Registry>);

/// Begins to write lines; once a process. Called as `consul` they go to standard output and use its
/// words, as its own do; else to standard error.
pub fn start(config: &Config, invoked_as: &str) -> anyhow::Result<LogLevel> {
    let (filter, handle) = reload::Layer::new(targets(config.log_level));
    let lines = Lines::new(&config.log, invoked_as)?;
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(LogLevel(handle))
}

impl LogLevel {
    /// Changes it from now on.
    pub fn set(&self, level: Level) {
        // It fails only where there are no lines any more.
        let _ = self.0.reload(targets(level));
    }
}

/// Our own lines at the level asked for; libraries only when something is wrong. The consensus engine
/// warns of what is the way of every start, so of it only errors count.
fn targets(level: Level) -> Targets {
    let libraries = ["h2", "hyper", "hyper_util", "raft_log", "rustls"];
    let quiet = libraries.map(|name| (name, level.min(Level::WARN)));
    let engine = ("openraft", level.min(Level::ERROR));
    Targets::new().with_default(level).with_targets(quiet).with_target(engine.0, engine.1)
}

/// Where lines go.
struct Lines {
    format: Format,
    /// Whether the terminal shows colours.
    colours: bool,
    as_consul: bool,
    file: Option<Mutex<RotatingFile>>,
}

impl Lines {
    fn new(to: &LogTo, invoked_as: &str) -> anyhow::Result<Lines> {
        let as_consul = invoked_as == "consul";
        let terminal = match as_consul {
            true => std::io::stdout().is_terminal(),
            false => std::io::stderr().is_terminal(),
        };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let name = if as_consul { "consul" } else { "rutter" };
        let file = to.file.as_ref().map(|path| {
            RotatingFile::open(path, name, to.rotation)
                .with_context(|| format!("log_file {}", path.display()))
        });
        Ok(Lines {
            format: if to.json { Format::Json } else { Format::Text },
            colours: terminal && !plain && !to.json,
            as_consul,
            file: file.transpose()?.map(Mutex::new),
        })
    }

    fn write(&self, line: &Line<'_>) {
        let plain = line.told(self.format, false);
        let shown = if self.colours { line.told(self.format, true) } else { plain.clone() };
        // Whoever reads the lines may be gone; the process goes on.
        let _ = match self.as_consul {
            true => std::io::stdout().lock().write_all(shown.as_bytes()),
            false => std::io::stderr().lock().write_all(shown.as_bytes()),
        };
        if let Some(file) = &self.file {
            file.lock().unwrap_or_else(PoisonError::into_inner).write(plain.as_bytes());
        }
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add(outer);
            }
        }
        let line = Line::now(*event.metadata().level(), event.metadata().target(), fields);
        if self.as_consul {
            for words in words::of_consul(&line) {
                self.write(&line.saying(words));
            }
        }
        self.write(&line);
    }
}
