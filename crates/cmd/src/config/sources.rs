//! Where a configuration comes from, so that it can be read again while the process runs.

use super::definitions::{Defined, Definition};
use super::protection::{Guard, refusals};
use super::resolve::{Use, resolve, scripts};
use super::{Config, Raw, Read, parse, read_file, sort};
use anyhow::{Context, anyhow, bail};
use lang::tree::{SyntaxError, Tree};
use model::{Check, Folded, Instance};
use seams::RegisterError;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Consul says it too; only whoever configures it can know who reaches the port.
const SCRIPTS_ARE_ON: &str = "enable_script_checks lets whoever reaches the HTTP port run programs \
                              here as the agent's user; enable_local_script_checks does not";

/// Consul listens there too and, without a certificate, ends each handshake. Its Go programs' test server always asks
/// for the port.
const NO_HTTPS: &str = "ports.https is accepted but has no effect in this version, which serves no \
                        TLS: nothing listens there";

/// Consul's words.
const SCRIPTS_ARE_OFF: &str = "Scripts are disabled on this agent; to enable, configure \
                               'enable_script_checks' or 'enable_local_script_checks' to true";

/// The language of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// HCL, version 1.
    Hcl,
    /// JSON.
    Json,
}

impl Format {
    /// Reads the name of one.
    pub fn named(name: &str) -> Result<Format, String> {
        match name {
            "hcl" => Ok(Format::Hcl),
            "json" => Ok(Format::Json),
            _ => Err("-config-format must be either 'hcl' or 'json'".to_owned()),
        }
    }

    /// What reads it.
    pub(super) fn reader(self) -> fn(&str) -> Result<Tree, SyntaxError> {
        match self {
            Format::Hcl => lang::hcl::parse,
            Format::Json => lang::hcl::parse_json,
        }
    }
}

/// The files and flags that a process was started with.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files and directories in the order given; later ones override.
    pub paths: Vec<PathBuf>,
    /// The language of all files; `None`: as their names say.
    pub format: Option<Format>,
    /// What the flags say that have a meaning here; it overrides every file.
    pub flags: Raw,
    /// What the other flags say, as keys of a file.
    pub other_flags: Option<Tree>,
    /// Texts in HCL, which override the flags.
    pub fragments: Vec<String>,
    /// Whether this is `-dev`.
    pub dev: bool,
    /// Whether nothing is to be started with it.
    pub only_checked: bool,
}

/// Each file with its size, its number on the disk and when it was written; nothing where it cannot
/// be looked at.
pub type Fingerprint = Vec<(PathBuf, Option<(u64, u64, i64, i64)>)>;

/// What was read.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// One warning for each key that has no effect.
    pub warnings: Vec<String>,
    /// All of it as typed, to compare with what is read later.
    pub typed: serde_json::Value,
    /// Each with its file.
    definitions: Vec<(String, Definition)>,
}

/// All files and flags together.
#[derive(Default)]
struct Gathered {
    raw: Raw,
    warnings: Vec<String>,
    places: Vec<(String, String)>,
    complaints: Vec<String>,
    guards: Vec<Guard>,
    definitions: Vec<(String, Definition)>,
}

impl Gathered {
    fn take(&mut self, shown: &str, read: Read) {
        self.raw.merge(read.raw);
        self.warnings.extend(read.warnings);
        self.places.extend(read.places);
        self.guards.extend(read.guards);
        self.complaints.extend(read.complaints);
        let definitions = read.definitions.into_iter();
        self.definitions.extend(definitions.map(|definition| (shown.to_owned(), definition)));
    }

