//! Replays recorded stories against the real binary and compares what differs with the list of what may.
//!
//! Stories mostly wait. When all tests run, four are told at once, those that wait longest first; each test then fetches
//! what became of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::binary::{rutter, workspace};

/// How many stories are told at once.
const AT_ONCE: usize = 4;

/// A time of a story's own, so short that a machine that is slow for a moment misses it. Only when it was missed by the
/// teller's clock, and the first step that differs is the one that came too late and says so, is the story told again.
struct ShortTime {
    story: &'static str,
    /// The step that starts the time, and the one that must be answered before it is over.
    steps: (u32, u32),
    seconds: f64,
    /// How the late step differs.
    says: &'static [&'static str],
    /// The last step that may differ in consequence.
    last: u32,
}

const fn of_sessions(steps: (u32, u32), seconds: f64, says: &'static [&'static str]) -> ShortTime {
    ShortTime { story: "http/42-session-ttl", steps, seconds, says, last: 21 }
}

/// A session of one second lives for two, as in Consul. The story sleeps for 1.2 of them.
const SHORT_TIMES: [ShortTime; 8] = [
    of_sessions((1, 4), 2.0, &["invalid session"]),
    of_sessions((2, 5), 2.0, &["invalid session"]),
    of_sessions((3, 6), 2.0, &["invalid session"]),
    of_sessions((1, 8), 2.0, &["status 404 instead of 200", "not found"]),
    of_sessions((2, 9), 2.0, &["key 'Session' is missing", "2 items instead of 3"]),
    of_sessions((8, 14), 2.0, &["key 'Session' is missing"]),
    // The lock delay of three seconds, which begins after the list in which the lock was seen.
    of_sessions((9, 16), 3.0, &["true instead of false"]),
    ShortTime {
        story: "http/17-agent-check-updates",
        steps: (54, 55),
        seconds: 1.0,
        says: &["TTL expired"],
        last: 55,
    },
];

/// How often such a story is told: the last time in a server that writes to memory, if there is room.
const TELLINGS: usize = 3;

/// What `replay.py` said of one story.
#[derive(Debug, Default)]
struct Telling {
    /// The differences and the tally.
    text: String,
    /// When each step began and ended, in seconds.
    times: BTreeMap<u32, (f64, f64)>,
}

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
    let alone = !all_are_wanted();
    let mut telling = if alone { tell(story, None)? } else { told_with_the_others(story)? };
    let pending = Pending::of(story, &std::fs::read_to_string(fixtures().join("pending.txt"))?)?;
    for again in 2..=TELLINGS {
        if !pending.was_too_late(story, &telling) {
            break;
        }
        println!("{story} was told too slowly and is told again:\n{}", telling.text);
        telling = tell(story, (again == TELLINGS).then(room_in_memory).flatten())?;
    }
    pending.judge(story, &telling.text)
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
fn tell(story: &str, directory: Option<&Path>) -> Result<Telling> {
    let mut command = Command::new("python3");
    command.envs(directory.map(|directory| ("TMPDIR", directory)));
    command.arg(fixtures().join("replay.py")).arg("--times").arg("--spawn");
    command.arg(format!("{} agent -config-file {{config}}", rutter().display()));
    command.arg(fixtures().join(format!("{story}.json")));
    let output = command.output().context("python3")?;
    let telling = Telling::of(&String::from_utf8_lossy(&output.stdout))?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(telling.text.lines().any(is_tally), "{story}: {}{complaints}", telling.text);
    Ok(telling)
}

impl Telling {
    fn of(said: &str) -> Result<Telling> {
        let mut telling = Telling::default();
        for line in said.lines() {
            let Some(time) = line.strip_prefix("# ") else {
                telling.text += &format!("{line}\n");
                continue;
            };
            let words: Vec<&str> = time.split(' ').collect();
            let [step, began, ended] = words[..] else { bail!("no times: {line}") };
            telling.times.insert(step.parse()?, (began.parse()?, ended.parse()?));
        }
        Ok(telling)
    }

    /// From the beginning of one step to the end of another, if both were told.
    fn span(&self, (first, last): (u32, u32)) -> Option<f64> {
        Some(self.times.get(&last)?.1 - self.times.get(&first)?.0)
    }
}

/// What became of each story, as threads of our own told them.
#[derive(Default)]
struct Told {
    texts: Mutex<BTreeMap<String, Result<Telling>>>,
    changed: Condvar,
}

fn told_with_the_others(story: &str) -> Result<Telling> {
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

    /// Was the first step that differs and is not listed too late, by the teller's clock, and does nothing else differ
    /// than what follows from that?
    fn was_too_late(&self, story: &str, telling: &Telling) -> bool {
        let lines = telling.text.lines().filter(|line| !is_tally(line));
        let told: Option<Vec<_>> = lines.map(|line| Some((step_of(line)?, line))).collect();
        let Some(mut told) = told else { return false };
        told.retain(|(step, _)| !self.steps.contains(step));
        let (Some(first), Some(last)) =
            (told.iter().map(|line| line.0).min(), told.iter().map(|line| line.0).max())
        else {
            return false;
        };
        SHORT_TIMES.iter().filter(|short| short.story == story).any(|short| {
            let says = |line: &str| short.says.iter().any(|words| line.contains(words));
            short.steps.1 == first
                && last <= short.last
                && told.iter().any(|(step, line)| *step == first && says(line))
                && telling.span(short.steps).is_some_and(|span| span > short.seconds)
        })
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
    fn only_what_came_too_late_is_told_again() {
        const SLOW: &str = "# 1 10.0 10.1\n# 4 10.2 10.3\n# 8 11.6 12.1\n";
        const FAST: &str = "# 1 10.0 10.1\n# 4 10.2 10.3\n# 8 11.6 11.9\n";
        let (sessions, checks) = ("http/42-session-ttl", "http/17-agent-check-updates");
        let gone = "b step 8 (x): status 404 instead of 200: x\n";
        let invalid = "b step 4 (x): status 500 instead of 200: \"invalid session\"\n";
        let told = |said: &[&str]| Telling::of(&said.concat()).unwrap();
        for (story, said, again) in [
            (sessions, vec![SLOW, gone, "b step 14 (x): x\n9 passed, 2 failed"], true),
            (sessions, vec![FAST, gone, "b step 14 (x): x\n9 passed, 2 failed"], false),
            (sessions, vec![gone], false),
            (sessions, vec![SLOW, "b step 8 (x): status 500 instead of 200: x\n"], false),
            (sessions, vec![SLOW, "b step 3 (x): x\n", gone], false),
            (sessions, vec![SLOW, gone, "b step 22 (x): x\n"], false),
            (sessions, vec![SLOW, gone, "b: stopped: KeyError()\n"], false),
            (sessions, vec![SLOW, invalid], false),
            (sessions, vec!["# 1 10.0 10.1\n# 4 11.9 12.2\n", invalid], true),
            (sessions, vec![SLOW, "21 passed, 0 failed"], false),
            ("http/b", vec![SLOW, gone], false),
        ] {
            let told = told(&said);
            assert_eq!(Pending::default().was_too_late(story, &told), again, "{story} {said:?}");
        }
        let pending = Pending { steps: BTreeSet::from([3]), stops: false };
        let (listed, late) = ("b step 3 (x): x\n", "b step 55 (x): \"TTL expired\"\n");
        let times = "# 54 1.0 1.1\n# 55 1.2 2.3\n";
        assert!(pending.was_too_late(checks, &told(&[times, listed, late])));
        assert!(!pending.was_too_late(checks, &told(&[times, listed])));
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
