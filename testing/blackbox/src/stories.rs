//! Replays recorded stories against the real binary and compares what differs with the list of what may.
//!
//! Stories mostly wait. When all tests run, four are told at once, those that wait longest first; each test then fetches
//! what became of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::binary::{rutter, workspace};

/// How many stories are told at once.
const AT_ONCE: usize = 4;

/// Stories whose own times are so short that a machine that is slow for a moment misses them, and the steps that differ
/// then. When nothing else does, such a story is told again, in a fresh server that writes to memory if it can.
const SHORT_TIMES: [(&str, RangeInclusive<u32>); 2] = [
    // Its sessions have two seconds in all, from their making to the renewal after a sleep of 1.2.
    ("http/42-session-ttl", 4..=21),
    // A check is reported and must be read within a second.
    ("http/17-agent-check-updates", 54..=55),
];

/// How often such a story is told.
const TELLINGS: usize = 3;

/// Where the stories lie.
pub fn fixtures() -> PathBuf {
    workspace().join("testing/fixtures/consul")
}

/// All recorded stories, such as `http/07-kv-locks`, in order.
pub fn recorded() -> Result<Vec<String>> {
    let mut stories = Vec::new();
    for kind in ["http", "dns"] {
        for entry in std::fs::read_dir(fixtures().join(kind))? {
            let path = entry?.path();
            let stem =
                path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
            stories.push(format!("{kind}/{stem}"));
        }
    }
    stories.sort();
    Ok(stories)
}

/// Replays one story in a fresh server. Only steps listed in `pending.txt` may differ, and each of them must.
pub fn replay(story: &str) -> Result<()> {
    let mut text = if all_are_wanted() { told_with_the_others(story)? } else { tell(story, None)? };
    let pending = Pending::of(story, &std::fs::read_to_string(fixtures().join("pending.txt"))?)?;
    for _ in 1..TELLINGS {
        if !pending.was_too_late(story, &text) {
            break;
        }
        println!("{story} may have been too slow and is told again:\n{text}");
        text = tell(story, room_in_memory())?;
    }
    pending.judge(story, &text)
}

/// Does this run want every story, so that telling ahead is no waste?
fn all_are_wanted() -> bool {
    std::env::args()
        .skip(1)
        .all(|word| word.starts_with('-') || word.trim_end_matches("::") == "stories")
}

/// A directory for which no disk is waited, where there is room for a server and what it leaves free.
fn room_in_memory() -> Option<&'static Path> {
    let memory = Path::new("/dev/shm");
    let stat = nix::sys::statvfs::statvfs(memory).ok()?;
    let free = stat.blocks_available() as u64 * stat.fragment_size() as u64;
    (free >= 256 << 20).then_some(memory)
}

/// What `replay.py` says of one story, with the server's files in that directory, or where temporary files go.
fn tell(story: &str, directory: Option<&Path>) -> Result<String> {
    let mut command = Command::new("python3");
    command.envs(directory.map(|directory| ("TMPDIR", directory)));
    command.arg(fixtures().join("replay.py")).arg("--spawn");
    command.arg(format!("{} agent -config-file {{config}}", rutter().display()));
    command.arg(fixtures().join(format!("{story}.json")));
    let output = command.output().context("python3")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(text.lines().any(is_tally), "{story}: {text}{complaints}");
    Ok(text)
}

/// What became of each story, as threads of our own told them.
#[derive(Default)]
struct Told {
    texts: Mutex<BTreeMap<String, Result<String>>>,
    changed: Condvar,
}

