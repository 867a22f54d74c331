//! The fuzzer: built once, its targets run side by side, each for a while, counted like tests.
//!
//! Crates of ours are compiled by `fuzz/instrument`; what others wrote is the release build's own, so that both
//! share it. What a run finds worth keeping stays in `target/fuzz/TARGET` for the next; a find is a file there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use crate::shell::{self, cargo};
use crate::suite::Tally;

/// How long each target runs in `cargo xtask test`.
pub const SECONDS: u64 = 20;

/// What one input may take: seconds, and a process in all, in MB. The targets themselves hold inputs to far less.
const LIMITS: &[&str] = &["-timeout=30", "-rss_limit_mb=1024"];

/// In the tests each run draws the same numbers: a test that finds something one time in ten blames whoever comes
/// along. `cargo xtask fuzz` draws others each time.
const SAME_EVERY_TIME: &[&str] = &["-seed=1"];

/// The compiler that libFuzzer needs.
const COMPILER: &str = "c++";

/// Runs the targets for so many seconds each; fails where one finds something.
pub fn fuzz(target: Option<&str>, seconds: u64, input: Option<&Path>) -> Result<()> {
    let fuzzer = Fuzzer::build()?;
    let targets = match target {
        Some(name) => vec![fuzzer.target(name)?],
        None => fuzzer.targets.clone(),
    };
    if let Some(input) = input {
        let [name] = &targets[..] else { bail!("which target is {} for?", input.display()) };
        return shell::run(fuzzer.start(name).arg(input));
    }
    let failed = fuzzer.run_all(&targets, seconds, &[])?;
    if failed > 0 {
        bail!("{failed} targets found something");
    }
    Ok(())
}

/// The same for the tests' tally: without a C++ compiler every target is skipped.
pub fn counted() -> Result<Tally> {
    if !shell::missing_tools(&[COMPILER]).is_empty() {
        let targets = targets()?.len() as u64;
        println!(
            "SKIPPED: {targets} fuzz targets: there is no {COMPILER} (Debian's package is g++)"
        );
        return Ok(Tally { skipped: targets, ..Tally::default() });
    }
    let fuzzer = Fuzzer::build()?;
    println!("\nrunning {} fuzz targets, {SECONDS} s each", fuzzer.targets.len());
    let failed = fuzzer.run_all(&fuzzer.targets, SECONDS, SAME_EVERY_TIME)? as u64;
    let passed = fuzzer.targets.len() as u64 - failed;
    Ok(Tally { passed, failed, skipped: 0 })
}

/// Adds to each corpus the fewest of the inputs found here that reach what no input of it does.
pub fn collect() -> Result<()> {
    let fuzzer = Fuzzer::build()?;
    for target in &fuzzer.targets {
        let mut merge = fuzzer.start(target);
        // By edges, not by how often each is taken: a tenth of the files.
        merge.args(["-set_cover_merge=1", "-use_counters=0", "-max_len=4096"]);
        merge.arg(corpus(target)).arg(fuzzer.found(target)?);
        shell::run(merge.stdout(Stdio::null()).stderr(Stdio::null()))?;
    }
    Ok(())
}

fn corpus(target: &str) -> PathBuf {
    Path::new("fuzz/corpus").join(target)
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))
}

