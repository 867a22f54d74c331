//! The log file: a new one when the old is too large or too old, the oldest removed.
//!
//! Names are Consul's: `NAME-NANOSECONDS.log`, the newest being written to. A line is never cut.
//!
//! Source: Consul, "Agents command-line reference", `-log-file`, `-log-rotate-bytes`,
//! `-log-rotate-duration`, `-log-rotate-max-files`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When a new file begins, and which old ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The most bytes of a file; `None` for any size.
    pub bytes: Option<u64>,
    /// How long a file is written to.
    pub after: Duration,
    /// How many files stay beside the one that is written; `None` for all.
    pub keep: Option<usize>,
}

/// The file that is written.
#[derive(Debug)]
pub struct RotatingFile {
    directory: PathBuf,
    stem: String,
    ending: String,
    rotation: Rotation,
    file: File,
    began: Instant,
    written: u64,
    /// The number in the newest name, so that names never repeat.
    stamp: u128,
}

impl RotatingFile {
    /// Begins a file. A path that ends in `/` is a directory, where it is called `name`; a name
    /// without an ending gets `.log`.
    pub fn open(path: &Path, name: &str, rotation: Rotation) -> io::Result<RotatingFile> {
        let is_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir();
        let (directory, file) = match is_directory {
            true => (path, None),
            false => (path.parent().unwrap_or(Path::new("")), path.file_name()),
        };
        let file = Path::new(file.unwrap_or(name.as_ref()));
        let text = |part: Option<&std::ffi::OsStr>, usual: &str| {
            part.map_or(usual.to_owned(), |part| part.to_string_lossy().into_owned())
        };
        let (stem, ending) = (text(file.file_stem(), name), text(file.extension(), "log"));
        let directory = match directory.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => directory.to_owned(),
        };
        let (stamp, file) = begin(&directory, &stem, &ending, 0)?;
        let began = Instant::now();
        let opened =
            RotatingFile { directory, stem, ending, rotation, file, began, written: 0, stamp };
        opened.remove_old();
        Ok(opened)
    }

    /// Writes a line. Where a new file cannot be begun the old one goes on; where nothing can be
    /// written the line is lost here, and still stands on the terminal.
    pub fn write(&mut self, line: &[u8]) {
        let full = self.rotation.bytes.is_some_and(|most| self.written >= most);
        if (full || self.began.elapsed() >= self.rotation.after)
            && let Ok((stamp, file)) = begin(&self.directory, &self.stem, &self.ending, self.stamp)
        {
            (self.file, self.stamp) = (file, stamp);
            (self.began, self.written) = (Instant::now(), 0);
            self.remove_old();
        }
        if self.file.write_all(line).is_ok() {
            self.written += line.len() as u64;
        }
    }

    /// Removes the oldest beyond those that stay.
    fn remove_old(&self) {
        let Some(keep) = self.rotation.keep else { return };
        let mut old: Vec<(u128, PathBuf)> = self.files().into_iter().collect();
        old.retain(|(stamp, _)| *stamp < self.stamp);
        old.sort();
        let beyond = old.len().saturating_sub(keep);
        for (_, path) in &old[..beyond] {
            // Somebody else may have removed it; what stays is tried again at the next turn.
            let _ = std::fs::remove_file(path);
        }
    }

    /// All files of this log with the numbers in their names.
    fn files(&self) -> Vec<(u128, PathBuf)> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let stamped = entries.filter_map(|entry| {
            let name = entry.file_name();
            let rest = name.to_str()?.strip_prefix(&self.stem)?.strip_prefix('-')?;
            let stamp = rest.strip_suffix(&self.ending)?.strip_suffix('.')?;
            Some((stamp.parse().ok()?, entry.path()))
        });
        stamped.collect()
    }
}

/// A new file, later than any before; only its owner and group may read it.
fn begin(directory: &Path, stem: &str, ending: &str, after: u128) -> io::Result<(u128, File)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let stamp = now.max(after + 1);
    let path = directory.join(format!("{stem}-{stamp}.{ending}"));
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    Ok((stamp, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("it is there");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut names: Vec<String> = names.map(|name| name.expect("text")).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn written(path: &str, rotation: Rotation, lines: usize) -> (tempfile::TempDir, Vec<String>) {
        let directory = tempfile::tempdir().expect("a directory");
        let full = PathBuf::from(format!("{}/{path}", directory.path().display()));
        let mut file = RotatingFile::open(&full, "rutter", rotation).expect("it opens");
        for _ in 0..lines {
            file.write(b"12345\n");
        }
        let names = names(directory.path());
        (directory, names)
    }

    #[test]
    fn a_file_is_called_as_consul_calls_it() {
        let rotation = Rotation { bytes: None, after: DAY, keep: None };
        for (path, stem, ending) in
            [("", "rutter-", ".log"), ("agent", "agent-", ".log"), ("a.txt", "a-", ".txt")]
        {
            let (_directory, names) = written(path, rotation, 100);
            assert!(names[0].starts_with(stem) && names[0].ends_with(ending), "{names:?}");
            assert_eq!(names.len(), 1, "{names:?}");
        }
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_lines_stay_whole() {
        let rotation = Rotation { bytes: Some(10), after: DAY, keep: None };
        let (directory, names) = written("a.log", rotation, 5);
        assert_eq!(names.len(), 3, "{names:?}");
        let text = |name| std::fs::read_to_string(directory.path().join(name)).expect("text");
        assert_eq!(names.iter().map(text).collect::<String>(), "12345\n".repeat(5));
    }

    #[test]
    fn an_old_file_is_followed_by_another() {
        let rotation = Rotation { bytes: None, after: Duration::ZERO, keep: None };
        assert_eq!(written("a.log", rotation, 3).1.len(), 4);
    }

    #[test]
    fn only_so_many_old_files_stay_and_others_are_left_alone() {
        let rotation = Rotation { bytes: Some(1), after: DAY, keep: Some(2) };
        let (directory, left) = written("a.log", rotation, 9);
        assert_eq!(left.len(), 3, "{left:?}");
        std::fs::write(directory.path().join("a-b.log"), "").expect("a file of others");
        let path = directory.path().join("a.log");
        let none = Rotation { keep: Some(0), ..rotation };
        drop(RotatingFile::open(&path, "rutter", none).expect("it opens"));
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn a_directory_that_is_not_there_is_refused() {
        let rotation = Rotation { bytes: None, after: DAY, keep: None };
        assert!(RotatingFile::open(Path::new("/nowhere/at/all"), "rutter", rotation).is_err());
    }
}
