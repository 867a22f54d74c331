//! Where a configuration comes from, so that it can be read again while the process runs.

use super::{Config, Raw, read_file, resolve};
use std::path::PathBuf;

/// Consul says it too; only whoever configures it can know who reaches the port.
const SCRIPTS_ARE_ON: &str = "enable_script_checks lets whoever reaches the HTTP port run programs \
                              here as the agent's user; enable_local_script_checks does not";

/// Consul listens there too and, without a certificate, ends each handshake. Its Go programs' test server always asks
/// for the port.
const NO_HTTPS: &str = "ports.https is accepted but has no effect in this version, which serves no \
                        TLS: nothing listens there";

/// The files and flags that a process was started with.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The files in the order given; later ones override.
    pub files: Vec<PathBuf>,
    /// What the flags say; it overrides every file.
    pub flags: Raw,
    /// Whether this is `-dev`.
    pub dev: bool,
}

/// What was read.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// One warning for each key that has no effect.
    pub warnings: Vec<String>,
    /// All of it as typed, to compare with what is read later.
    pub typed: serde_json::Value,
}

impl Sources {
    /// Reads all files and resolves what they and the flags say.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let mut raw = if self.dev { Raw::dev() } else { Raw::default() };
        let mut warnings = Vec::new();
        for file in &self.files {
            let (typed, complaints) = read_file(file)?;
            raw.merge(typed);
            warnings.extend(complaints);
        }
        raw.merge(self.flags.clone());
        let typed = serde_json::to_value(&raw)?;
        if raw.ports.https.is_some_and(|port| port > 0) {
            warnings.push(NO_HTTPS.to_owned());
        }
        let config = resolve(raw, self.dev)?;
        if config.checks.scripts == agent::Scripts::On {
            warnings.push(SCRIPTS_ARE_ON.to_owned());
        }
        Ok(Loaded { config, warnings, typed })
    }
}

/// The keys whose values differ, such as `ports.http`, in the order of `new`.
pub fn changed(old: &serde_json::Value, new: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::{Null, Object};
    let (Object(old), Object(new)) = (old, new) else {
        return if old == new { Vec::new() } else { vec![String::new()] };
    };
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let keys = new.keys().chain(gone);
    let below = |key: &String| {
        let inner = changed(old.get(key).unwrap_or(&Null), new.get(key).unwrap_or(&Null));
        let name = |inner: String| match inner.as_str() {
            "" => key.clone(),
            inner => format!("{key}.{inner}"),
        };
        inner.into_iter().map(name).collect::<Vec<_>>()
    };
    keys.flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_key_is_named_with_its_blocks() {
        let old = json!({"a": 1, "b": {"c": [1], "d": {"e": 1}}, "f": null});
        assert_eq!(changed(&old, &old), Vec::<String>::new());
        let new = json!({"a": 2, "b": {"c": [1, 2], "d": {}}, "f": {"g": 1}});
        assert_eq!(changed(&old, &new), ["a", "b.c", "b.d.e", "f"]);
    }

    #[test]
    fn flags_override_files_each_time_they_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.json");
        let flags = Raw { node_name: Some("flag".to_owned()), ..Raw::default() };
        let sources = Sources { files: vec![file.clone()], flags, dev: true };
        std::fs::write(&file, r#"{"node_name": "file", "log_level": "warn"}"#).unwrap();
        let first = sources.load().unwrap();
        assert_eq!(first.config.node.name, "flag".into());
        std::fs::write(&file, r#"{"node_name": "other", "log_level": "debug"}"#).unwrap();
        let second = sources.load().unwrap();
        assert_eq!(second.config.log_level, tracing::Level::DEBUG);
        assert_eq!(changed(&first.typed, &second.typed), ["log_level"]);
        std::fs::write(&file, "{").unwrap();
        assert!(sources.load().is_err());
    }
}