/// The targets by name: each has its inputs in a directory.
fn targets() -> Result<Vec<String>> {
    let entries = std::fs::read_dir("fuzz/corpus").context("read fuzz/corpus")?;
    let names: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names: Vec<String> =
        names?.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

struct Fuzzer {
    program: PathBuf,
    /// Where runs leave what they found.
    home: PathBuf,
    targets: Vec<String>,
}

impl Fuzzer {
    fn build() -> Result<Fuzzer> {
        let instrument = std::env::current_dir()?.join("fuzz/instrument");
        let mut build = cargo(&["build", "--release", "--package", "fuzz", "--features", "fuzzer"]);
        shell::run(build.env("RUSTC_WORKSPACE_WRAPPER", instrument))?;
        let target = shell::target_directory()?;
        let (program, home) = (target.join("release/fuzz"), target.join("fuzz"));
        Ok(Fuzzer { program, home, targets: targets()? })
    }

    fn target(&self, name: &str) -> Result<String> {
        match self.targets.iter().find(|known| *known == name) {
            Some(known) => Ok(known.clone()),
            None => bail!("no target {name}; there are {}", self.targets.join(", ")),
        }
    }

    /// The program, set to a target.
    fn start(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("RUTTER_FUZZ_TARGET", target).args(LIMITS);
        command
    }

    /// Where inputs are kept that reached something new.
    fn found(&self, target: &str) -> Result<PathBuf> {
        let found = self.home.join(target);
        make(&found)?;
        Ok(found)
    }

    /// Runs these targets, as many at a time as there are processors; says how many failed.
    fn run_all(&self, targets: &[String], seconds: u64, more: &[&str]) -> Result<usize> {
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Ok(0));
        let workers =
            std::thread::available_parallelism().map_or(1, usize::from).min(targets.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let is_well = self.run(target, seconds, more);
                        let mut failures = failures.lock().expect("no worker panics");
                        match (is_well, &mut *failures) {
                            (Ok(true), _) | (_, Err(_)) => {}
                            (Ok(false), Ok(count)) => *count += 1,
                            (Err(error), failures) => *failures = Err(error),
                        }
                    }
                });
            }
        });
        failures.into_inner().expect("no worker panics")
    }

    /// Runs one target; true where nothing was found. All that it says goes to a file.
    fn run(&self, target: &str, seconds: u64, more: &[&str]) -> Result<bool> {
        let (found, said) = (self.found(target)?, self.home.join(format!("{target}.log")));
        let log =
            std::fs::File::create(&said).with_context(|| format!("create {}", said.display()))?;
        let finds = self.home.join(format!("find-{target}-"));
        let mut fuzzer = self.start(target);
        fuzzer.args(more).arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        fuzzer.arg(format!("-artifact_prefix={}", finds.display()));
        fuzzer.arg("-reload=0").arg(found).arg(corpus(target));
        fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let status = fuzzer.status().context("start the fuzzer")?;
        let log = std::fs::read(&said).with_context(|| format!("read {}", said.display()))?;
        let log = String::from_utf8_lossy(&log);
        let verdict = if status.success() { "ok" } else { "FAILED" };
        println!("fuzz {target} ... {verdict} ({})", figures(&log));
        if !status.success() {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            tail.iter().rev().for_each(|line| println!("    {line}"));
            println!("    {}", how_to_repeat(target, &log));
        }
        Ok(status.success())
    }
}

/// What libFuzzer says of a run: how often the target was called, and what was reached.
fn figures(log: &str) -> String {
    let stat = |name: &str| {
        let line = log.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next().map(str::to_owned)
    };
    let calls = stat("stat::number_of_executed_units:").unwrap_or_else(|| "?".into());
    let rate = stat("stat::average_exec_per_sec:").unwrap_or_else(|| "?".into());
    let last = log.lines().rev().find_map(|line| line.split_once(" cov: ")).unwrap_or_default().1;
    let mut words = last.split_whitespace();
    let (edges, features) = (words.next().unwrap_or("?"), words.nth(1).unwrap_or("?"));
    format!("{calls} inputs, {rate}/s, {edges} edges, {features} features")
}

/// The line that repeats a find, if there is one.
fn how_to_repeat(target: &str, log: &str) -> String {
    let written = log.lines().find_map(|line| line.split_once("Test unit written to "));
    match written {
        Some((_, file)) => format!(
            "again: cargo xtask fuzz {target} --input {file}; once mended, it belongs into \
             fuzz/corpus/{target}"
        ),
        None => "it left no input".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#1024\tpulse  cov: 812 ft: 2001 corp: 40/2Kb lim: 4096 exec/s: 512 rss: 40Mb\n\
                       #2048\tDONE   cov: 900 ft: 2410 corp: 44/2Kb lim: 4096 exec/s: 512 rss: 40Mb\n\
                       stat::number_of_executed_units: 2048\nstat::average_exec_per_sec:     512\n";

    #[test]
    fn a_run_is_told_in_figures() {
        assert_eq!(figures(LOG), "2048 inputs, 512/s, 900 edges, 2410 features");
        assert_eq!(figures("thread panicked"), "? inputs, ?/s, ? edges, ? features");
    }

    #[test]
    fn a_find_says_how_to_repeat_it() {
        let log = "artifact_prefix='t/find-hcl-'; Test unit written to t/find-hcl-crash-1";
        let says = how_to_repeat("hcl", log);
        assert!(says.contains("cargo xtask fuzz hcl --input t/find-hcl-crash-1;"), "{says}");
        assert_eq!(how_to_repeat("hcl", "killed"), "it left no input");
    }
}