    /// A complaint about a key, with the place where the key was said last.
    fn placed(&self, complaint: String) -> String {
        let about = |key: &str| {
            let rest = complaint.strip_prefix(key);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let found = self.places.iter().filter(|(key, _)| about(key));
        match found.max_by_key(|(key, _)| key.len()).map(|(key, _)| key) {
            Some(key) => {
                let last = self.places.iter().rev().find(|(other, _)| other == key);
                last.map_or(complaint.clone(), |(_, place)| format!("{place}: {complaint}"))
            }
            None => complaint,
        }
    }
}

impl Sources {
    /// Reads all files and resolves what they and the flags say; an error tells everything that is
    /// wrong, a line each.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let mut all = self.gather();
        all.complaints.extend(refusals(&all.guards));
        let wanted = match (self.dev, self.only_checked) {
            (true, _) => Use::Dev,
            (false, true) => Use::Check,
            (false, false) => Use::Serve,
        };
        let resolved = resolve(all.raw.clone(), wanted);
        if let Err(errors) = &resolved {
            let told: Vec<String> = errors.0.iter().map(|why| all.placed(why.clone())).collect();
            all.complaints.extend(told);
        }
        let scripts = scripts(&all.raw);
        for (file, definition) in &all.definitions {
            let place = definition.place.line;
            let complaints = complaints(definition, scripts);
            all.complaints.extend(complaints.map(|why| format!("{file}:{place}: {why}")));
        }
        if !all.complaints.is_empty() {
            all.complaints.dedup();
            bail!("{}", all.complaints.join("\n"));
        }
        let config = resolved?;
        if config.checks.scripts == agent::Scripts::On {
            all.warnings.push(SCRIPTS_ARE_ON.to_owned());
        }
        if all.raw.ports.https.is_some_and(|port| port > 0) {
            all.warnings.push(NO_HTTPS.to_owned());
        }
        all.warnings.extend(config.warnings.iter().cloned());
        let (typed, definitions) = (serde_json::to_value(&all.raw)?, all.definitions);
        let mut loaded = Loaded { config, warnings: Vec::new(), typed, definitions };
        all.warnings.extend(loaded.undiscoverable());
        if self.only_checked {
            all.warnings.extend(loaded.absent_services());
        }
        for warning in all.warnings {
            if !loaded.warnings.contains(&warning) {
                loaded.warnings.push(warning);
            }
        }
        Ok(loaded)
    }

    fn gather(&self) -> Gathered {
        let raw = if self.dev { Raw::dev() } else { Raw::default() };
        let mut all = Gathered { raw, ..Gathered::default() };
        for path in &self.paths {
            match self.files(path) {
                Ok(Files { files, skipped }) => {
                    all.warnings.extend(skipped);
                    for file in files {
                        all.take(&file.display().to_string(), read_file(&file, self.format));
                    }
                }
                Err(error) => all.complaints.push(format!("{error:#}")),
            }
        }
        if let Some(flags) = &self.other_flags {
            all.take("flags", sort(flags.clone(), "flags"));
        }
        all.raw.merge(self.flags.clone());
        for (n, fragment) in self.fragments.iter().enumerate() {
            let shown = format!("flags-{n}.hcl");
            all.take(&shown, parse(fragment, Format::Hcl.reader(), &shown));
        }
        all
    }

    /// The files that a path stands for: of a directory those in it whose names say their language,
    /// in order, and not those of directories in it.
    fn files(&self, path: &Path) -> anyhow::Result<Files> {
        let shown = path.display();
        let kind = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
        if !kind.is_dir() {
            return Ok(Files { files: vec![path.to_owned()], skipped: Vec::new() });
        }
        let (mut files, mut skipped) = (Vec::new(), Vec::new());
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {shown}"))?;
        for entry in entries {
            let file = entry.with_context(|| format!("cannot read {shown}"))?.path();
            // What a link leads to counts; one that leads nowhere is told as a file is.
            if std::fs::metadata(&file).is_ok_and(|is| is.is_dir()) {
                continue;
            }
            let ending = file.extension().and_then(|ending| ending.to_str());
            if self.format.is_some() || matches!(ending, Some("hcl" | "json")) {
                files.push(file);
            } else {
                skipped.push(format!(
                    "skipping file {}, extension must be .hcl or .json, or config format must be \
                     set",
                    file.display()
                ));
            }
        }
        files.sort();
        skipped.sort();
        Ok(Files { files, skipped })
    }

    /// What tells whether something was written anew.
    pub fn fingerprint(&self) -> Fingerprint {
        let listed = |path: &PathBuf| match self.files(path) {
            Ok(Files { files, .. }) => files,
            Err(_) => vec![path.clone()],
        };
        let seen = |file: PathBuf| {
            let found = std::fs::metadata(&file);
            let told = found.map(|is| (is.len(), is.ino(), is.mtime(), is.mtime_nsec()));
            (file, told.ok())
        };
        self.paths.iter().flat_map(listed).map(seen).collect()
    }
}

