//! Compiles the preload shim once a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use crate::binary::workspace;
use crate::tools;

/// The shared object of `testing/shim/forgetful.c`, compiled into this build's directory.
pub fn library() -> Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| compile().map_err(|e| format!("{e:#}")));
    built.as_deref().map_err(|e| anyhow::anyhow!("{e}"))
}

/// Two test processes may compile at once, so each writes a name of its own and renames it.
fn compile() -> Result<PathBuf> {
    let dir =
        std::env::current_exe()?.parent().expect("an executable lies in a directory").to_owned();
    let (own, shared) =
        (dir.join(format!("forgetful-{}.so", std::process::id())), dir.join("libforgetful.so"));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-fPIC", "-shared", "-o"]).arg(&own);
    cc.arg(workspace().join("testing/shim/forgetful.c")).arg("-ldl");
    tools::printed(cc)?;
    std::fs::rename(own, &shared)?;
    Ok(shared)
}