fn told_with_the_others(story: &str) -> Result<String> {
    static TOLD: OnceLock<Arc<Told>> = OnceLock::new();
    let told = TOLD.get_or_init(tell_all);
    let mut texts = told.texts.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match texts.remove(story) {
            Some(text) => return text,
            None => texts = told.changed.wait(texts).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

fn tell_all() -> Arc<Told> {
    let mut stories = recorded().expect("the fixtures lie in the checkout");
    stories.sort_by_key(|story| waits(story));
    let (told, stories) = (Arc::new(Told::default()), Arc::new(Mutex::new(stories)));
    for _ in 0..AT_ONCE {
        let (told, stories) = (told.clone(), stories.clone());
        std::thread::spawn(move || {
            let next = || stories.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(story) = next() {
                let text = std::panic::catch_unwind(|| tell(&story, None));
                let text = text.unwrap_or_else(|_| Err(anyhow!("the telling panicked")));
                told.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(story, text);
                told.changed.notify_all();
            }
        });
    }
    told
}

/// A guess of how long a story takes, by its steps that wait.
fn waits(story: &str) -> usize {
    let text = std::fs::read_to_string(fixtures().join(format!("{story}.json")));
    let story: Value = text.ok().and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
    let steps = story["steps"].as_array().into_iter().flatten();
    let waits = |step: &&Value| {
        ["sleep", "within", "background", "restart"].iter().any(|word| !step[word].is_null())
    };
    steps.filter(waits).count()
}

/// What may differ in one story, and must.
#[derive(Debug, Default, PartialEq)]
struct Pending {
    steps: BTreeSet<u32>,
    stops: bool,
}

impl Pending {
    /// The rows of one story in the list: `story step feature`, `story first-last feature` or `story stops feature`.
    fn of(story: &str, list: &str) -> Result<Pending> {
        let mut pending = Pending::default();
        for row in rows(list)?.iter().filter(|row| row.story == story) {
            match row.steps {
                Steps::Range(first, last) => pending.steps.extend(first..=last),
                Steps::Stops => pending.stops = true,
            }
        }
        Ok(pending)
    }

    /// Do steps differ that are not listed, and only such as a slow machine misses?
    fn was_too_late(&self, story: &str, text: &str) -> bool {
        let short = SHORT_TIMES.iter().find(|(name, _)| *name == story);
        let lines = || text.lines().filter(|line| !is_tally(line)).map(step_of);
        let is_late = |step: u32| short.is_some_and(|(_, steps)| steps.contains(&step));
        lines().flatten().any(|step| !self.steps.contains(&step))
            && lines().all(|step| step.is_some_and(|n| is_late(n) || self.steps.contains(&n)))
    }

    fn judge(&self, story: &str, text: &str) -> Result<()> {
        let mut differing = BTreeSet::new();
        let mut stopped = None;
        for line in text.lines().filter(|line| !is_tally(line)) {
            match step_of(line) {
                Some(step) => drop(differing.insert(step)),
                None => stopped = Some(line),
            }
        }
        let unlisted: Vec<_> = differing.difference(&self.steps).collect();
        if !unlisted.is_empty() {
            let listed = |line: &&str| step_of(line).is_some_and(|step| unlisted.contains(&&step));
            let lines: Vec<_> = text.lines().filter(listed).collect();
            bail!("{story}: {} steps differ:\n{}", unlisted.len(), lines.join("\n"));
        }
        let overdue: Vec<_> = self.steps.difference(&differing).collect();
        ensure!(
            overdue.is_empty(),
            "{story}: steps {overdue:?} pass now; take them off pending.txt"
        );
        match stopped {
            Some(line) if !self.stops => bail!("{line}"),
            None if self.stops => bail!("{story}: it goes on now; take that off pending.txt"),
            _ => Ok(()),
        }
    }
}

/// One line of `pending.txt`.
#[derive(Debug)]
struct Row<'a> {
    story: &'a str,
    steps: Steps,
    why: &'a str,
}

#[derive(Debug, Clone, Copy)]
enum Steps {
    Range(u32, u32),
    Stops,
}

fn rows(list: &str) -> Result<Vec<Row<'_>>> {
    let lines = list.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
    lines.map(|line| row(line).with_context(|| format!("pending.txt: {line:?}"))).collect()
}

fn row(line: &str) -> Result<Row<'_>> {
    let mut words = line.splitn(3, ' ');
    let (Some(story), Some(steps), Some(why)) = (words.next(), words.next(), words.next()) else {
        bail!("a line is a story, its steps and why");
    };
    let steps = match (steps, steps.split_once('-')) {
        ("stops", _) => Steps::Stops,
        (_, Some((first, last))) => Steps::Range(first.parse()?, last.parse()?),
        (one, None) => Steps::Range(one.parse()?, one.parse()?),
    };
    Ok(Row { story, steps, why })
}

