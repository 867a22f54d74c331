//! Finds the real binary, built first when it is stale. `RUTTER_BIN` names another one, taken as it is.
//!
//! Cargo tells only `cmd`'s own tests where its binary lies, so it is looked for beside this test executable.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of the `rutter` under test. Panics with the compiler's output when it cannot be built.
pub fn rutter() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os("RUTTER_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("testing/blackbox lies two levels below the workspace")
        .to_path_buf()
}

fn build() -> PathBuf {
    let here = std::env::current_exe().expect("a running test has an executable");
    let profile_dir = here.ancestors().nth(2).expect("test executables lie in target/PROFILE/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "cmd", "--bin", "rutter"]);
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    let built =
        cargo.current_dir(workspace()).output().expect("cargo runs the tests, so it is here");
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "rutter does not build:\n{complaint}");
    profile_dir.join("rutter")
}