struct Files {
    files: Vec<PathBuf>,
    skipped: Vec<String>,
}

/// Why an agent with these settings would not take a definition.
fn complaints(
    definition: &Definition,
    scripts: agent::Scripts,
) -> impl Iterator<Item = String> + use<> {
    let checks = match &definition.defined {
        Defined::Service(service) => service.registration.checks.clone(),
        Defined::Check(check) => vec![Check::clone(check)],
    };
    checks.into_iter().filter_map(move |check| {
        let run = check.definition.as_deref()?;
        if scripts == agent::Scripts::Off && agent::is_script(run) {
            return Some(format!("check {:?}: {SCRIPTS_ARE_OFF}", check.id.as_str()));
        }
        let kind = agent::unsupported(run)?;
        Some(format!("check {:?}: {kind} checks are not supported", check.id.as_str()))
    })
}

impl Loaded {
    /// What the files define, for an agent that has these instances registered already.
    pub fn definitions(&self, registered: Vec<Instance>) -> anyhow::Result<agent::Definitions> {
        let mut found = agent::Definitions::default();
        let mut known = registered;
        for (_, Definition { defined, .. }) in &self.definitions {
            match defined {
                Defined::Service(service) => {
                    let sidecar = service.sidecar(&known).map_err(anyhow::Error::msg)?;
                    found.services.push(service.registration.clone());
                    known.extend(sidecar.iter().map(|sidecar| sidecar.instance.clone()));
                    found.services.extend(sidecar);
                }
                Defined::Check(check) => found.checks.push(Check::clone(check)),
            }
        }
        Ok(found)
    }

    /// What was refused, by the file and line of each check that it is about.
    pub fn refused(&self, error: RegisterError, registered: &[Instance]) -> anyhow::Error {
        let RegisterError::UnknownInstance(id) = &error else { return error.into() };
        let id = Folded::new(id);
        let known: Vec<Folded> = registered.iter().map(|is| is.id.fold()).collect();
        let absent = self.checks_without_service().unwrap_or_default().into_iter();
        let absent = absent.filter(|(_, check)| {
            let wanted = check.instance.fold();
            wanted == id || !known.contains(&wanted)
        });
        let told = absent.map(|(place, check)| {
            let (id, of) = (check.id.as_str(), check.instance.as_str());
            format!("{place}: check {id:?}: unknown service id {of:?}")
        });
        match told.collect::<Vec<_>>() {
            told if told.is_empty() => error.into(),
            told => anyhow!(told.join("\n")),
        }
    }

    /// A warning for each check on a service that no file defines.
    fn absent_services(&self) -> Vec<String> {
        let told = |(place, check): (String, &Check)| {
            let (id, of) = (check.id.as_str(), check.instance.as_str());
            format!(
                "{place}: check {id:?}: no file defines service {of:?}; it must be registered \
                 through the API"
            )
        };
        self.checks_without_service().unwrap_or_default().into_iter().map(told).collect()
    }

    /// The checks on services that no file defines, and where they stand.
    fn checks_without_service(&self) -> anyhow::Result<Vec<(String, &Check)>> {
        let defined = self.definitions(Vec::new())?.services;
        let defined: Vec<Folded> = defined.iter().map(|is| is.instance.id.fold()).collect();
        let absent = self.definitions.iter().filter_map(|(file, is)| match &is.defined {
            Defined::Check(check) => {
                let absent =
                    !check.instance.is_empty() && !defined.contains(&check.instance.fold());
                absent.then(|| (format!("{file}:{}", is.place.line), &**check))
            }
            Defined::Service(_) => None,
        });
        Ok(absent.collect())
    }

