//! The whole test suite in one run, counted: `N passed, N failed, N skipped` is its last line.
//!
//! libtest cannot say "skipped", so a test that cannot run here appends `SKIPPED: reason` to
//! the file that `RUTTER_SKIP_LOG` names and returns. Such a test is not counted as passed.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{self, cargo};
use crate::{budgets, clients, fuzz};

/// The crate whose tests run the built program.
const BLACKBOX: &str = "blackbox";

/// How many tests ended how; a fuzz target or a budget counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Tally {
    /// Adds what one test binary said of itself; any other line changes nothing.
    ///
    /// The line is libtest's: `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|l| l.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Moves the tests that reported a skip themselves from passed to skipped.
    fn take_reported_skips(&mut self, log: &str) {
        let reported = log.lines().filter(|line| line.starts_with("SKIPPED:")).count() as u64;
        self.passed = self.passed.saturating_sub(reported);
        self.skipped += reported;
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Whether a run that ended so is a good one.
    fn is_good(&self, require_all: bool) -> bool {
        self.failed == 0 && (self.skipped == 0 || !require_all)
    }
}

/// Builds once, runs all tests (or one crate's), and ends with the tally.
pub fn test(krate: Option<&str>) -> Result<()> {
    let tally = match counted(krate) {
        Ok(tally) => tally,
        Err(error) => {
            eprintln!("error: {error:#}");
            Tally { failed: 1, ..Tally::default() }
        }
    };
    println!("{tally}");
    // The tally stays the last line, so a failure leaves without a word more.
    if !tally.is_good(shell::requires_all()) {
        std::process::exit(1);
    }
    Ok(())
}

fn counted(krate: Option<&str>) -> Result<Tally> {
    let missing = shell::missing_tools(shell::TOOLS);
    if !missing.is_empty() {
        let what =
            format!("not on this machine: {} (`make test` installs them)", missing.join(" "));
        if shell::requires_all() {
            bail!(what);
        }
        eprintln!("warning: {what}");
    }
    let binary = shell::target_directory()?.join("debug/rutter");
    match krate {
        // One build serves the program and the tests, with the same features.
        None => shell::run(&mut cargo(&["build", "--workspace", "--bins", "--tests"]))?,
        Some(BLACKBOX) => drop(build_the_program()?),
        Some(_) => {}
    }
    let clients = match krate {
        None | Some(BLACKBOX) => Some(clients::install(shell::requires_what_is_fetched())?),
        Some(_) => None,
    };
    let skip_log = shell::target_directory()?.join("skipped-tests.log");
    std::fs::write(&skip_log, "").with_context(|| format!("write {}", skip_log.display()))?;
    let mut test = cargo_test(krate);
    test.env("RUTTER_BIN", binary).env("RUTTER_SKIP_LOG", &skip_log);
    test.envs(clients.map(|clients| ("RUTTER_CLIENTS", clients)));
    let mut tally = stream(&mut test)?;
    let log = std::fs::read_to_string(&skip_log)
        .with_context(|| format!("read {}", skip_log.display()))?;
    log.lines().for_each(|line| println!("{line}"));
    tally.take_reported_skips(&log);
    if krate.is_none() {
        // Last, and alone: the fuzzer takes every processor there is, and both share a release build.
        tally.add(fuzz::counted()?);
        tally.add(budgets::counted()?);
    }
    Ok(tally)
}

/// `cargo test` for the workspace or one crate, going on after a failure.
pub fn cargo_test(krate: Option<&str>) -> Command {
    let mut test = cargo(&["test", "--no-fail-fast"]);
    match krate {
        Some(krate) => test.args(["--package", krate]),
        None => test.arg("--workspace"),
    };
    test
}

/// Builds the program, with the features of the whole workspace, and says where it is.
pub fn build_the_program() -> Result<PathBuf> {
    shell::run(&mut cargo(&["build", "--bin", "rutter"]))?;
    Ok(shell::target_directory()?.join("debug/rutter"))
}

/// Runs the tests, passing their output on as it comes, and adds up what they say.
fn stream(test: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut child = test.stdout(Stdio::piped()).spawn().context("start cargo test")?;
    let stdout = child.stdout.take().expect("stdout was asked to be piped");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("read cargo test's output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("wait for cargo test")?;
    if !status.success() && tally.failed == 0 {
        // It did not compile, or a test binary died before it could count.
        tally.failed = 1;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, skip_log: &str, expected: &str) {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally.take_reported_skips(skip_log);
        assert_eq!(tally.to_string(), expected);
    }

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let one = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; \
                   finished in 0.01s";
        let two = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        check(&format!("running 6 tests\n{one}\n\n{two}\n"), "", "8 passed, 2 failed, 1 skipped");
        check(
            "test a ... ok\nnot a test result: ok. 7 passed",
            "",
            "0 passed, 0 failed, 0 skipped",
        );
    }

    #[test]
    fn a_test_that_reports_a_skip_has_not_passed() {
        let run = "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured";
        check(run, "SKIPPED: no mount namespace\n", "3 passed, 0 failed, 1 skipped");
        check(run, "a note that is no skip\n", "4 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_skip_is_a_failure_only_where_all_is_required() {
        let tally = Tally { passed: 3, failed: 0, skipped: 1 };
        assert!(tally.is_good(false));
        assert!(!tally.is_good(true));
        assert!(!Tally { failed: 1, ..tally }.is_good(false));
    }
}
