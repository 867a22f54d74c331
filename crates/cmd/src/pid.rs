//! The file that holds this process's number, for those who send it signals.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// The file; it goes when this is dropped.
pub struct File(Option<PathBuf>);

impl File {
    /// Writes it, where one is asked for.
    pub fn write(path: Option<&Path>) -> anyhow::Result<File> {
        if let Some(path) = path {
            let number = std::process::id().to_string();
            std::fs::write(path, number)
                .with_context(|| format!("cannot write pid_file {}", path.display()))?;
        }
        Ok(File(path.map(Path::to_owned)))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Somebody took it away already, or nothing can be done about it.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_there_as_long_as_the_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let file = File::write(Some(&path)).expect("it can be written");
        let number = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(number, std::process::id().to_string());
        drop(file);
        assert!(!path.exists());
        assert!(File::write(Some(directory.path())).is_err());
    }
}
