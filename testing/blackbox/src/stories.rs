//! Replays recorded stories against the real binary and compares what differs with the list of what may.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::binary::{rutter, workspace};

fn fixtures() -> PathBuf {
    workspace().join("testing/fixtures/consul")
}

/// Replays one story, such as `http/07-kv-locks`, in a fresh server. Only steps listed in `pending.txt` may differ, and
/// each of them must.
pub fn replay(story: &str) -> Result<()> {
    let mut command = Command::new("python3");
    command.arg(fixtures().join("replay.py")).arg("--spawn");
    command.arg(format!("{} agent -config-file {{config}}", rutter().display()));
    command.arg(fixtures().join(format!("{story}.json")));
    let output = command.output().context("python3")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        text.contains(" passed, "),
        "{story}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut differing = BTreeSet::new();
    for line in text.lines().filter(|l| !l.contains(" passed, ")) {
        differing.insert(step_of(line).with_context(|| format!("{story} stopped: {line}"))?);
    }
    let pending = pending(&std::fs::read_to_string(fixtures().join("pending.txt"))?, story)?;
    let unlisted: Vec<_> = differing.difference(&pending).collect();
    let overdue: Vec<_> = pending.difference(&differing).collect();
    if !unlisted.is_empty() {
        let lines: Vec<_> =
            text.lines().filter(|l| step_of(l).is_some_and(|s| unlisted.contains(&&s))).collect();
        bail!("{story}: {} steps differ:\n{}", unlisted.len(), lines.join("\n"));
    }
    ensure!(overdue.is_empty(), "{story}: steps {overdue:?} pass now; take them off pending.txt");
    Ok(())
}

/// The step that a line of `replay.py` tells of: `07-kv-locks step 12 (…): …`.
fn step_of(line: &str) -> Option<u32> {
    line.split_once(" step ")?.1.split(' ').next()?.parse().ok()
}

/// The steps of one story in the list: `story step feature` or `story first-last feature`.
fn pending(list: &str, story: &str) -> Result<BTreeSet<u32>> {
    let mut steps = BTreeSet::new();
    for line in list.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        ensure!(words.len() >= 3, "pending.txt: a line needs story, step and feature: {line:?}");
        if words[0] == story {
            let (first, last) = words[1].split_once('-').unwrap_or((words[1], words[1]));
            steps.extend(first.parse::<u32>()?..=last.parse()?);
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_pending_steps_takes_ranges() {
        let list = "# comment\nhttp/a 3-5 txn\nhttp/a 9 txn\nhttp/b 1 acl\n";
        assert_eq!(pending(list, "http/a").unwrap(), BTreeSet::from([3, 4, 5, 9]));
        assert!(pending("http/a 3", "http/a").is_err());
    }

    #[test]
    fn a_line_of_difference_names_its_step() {
        assert_eq!(step_of("07-kv-locks step 12 (GET /v1/kv/x): status 1"), Some(12));
        assert_eq!(step_of("07-kv-locks: stopped: KeyError()"), None);
    }
}
