//! Instruction counts under callgrind, held in `bench/budgets.toml`.
//!
//! They depend on the compiler, on the C library and on what valgrind makes of both, so the file names these versions:
//! with others the counts are held less closely. On the processor they must not depend.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{self, cargo};
use crate::suite::Tally;

const FILE: &str = "bench/budgets.toml";

/// How far a count may be from what is held, in parts of a thousand. Fewer are refused too: what was won
/// would be lost again unseen.
const TOLERANCE: u64 = 30;

/// The same with other versions than those held, each of which moves counts by some percent.
const ELSEWHERE: u64 = 200;

const VALGRIND: &str = "valgrind";

/// glibc copies and compares as the processor can, and a copy by one instruction counts as one for each byte. Without
/// these three features it takes the same way on every x86-64, whatever else a processor has.
const SAME_EVERYWHERE: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-ERMS,-AVX_Fast_Unaligned_Load");

/// The function within which instructions are counted, of `bench/budgets/src/main.rs`.
const MEASURED: &str = "--toggle-collect=budgets_measured";

/// Counts, and compares with what is held or writes it anew.
pub fn budgets(update: bool) -> Result<()> {
    let program = build()?;
    let versions = Versions::here()?;
    if update {
        let counts: Result<Vec<_>> = tasks(&program)?
            .into_iter()
            .map(|task| Ok((task.clone(), count(&program, &task)?)))
            .collect();
        let text = versions.write(&counts?);
        return std::fs::write(FILE, text).with_context(|| format!("write {FILE}"));
    }
    match compare(&program, &versions)?.failed {
        0 => Ok(()),
        failed => {
            bail!("{failed} counts are not as held; meant so? `cargo xtask budgets --update`")
        }
    }
}

/// The same for the tests' tally: without valgrind it is skipped.
pub fn counted() -> Result<Tally> {
    if !shell::missing_tools(&[VALGRIND]).is_empty() {
        println!("SKIPPED: instruction counts: there is no {VALGRIND}");
        return Ok(Tally { skipped: 1, ..Tally::default() });
    }
    let program = build()?;
    compare(&program, &Versions::here()?)
}

fn build() -> Result<PathBuf> {
    shell::run(&mut cargo(&["build", "--release", "--package", "budgets"]))?;
    Ok(shell::target_directory()?.join("release/budgets"))
}

fn tasks(program: &Path) -> Result<Vec<String>> {
    Ok(shell::output(&mut Command::new(program))?.lines().map(str::to_owned).collect())
}

fn compare(program: &Path, here: &Versions) -> Result<Tally> {
    let text = std::fs::read_to_string(FILE).with_context(|| format!("read {FILE}"))?;
    let (held_with, held) = Versions::read(&text)?;
    let is_held = held_with == *here;
    if !is_held {
        println!("budgets are held with {held_with}; here is {here}: held to a fifth only");
    }
    let mut tally = Tally::default();
    let tasks = tasks(program)?;
    if let Some(unknown) = held.keys().find(|name| !tasks.contains(name)) {
        bail!("{FILE} holds {unknown}, which nobody counts");
    }
    for task in &tasks {
        let (count, held) = (count(program, task)?, held.get(task).copied());
        let is_well = is_within(count, held, if is_held { TOLERANCE } else { ELSEWHERE });
        let verdict = if is_well { "ok" } else { "FAILED" };
        let held = held.map_or("none".to_owned(), |held| held.to_string());
        println!("budget {task} ... {verdict} ({count} instructions, {held} held)");
        match is_well {
            true => tally.passed += 1,
            false => tally.failed += 1,
        }
    }
    Ok(tally)
}

fn is_within(count: u64, held: Option<u64>, tolerance: u64) -> bool {
    held.is_some_and(|held| count.abs_diff(held) * 1000 <= held * tolerance)
}

/// How many instructions one round of a task takes.
fn count(program: &Path, task: &str) -> Result<u64> {
    let mut valgrind = Command::new(VALGRIND);
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", MEASURED]);
    valgrind.env(SAME_EVERYWHERE.0, SAME_EVERYWHERE.1);
    let done = valgrind.arg(program).arg(task).stdin(Stdio::null()).output();
    let done = done.context("start valgrind")?;
    let (says, log) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !done.status.success() {
        bail!("{task} failed under valgrind:\n{log}");
    }
    let rounds: u64 = says.trim().parse().context("a task says how many rounds it had")?;
    let collected =
        collected(&log).with_context(|| format!("callgrind counted nothing:\n{log}"))?;
    Ok(collected / rounds.max(1))
}

