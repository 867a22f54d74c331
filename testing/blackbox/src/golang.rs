//! Go programs, built into `target/go`: ours from `testing/clients/go`, and other people's by `go install`.
//!
//! Modules, compiled packages and programs all lie there, so that what was built once costs a second run nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Result, anyhow};

use crate::binary::workspace;
use crate::tools::{present, printed, skip};

/// What was built since this process began, by name; `None` is what could not be fetched.
static BUILT: Mutex<BTreeMap<String, Result<Option<PathBuf>, String>>> =
    Mutex::new(BTreeMap::new());

/// The program of `testing/clients/go/NAME`. Nothing where `go` or the modules cannot be had, which is a skip.
pub fn program(test: &str, name: &str) -> Result<Option<PathBuf>> {
    once(test, name, || {
        let from = workspace().join("testing/clients/go").join(name);
        if let Err(unreachable) = printed(go(&["mod", "download"], &from)) {
            eprintln!("{unreachable:#}");
            return Ok(None);
        }
        let program = root().join("bin").join(name);
        let mut build = go(&["build", "-o"], &from);
        build.arg(&program).arg(".");
        printed(build)?;
        Ok(Some(program))
    })
}

/// Another's program, by `go install PACKAGE@VERSION`. Nothing where it cannot be had, which is a skip.
pub fn installed(test: &str, package: &str, version: &str) -> Result<Option<PathBuf>> {
    let name = package.rsplit('/').next().unwrap_or(package);
    once(test, &format!("{name}-{version}"), || {
        let into = root().join("bin").join(format!("{name}-{version}"));
        let program = into.join(name);
        if !program.is_file() {
            let mut install = go(&["install"], &root());
            install.arg(format!("{package}@{version}")).env("GOBIN", into);
            if let Err(unreachable) = printed(install) {
                eprintln!("{unreachable:#}");
                return Ok(None);
            }
        }
        Ok(Some(program))
    })
}

/// Builds one at a time, and each once in a process: a test that comes second waits and takes what is there.
fn once(
    test: &str,
    name: &str,
    build: impl FnOnce() -> Result<Option<PathBuf>>,
) -> Result<Option<PathBuf>> {
    if !present(test, &["go"]) {
        return Ok(None);
    }
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let result = built.entry(name.to_owned()).or_insert_with(|| {
        std::fs::create_dir_all(root()).map_err(|error| error.to_string())?;
        build().map_err(|error| format!("{error:#}"))
    });
    let result = result.clone();
    drop(built); // a skip panics where nothing may be skipped
    let program = result.map_err(|error| anyhow!("{name}: {error}"))?;
    if program.is_none() {
        skip(test, &format!("the Go modules of {name} cannot be fetched"));
    }
    Ok(program)
}

/// Where all of it lies: `target/go`.
fn root() -> PathBuf {
    let here = std::env::current_exe().expect("a running test has an executable");
    here.ancestors().nth(3).expect("test executables lie in target/PROFILE/deps").join("go")
}

/// `go` with its directories in ours, whatever the user's settings are. Two packages are compiled at a time, since other
/// tests run meanwhile.
fn go(words: &[&str], from: &Path) -> Command {
    let mut go = Command::new("go");
    go.args(words).current_dir(from).env("GOPATH", root()).env("GOCACHE", root().join("cache"));
    go.env("GOFLAGS", "-p=2 -modcacherw -buildvcs=false -mod=readonly");
    go.env("GOWORK", "off").env("CGO_ENABLED", "0").env_remove("GOBIN").env_remove("GOMODCACHE");
    go
}
