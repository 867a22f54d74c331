//! Running other programs: every step is announced, and a failing step ends the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The programs that the tests call, beside the package of Debian that brings each.
pub const TOOLS: &[&str] = &[
    "dig",
    "curl",
    "python3",
    "pip3",
    "node",
    "npm",
    "go",
    "cc",
    "c++",
    "ip",
    "haproxy",
    "dnsmasq",
    "uwsgi",
    "uwsgi_python3",
    "pg_ctlcluster",
    "prometheus",
    "valgrind",
];

/// Makes the workspace's root the working directory, wherever the command was typed.
pub fn enter_the_workspace() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask has no parent directory")?;
    // A checkout that moved after xtask was built still works from its own root.
    if root.is_dir() {
        std::env::set_current_dir(root).with_context(|| format!("enter {}", root.display()))?;
    }
    Ok(())
}

/// A call of the cargo that called us.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs a step with our own output, and fails when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", spell(command));
    let status = command.status().with_context(|| format!("start {}", spell(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", spell(command));
    }
    Ok(())
}

/// What a quiet step printed; fails when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", spell(command)))?;
    if !done.status.success() {
        bail!("{} failed ({})", spell(command), done.status);
    }
    String::from_utf8(done.stdout).context("output is not UTF-8")
}

/// Where cargo puts what it builds.
pub fn target_directory() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Those of `tools` that no directory of `PATH` (or the administrator's) holds.
pub fn missing_tools<'a>(tools: &[&'a str]) -> Vec<&'a str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.push("/usr/sbin".into());
    let held = |tool: &str| directories.iter().any(|directory| directory.join(tool).is_file());
    tools.iter().copied().filter(|tool| !held(tool)).collect()
}

/// Whether a run may not skip anything (`REQUIRE_ALL=1`).
pub fn requires_all() -> bool {
    std::env::var("REQUIRE_ALL").is_ok_and(|value| value == "1")
}

/// Whether a run must bring what it can fetch: `REQUIRE_ALL=1`, or a service that sets `CI`, as they all do, and not
/// `REQUIRE_ALL=0`. Elsewhere someone may work without a network.
pub fn requires_what_is_fetched() -> bool {
    let value = |name| std::env::var(name).ok();
    is_required(value("REQUIRE_ALL").as_deref(), value("CI").as_deref())
}

fn is_required(require_all: Option<&str>, ci: Option<&str>) -> bool {
    match require_all {
        Some("1") => true,
        Some("0") => false,
        _ => ci.is_some_and(|value| !matches!(value, "" | "0" | "false")),
    }
}

fn spell(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_required_where_it_is_said_and_where_nobody_watches() {
        let check = |require_all, ci, expected| {
            assert_eq!(is_required(require_all, ci), expected, "{require_all:?} {ci:?}");
        };
        check(None, None, false);
        check(Some("1"), None, true);
        check(None, Some("true"), true);
        check(None, Some("1"), true);
        check(Some(""), Some("true"), true);
        check(Some("0"), Some("true"), false);
        check(None, Some("false"), false);
        check(None, Some(""), false);
    }
}
