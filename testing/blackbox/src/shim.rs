//! Compiles the preload shims, each once a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use crate::binary::workspace;
use crate::tools;

/// What becomes of one shim's compilation.
type Built = OnceLock<Result<PathBuf, String>>;

/// The shared object of `testing/shim/forgetful.c`: a disk that forgets.
pub fn library() -> Result<&'static Path> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, "forgetful")
}

/// The shared object of `testing/shim/clock.c`: a wall clock that is moved.
pub fn clock() -> Result<&'static Path> {
    static BUILT: Built = OnceLock::new();
    once(&BUILT, "clock")
}

fn once(built: &'static Built, name: &str) -> Result<&'static Path> {
    let built = built.get_or_init(|| compile(name).map_err(|e| format!("{e:#}")));
    built.as_deref().map_err(|e| anyhow::anyhow!("{e}"))
}

/// Into this build's directory. Two test processes may compile at once, so each writes a name of its own and renames
/// it.
fn compile(name: &str) -> Result<PathBuf> {
    let dir =
        std::env::current_exe()?.parent().expect("an executable lies in a directory").to_owned();
    let own = dir.join(format!("{name}-{}.so", std::process::id()));
    let shared = dir.join(format!("lib{name}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-fPIC", "-shared", "-o"]).arg(&own);
    cc.arg(workspace().join(format!("testing/shim/{name}.c"))).arg("-ldl");
    tools::printed(cc)?;
    std::fs::rename(own, &shared)?;
    Ok(shared)
}
