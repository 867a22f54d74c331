//! The short commands: each is a list of steps, and the list is the documentation.

use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{cargo, run, target_directory};
use crate::{suite, tidy};

/// Peers of the benchmarks: the program looked for and the Debian package that brings it.
const PEERS: &[&str] = &["knotd=knot", "etcd=etcd-server", "nginx=nginx-light"];

/// The benchmarks by name, in the order they run; one file each in `bench/src`.
const BENCHES: &[&str] = &[
    "dns",
    "dns-large",
    "register",
    "kv",
    "health",
    "memory",
    "idle",
    "waiters",
    "shared",
    "checks",
    "storm",
];

/// All that must hold before a change is done, cheapest first.
pub fn check() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--", "--check"]))?;
    tidy::refuse_the_untidy()?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

/// What of `check` can be mended by a program; tidy's complaints are for a person.
pub fn fix() -> Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--fix"];
    run(cargo(&clippy).args(["--allow-dirty", "--allow-staged"]))?;
    run(&mut cargo(&["fmt", "--all"]))?;
    tidy::refuse_the_untidy()
}

/// Runs the tests, comparing with the committed files or rewriting them.
pub fn golden(update: bool, krate: Option<&str>) -> Result<()> {
    let mut test = suite::cargo_test(krate);
    if update {
        test.env("UPDATE_GOLDEN", "1");
    }
    run(&mut test)
}

/// The simulated server, its log disk and its crashes, a run per seed.
pub fn sim(seeds: u32) -> Result<()> {
    let mut test = cargo(&["test", "--package", "consensus", "--", "sim", "--nocapture"]);
    run(test.env("RUTTER_SIM_SEEDS", seeds.to_string()))
}

/// The kill test of `testing/blackbox`, longer than `make test` has time for, and the log's bounds
/// on disk and memory after a million overwrites.
pub fn soak(kills: u32) -> Result<()> {
    let binary = suite::build_the_program()?;
    let mut test =
        cargo(&["test", "--package", "blackbox", "--", "forgetting_disk", "--nocapture"]);
    run(test.env("RUTTER_SOAK_KILLS", kills.to_string()).env("RUTTER_BIN", binary))?;
    let mut volume =
        cargo(&["test", "--package", "consensus", "--", "at_full_size", "--nocapture"]);
    run(volume.env("RUTTER_VOLUME", "1000000"))
}

/// Builds for release, installs the peers and runs the benchmarks named.
pub fn bench(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !BENCHES.contains(&name.as_str())) {
        bail!("no benchmark {unknown}; there are {}", BENCHES.join(", "));
    }
    run(Command::new(".ci/need").args(PEERS))?;
    run(&mut cargo(&["build", "--release", "--package", "cmd", "--package", "bench"]))?;
    let built = target_directory()?.join("release");
    let mut bench = Command::new(built.join("bench"));
    run(bench.args(names).env("RUTTER_BIN", built.join("rutter")))
}

/// One server on this machine, with a sample service, until Ctrl-C.
pub fn dev(arguments: &[String]) -> Result<()> {
    run(cargo(&["run", "--bin", "rutter", "--", "dev"]).args(arguments))
}

/// Continuous integration is a script, so that it also runs where cargo cannot yet.
pub fn ci() -> Result<()> {
    run(&mut Command::new(".ci/run"))
}