/// The count in `==123== Collected : 456`.
fn collected(log: &str) -> Option<u64> {
    let (_, count) = log.lines().find_map(|line| line.split_once("Collected : "))?;
    count.trim().parse().ok().filter(|count| *count > 0)
}

/// What counts depend on.
#[derive(Debug, PartialEq, Eq)]
struct Versions {
    rustc: String,
    valgrind: String,
    libc: String,
    architecture: String,
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Versions { rustc, valgrind, libc, architecture } = self;
        write!(f, "{rustc}, {valgrind} and {libc} on {architecture}")
    }
}

impl Versions {
    fn here() -> Result<Versions> {
        let says = |program: &str, word: &str| -> Result<String> {
            Ok(shell::output(Command::new(program).arg(word))?.trim().to_owned())
        };
        Ok(Versions {
            rustc: says("rustc", "--version")?,
            valgrind: says(VALGRIND, "--version")?,
            libc: says("getconf", "GNU_LIBC_VERSION").unwrap_or_else(|_| "no glibc".to_owned()),
            architecture: std::env::consts::ARCH.to_owned(),
        })
    }

    /// Reads the file: `name = "text"` and `name = number`, with comments.
    fn read(text: &str) -> Result<(Versions, BTreeMap<String, u64>)> {
        let (mut words, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty()) {
            let (name, value) =
                line.split_once(" = ").with_context(|| format!("{FILE}: {line}"))?;
            match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
                Some(word) => drop(words.insert(name, word.to_owned())),
                None => {
                    let count = value.replace('_', "").parse();
                    counts
                        .insert(name.to_owned(), count.with_context(|| format!("{FILE}: {line}"))?);
                }
            }
        }
        let mut word = |name| words.remove(name).with_context(|| format!("{FILE} names no {name}"));
        let versions = Versions {
            rustc: word("rustc")?,
            valgrind: word("valgrind")?,
            libc: word("libc")?,
            architecture: word("architecture")?,
        };
        Ok((versions, counts))
    }

    fn write(&self, counts: &[(String, u64)]) -> String {
        let Versions { rustc, valgrind, libc, architecture } = self;
        let mut text = format!(
            "# Instructions that each of these takes, counted by callgrind: `cargo xtask budgets`, also in\n\
             # `cargo xtask test`, 3 % more or less allowed. After a change that is meant to move one:\n\
             # `cargo xtask budgets --update`. They depend on these versions; with others they are held to a fifth.\n\
             rustc = \"{rustc}\"\nvalgrind = \"{valgrind}\"\nlibc = \"{libc}\"\n\
             architecture = \"{architecture}\"\n\n[instructions]\n"
        );
        for (name, count) in counts {
            writeln!(text, "{name} = {count}").expect("a string takes every word");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_percent_more_or_less_are_allowed() {
        for (count, held, expected) in [
            (1000, Some(1000), true),
            (1030, Some(1000), true),
            (1031, Some(1000), false),
            (970, Some(1000), true),
            (969, Some(1000), false),
            (1, None, false),
        ] {
            assert_eq!(is_within(count, held, TOLERANCE), expected, "{count} {held:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let versions = Versions {
            rustc: "rustc 1".into(),
            valgrind: "valgrind-3".into(),
            libc: "glibc 2".into(),
            architecture: "x86_64".into(),
        };
        let text = versions.write(&[("a".into(), 7), ("b".into(), 1_000_000)]);
        let (read, counts) = Versions::read(&text).unwrap();
        assert_eq!(read, versions);
        assert_eq!(counts, [("a".to_owned(), 7), ("b".to_owned(), 1_000_000)].into());
        assert!(Versions::read("a = x").is_err());
        assert!(Versions::read("a = 1").is_err(), "it names no versions");
    }

    #[test]
    fn a_run_in_which_nothing_was_counted_is_none() {
        assert_eq!(collected("==7== \n==7== Collected : 123\n"), Some(123));
        assert_eq!(collected("==7== Collected : 0\n"), None, "the function was not met");
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
