//! Other people's client libraries walk through the API: the programs are in `testing/clients`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use blackbox::binary::workspace;
use blackbox::server::Launch;
use blackbox::tools::{present, printed, skip};

/// Where `cargo xtask test` installs the clients of one kind; nothing where they are not, which is a skip.
pub(crate) fn installed(test: &str, kind: &str) -> Option<PathBuf> {
    let root = std::env::var_os("RUTTER_CLIENTS").map(PathBuf::from);
    let dir = root.unwrap_or_else(|| workspace().join("target/clients")).join(kind);
    let missing = !dir.join("ready").is_file();
    let why = format!("no clients in target/clients/{kind}; `cargo xtask test blackbox` installs");
    if missing && skip(test, &why) { None } else { Some(dir) }
}

/// Runs a program against a server in memory and one on disk; it must come to its last line.
fn walk(program: impl Fn() -> Command) -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        let server = launch.start()?;
        let mut command = program();
        command.arg(server.http.ip().to_string()).arg(server.http.port().to_string());
        let said = printed(command)?;
        ensure!(said.ends_with("walked through\n"), "it ended early:\n{said}");
    }
    Ok(())
}

#[test]
fn py_consul_walks_through_the_api() -> Result<()> {
    let test = "py_consul_walks_through_the_api";
    if !present(test, &["python3"]) {
        return Ok(());
    }
    let Some(packages) = installed(test, "python") else { return Ok(()) };
    walk(|| {
        let mut python = Command::new("python3");
        python.arg("-B").arg(workspace().join("testing/clients/python/walk.py"));
        python.env("PYTHONPATH", &packages).env_remove("CONSUL_HTTP_TOKEN");
        python
    })
}

#[test]
fn the_npm_package_consul_walks_through_the_api() -> Result<()> {
    let test = "the_npm_package_consul_walks_through_the_api";
    if !present(test, &["node"]) {
        return Ok(());
    }
    let Some(packages) = installed(test, "node") else { return Ok(()) };
    walk(|| {
        let mut node = Command::new("node");
        node.arg(workspace().join("testing/clients/node/walk.js"));
        node.env("NODE_PATH", packages.join("node_modules"));
        node
    })
}
