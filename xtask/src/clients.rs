//! Installs other people's clients of Consul into `target/clients`, pinned, once.
//!
//! The black-box tests run our programs in `testing/clients` with them. Nothing is installed outside of `target`, and
//! nothing is fetched again until the list of what is pinned changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::shell;

/// One package manager's clients.
struct Set {
    /// Their directory in `target/clients`.
    name: &'static str,
    /// What is pinned, in `testing/clients/NAME`.
    pins: &'static [&'static str],
    /// Installs into the directory given.
    install: fn(&Path) -> Command,
}

const SETS: &[Set] = &[
    Set { name: "python", pins: &["requirements.txt"], install: pip },
    Set { name: "patroni", pins: &["requirements.txt"], install: pip },
    Set { name: "node", pins: &["package.json", "package-lock.json"], install: npm },
];

fn pip(to: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.arg("--target").arg(to).arg("--requirement").arg(to.join("requirements.txt"));
    pip
}

fn npm(to: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(to);
    npm
}

/// Installs all that is not there yet. One that cannot be installed is a warning, and its tests report the skip; where
/// all are `required` it is an error.
pub fn install(required: bool) -> Result<PathBuf> {
    let root = shell::target_directory()?.join("clients");
    install_each(SETS, Path::new("testing/clients"), &root, required)?;
    Ok(root)
}

fn install_each(sets: &[Set], pinned_in: &Path, root: &Path, required: bool) -> Result<()> {
    for set in sets {
        let to = root.join(set.name);
        let from = pinned_in.join(set.name);
        if installed(&from, &to, set.pins) {
            continue;
        }
        if let Err(error) = anew(&from, &to, set) {
            let _ = std::fs::remove_file(to.join(READY));
            let what = format!("the {} clients are not installed", set.name);
            if required {
                return Err(error.context(what));
            }
            eprintln!("warning: {what}: {error:#}");
        }
    }
    Ok(())
}

/// The file that says that an installation came to its end; it holds what was pinned then.
const READY: &str = "ready";

fn installed(from: &Path, to: &Path, pins: &[&str]) -> bool {
    let wanted = pinned(from, pins).ok();
    wanted.is_some() && wanted == std::fs::read_to_string(to.join(READY)).ok()
}

fn pinned(from: &Path, pins: &[&str]) -> Result<String> {
    let texts = pins.iter().map(|pin| {
        let path = from.join(pin);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    });
    texts.collect()
}

fn anew(from: &Path, to: &Path, set: &Set) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to).with_context(|| format!("remove {}", to.display()))?;
    }
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for pin in set.pins {
        std::fs::copy(from.join(pin), to.join(pin)).with_context(|| format!("copy {pin}"))?;
    }
    shell::run((set.install)(to).stdin(Stdio::null()))?;
    std::fs::write(to.join(READY), pinned(from, set.pins)?).context("write that it is ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_what_was_pinned_when_it_came_to_its_end() {
        let directory = std::env::temp_dir().join(format!("xtask-clients-{}", std::process::id()));
        let (from, to) = (directory.join("from"), directory.join("to"));
        std::fs::create_dir_all(&from).unwrap();
        let set = Set { name: "x", pins: &["list"], install: |_| Command::new("true") };
        assert!(!installed(&from, &to, set.pins), "nothing is pinned");
        std::fs::write(from.join("list"), "a==1").unwrap();
        assert!(!installed(&from, &to, set.pins));
        anew(&from, &to, &set).unwrap();
        assert!(installed(&from, &to, set.pins));
        std::fs::write(from.join("list"), "a==2").unwrap();
        assert!(!installed(&from, &to, set.pins), "another version is pinned");
        let failing = Set { install: |_| Command::new("false"), ..set };
        assert!(anew(&from, &to, &failing).is_err());
        assert!(!installed(&from, &to, failing.pins), "it did not come to its end");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_cannot_be_installed_is_an_error_only_where_it_is_required() {
        let directory = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
        let (pinned_in, root) = (directory.join("pinned"), directory.join("root"));
        for name in ["a", "b"] {
            std::fs::create_dir_all(pinned_in.join(name)).unwrap();
            std::fs::write(pinned_in.join(name).join("list"), "a==1").unwrap();
        }
        let set = |name, install| Set { name, pins: &["list"], install };
        let sets = [set("a", |_| Command::new("false")), set("b", |_| Command::new("true"))];
        let there = || ["a", "b"].map(|name| root.join(name).join(READY).exists());

        let error = install_each(&sets, &pinned_in, &root, true).unwrap_err();
        assert!(error.to_string().contains("the a clients are not installed"), "{error:#}");
        install_each(&sets, &pinned_in, &root, false).unwrap();
        assert_eq!(there(), [false, true], "the others are installed");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
