//! `rutter completion`, and Consul's two flags that put it into a shell's own file.

use super::failure::Outcome;
use super::output;
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Prints a script that completes words in a shell.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter completion bash > /tmp/rutter.bash\n  $ rutter completion fish > /tmp/rutter.fish"
)]
pub struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Words,
}

/// The shells that are known.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    /// Prints the script.
    pub fn run(self, mut tree: clap::Command, invoked_as: &str) -> Outcome {
        let shell = match self.shell {
            Words::Bash => Shell::Bash,
            Words::Zsh => Shell::Zsh,
            Words::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut tree, invoked_as, &mut script);
        output::say_bytes(script.trim_ascii_end());
        Ok(())
    }
}

/// What is to become of the line in a shell's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Add it.
    Install,
    /// Take it away.
    Uninstall,
}

/// Whether the words are one of Consul's two flags.
pub fn install_asked(words: &[OsString]) -> Option<Asked> {
    let word = words.get(1)?.to_str()?.trim_start_matches('-');
    match word {
        _ if !words.get(1)?.to_str()?.starts_with('-') => None,
        "autocomplete-install" => Some(Asked::Install),
        "autocomplete-uninstall" => Some(Asked::Uninstall),
        _ => None,
    }
}

/// Adds a line to each shell's own file that is there, or takes it away.
pub fn install(asked: Asked, name: &str) -> Outcome {
    let home = std::env::var_os("HOME").map(PathBuf::from).ok_or("HOME is not set".to_owned())?;
    let files = [(".bashrc", "bash"), (".zshrc", "zsh")];
    let mut changed = false;
    for (file, shell) in files {
        let file = home.join(file);
        if file.is_file() {
            let line = format!("source <({name} completion {shell})");
            change(&file, &line, asked)
                .map_err(|error| format!("Error changing {}: {error}", file.display()))?;
            changed = true;
        }
    }
    match changed {
        true => Ok(()),
        false => Err("Did not find any shells to install".into()),
    }
}

fn change(file: &Path, line: &str, asked: Asked) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let mut lines: Vec<&str> = text.lines().filter(|known| *known != line).collect();
    if asked == Asked::Install {
        lines.push(line);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    std::fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_added_once_and_taken_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(".bashrc");
        std::fs::write(&file, "alias x=y\n").expect("written");
        for _ in 0..2 {
            change(&file, "source it", Asked::Install).expect("is changed");
            assert_eq!(std::fs::read_to_string(&file).expect("is read"), "alias x=y\nsource it\n");
        }
        change(&file, "source it", Asked::Uninstall).expect("is changed");
        assert_eq!(std::fs::read_to_string(&file).expect("is read"), "alias x=y\n");
    }
}