/// `12 passed, 3 failed`, and not an answer that speaks of something "passed, ".
fn is_tally(line: &str) -> bool {
    line.ends_with(" failed") && line.split(' ').next().is_some_and(|n| n.parse::<u32>().is_ok())
}

/// The step that a line of `replay.py` tells of: `07-kv-locks step 12 (…): …`.
fn step_of(line: &str) -> Option<u32> {
    line.split_once(" step ")?.1.split(' ').next()?.parse().ok()
}

/// The steps that differ on purpose: how many, and for each row how docs/protocols must name it (`story http/09 33-34`).
pub fn on_purpose() -> Result<(u32, Vec<String>)> {
    let list = std::fs::read_to_string(fixtures().join("pending.txt"))?;
    let (mut count, mut names) = (0, Vec::new());
    for Row { story, steps, why } in rows(&list)? {
        if let (true, Steps::Range(first, last)) = (why.starts_with("difference:"), steps) {
            let (number, _) = story.split_once('-').context("a story has a number and a name")?;
            count += last + 1 - first;
            let steps = if first == last { format!("{first}") } else { format!("{first}-{last}") };
            names.push(format!("story {number} {steps}"));
        }
    }
    Ok((count, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# comment\nhttp/a 3-5 txn\nhttp/a 9 txn\nhttp/b 1 acl\nhttp/c stops txn\n";

    #[test]
    fn the_list_of_pending_steps_takes_ranges() {
        let steps = BTreeSet::from([3, 4, 5, 9]);
        assert_eq!(Pending::of("http/a", LIST).unwrap(), Pending { steps, stops: false });
        assert!(Pending::of("http/c", LIST).unwrap().stops);
        for wrong in ["http/a 3", "http/a x why", "http/a 3- why"] {
            assert!(Pending::of("http/a", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_a_slow_machine_misses_is_told_again() {
        for (story, said, again) in [
            ("http/42-session-ttl", "b step 8 (x): x\nb step 14 (x): x\n9 passed, 2 failed", true),
            ("http/42-session-ttl", "b step 8 (x): x\nb step 3 (x): x\n9 passed, 2 failed", false),
            ("http/42-session-ttl", "b step 8 (x): x\nb: stopped: KeyError()\n", false),
            ("http/42-session-ttl", "21 passed, 0 failed", false),
            ("http/b", "b step 8 (x): x\n", false),
        ] {
            assert_eq!(Pending::default().was_too_late(story, said), again, "{story} {said}");
        }
        let steps = BTreeSet::from([3]);
        let said = "b step 3 (x): x\nb step 54 (x): x\n";
        let pending = Pending { steps, stops: false };
        assert!(pending.was_too_late("http/17-agent-check-updates", said));
        assert!(!pending.was_too_late("http/17-agent-check-updates", "b step 3 (x): x\n"));
    }

    #[track_caller]
    fn check(story: &str, said: &str, complaint: Option<&str>) {
        let judged = Pending::of(story, LIST).unwrap().judge(story, said);
        let heard = judged.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(heard.contains(complaint.unwrap_or_default()), "{heard}");
        assert_eq!(heard.is_empty(), complaint.is_none(), "{heard}");
    }

    #[test]
    fn what_is_listed_differs_and_nothing_else_does() {
        check("http/b", "b step 1 (GET /): x\n0 passed, 1 failed", None);
        check("http/b", "b step 1 (x): \"an ID is passed, not a name\"\n0 passed, 1 failed", None);
        check("http/b", "1 passed, 0 failed", Some("[1] pass now"));
        check("http/b", "b step 1 (x): x\nb step 2 (x): x\n", Some("1 steps differ:\nb step 2"));
        check("http/b", "b step 1 (x): x\nb: stopped: KeyError()\n", Some("stopped: KeyError"));
        check("http/c", "c: stopped: KeyError()\n", None);
        check("http/c", "1 passed, 0 failed", Some("goes on now"));
    }
}