    /// A warning for each name that DNS cannot answer.
    fn undiscoverable(&self) -> Vec<String> {
        let told = |(file, is): &(String, Definition)| match &is.defined {
            Defined::Service(service) => {
                let told = agent::undiscoverable_names(&service.registration.instance).into_iter();
                told.map(|told| format!("{file}:{}: {told}", is.place.line)).collect()
            }
            Defined::Check(_) => Vec::new(),
        };
        self.definitions.iter().flat_map(told).collect()
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

    fn sources(paths: &[&Path]) -> Sources {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        Sources { paths, dev: true, ..Sources::default() }
    }

    #[test]
    fn flags_override_files_each_time_they_are_read_and_fragments_override_flags() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.json");
        let flags = Raw { node_name: Some("flag".to_owned()), ..Raw::default() };
        let sources = Sources { flags, ..sources(&[&file]) };
        std::fs::write(&file, r#"{"node_name": "file", "log_level": "warn"}"#).unwrap();
        let first = sources.load().unwrap();
        assert_eq!(first.config.node.name, "flag".into());
        std::fs::write(&file, r#"{"node_name": "other", "log_level": "debug"}"#).unwrap();
        let second = sources.load().unwrap();
        assert_eq!(second.config.log_level, tracing::Level::DEBUG);
        assert_eq!(changed(&first.typed, &second.typed), ["log_level"]);
        let fragments = vec!["node_name = \"fragment\"".to_owned(), "check {}".to_owned()];
        let sources = Sources { fragments, ..sources };
        let error = sources.load().map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "flags-1.hcl:1: check: Missing check name");
        let sources = Sources { fragments: sources.fragments[..1].to_vec(), ..sources };
        assert_eq!(sources.load().unwrap().config.node.name, "fragment".into());
        std::fs::write(&file, "{").unwrap();
        assert!(sources.load().is_err());
    }

    #[test]
    fn a_directory_is_its_files_in_order_and_lists_append() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("b.hcl"), "datacenter = \"b\"\nservice { name = \"web\" }").unwrap();
        std::fs::write(at("a.json"), r#"{"datacenter": "a", "services": [{"name": "db"}]}"#)
            .unwrap();
        std::fs::write(at("notes.txt"), "not read").unwrap();
        std::fs::create_dir(at("inner.hcl")).unwrap();
        std::fs::write(at("inner.hcl/c.hcl"), "nope = 1").unwrap();
        let loaded = sources(&[directory.path(), &at("a.json")]).load().unwrap();
        // The file that is read twice is read last.
        assert_eq!(loaded.config.datacenter, "a");
        let names = loaded.definitions(Vec::new()).unwrap().services;
        let names: Vec<_> = names.iter().map(|is| is.instance.id.to_string()).collect();
        assert_eq!(names, ["db", "web", "db"]);
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("notes.txt, extension must be"));
        let all = Sources { format: Some(Format::Hcl), ..sources(&[directory.path()]) };
        let error = all.load().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("notes.txt:1:"), "{error}");
    }

    #[test]
    fn what_is_wrong_in_several_files_is_told_at_once_each_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("a.hcl"), "datacenter = \"a b\"\nlog_level = \"loud\"").unwrap();
        std::fs::write(at("b.hcl"), "\ncheck { name = \"c\" args = [\"x\"] interval = \"1s\" }")
            .unwrap();
        std::fs::write(at("c.json"), "{").unwrap();
        let absent = at("absent.hcl");
        let error = sources(&[directory.path(), &absent]).load().map(|_| ()).unwrap_err();
        let shown = directory.path().display().to_string();
        let told = error.to_string().replace(&shown, "");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "/c.json:1:2: expected a key in double quotes, found the end of the file",
                "cannot read /absent.hcl: No such file or directory (os error 2)",
                "/a.hcl:1: datacenter can only contain lowercase alphanumeric, - or _ characters.",
                "/a.hcl:2: log_level \"loud\" is none of trace, debug, info, warn, err",
                "/b.hcl:2: check \"c\": Scripts are disabled on this agent; to enable, configure \
             'enable_script_checks' or 'enable_local_script_checks' to true",
            ]
        );
    }

    fn checked(text: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.hcl"), format!("data_dir = \"/x\"\n{text}"))
            .unwrap();
        let paths = vec![directory.path().to_owned()];
        let sources = Sources { paths, only_checked: true, ..Sources::default() };
        let shown = format!("{}/", directory.path().display());
        match sources.load() {
            Ok(loaded) => Ok(loaded.warnings.iter().map(|told| told.replace(&shown, "")).collect()),
            Err(error) => Err(error.to_string().replace(&shown, "")),
        }
    }

    #[test]
    fn what_cannot_be_found_is_warned_of_with_its_line() {
        let invalid = "will not be discoverable via DNS due to invalid characters. Valid characters \
                       include all alpha-numerics and dashes.";
        let absent = |line, id, of| {
            format!(
                "a.hcl:{line}: check {id:?}: no file defines service {of:?}; it must be registered \
                 through the API"
            )
        };
        let check = |id, of| {
            format!("check {{ id = {id:?} name = \"c\" ttl = \"9s\" service_id = {of:?} }}")
        };
        let node = |name: &str, rest: &str| format!("node_name = {name:?}\n{rest}");
        for (text, told) in [
            (node("n", &check("c", "zz")), vec![absent(3, "c", "zz")]),
            (node("n", &check("c", "")), vec![]),
            (node("n", &format!("{}\nservice {{ name = \"web\" }}", check("c", "WEB"))), vec![]),
            (
                node("n", &format!("{}\n{}", check("c", "zz"), check("d", "yy"))),
                vec![absent(3, "c", "zz"), absent(4, "d", "yy")],
            ),
            (node("a.b", ""), vec![format!("Node name \"a.b\" {invalid}")]),
            (
                node("n", "service { name = \"a_b\" tags = [\"v1\", \"v.2\"] }"),
                vec![
                    format!("a.hcl:3: Service name \"a_b\" {invalid}"),
                    format!("a.hcl:3: Service tag \"v.2\" {invalid}"),
                ],
            ),
        ] {
            assert_eq!(checked(&text), Ok(told), "{text}");
        }
    }

    #[test]
    fn checks_on_services_that_are_not_there_are_refused_with_their_lines() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.hcl");
        let check = |id, of| {
            format!("check {{ id = {id:?} name = \"c\" ttl = \"9s\" service_id = {of:?} }}\n")
        };
        let text = [check("a", "xx"), check("b", "there"), check("c", "zz")].concat();
        std::fs::write(&file, text).unwrap();
        let loaded = sources(&[&file]).load().unwrap();
        let there = [Instance { id: "there".into(), ..Instance::default() }];
        let error = loaded.refused(RegisterError::UnknownInstance("xx".to_owned()), &there);
        let shown = file.display().to_string();
        assert_eq!(
            error.to_string().replace(&shown, "FILE"),
            "FILE:1: check \"a\": unknown service id \"xx\"\n\
             FILE:3: check \"c\": unknown service id \"zz\""
        );
        let other = loaded.refused(RegisterError::ScriptsDisabled, &there);
        assert_eq!(other.to_string(), RegisterError::ScriptsDisabled.to_string());
    }

    #[test]
    fn the_last_file_switches_a_protection_off_or_on() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (on, off) = (at("on.hcl"), at("off.hcl"));
        std::fs::write(&on, "acl { enabled = true\ndefault_policy = \"deny\" }").unwrap();
        std::fs::write(&off, "acl { enabled = false }").unwrap();
        assert!(sources(&[&on, &off]).load().is_ok());
        let error = sources(&[&off, &on]).load().map(|_| ()).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].contains("on.hcl:1: acl.enabled asks for protection"), "{error}");
        assert!(lines[1].contains("on.hcl:2: acl.default_policy asks for protection"), "{error}");
    }

    #[test]
    fn a_file_that_is_written_anew_has_another_fingerprint() {
        let directory = tempfile::tempdir().unwrap();
        let sources = sources(&[directory.path()]);
        let empty = sources.fingerprint();
        std::fs::write(directory.path().join("a.hcl"), "server = true").unwrap();
        let one = sources.fingerprint();
        assert_ne!(empty, one);
        assert_eq!(one, sources.fingerprint());
        let new = directory.path().join("new");
        std::fs::write(&new, "server = true").unwrap();
        std::fs::rename(&new, directory.path().join("a.hcl")).unwrap();
        assert_ne!(one, sources.fingerprint());
    }
}
