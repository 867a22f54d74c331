//! The command line: one file a command.
//!
//! Long flags take one dash or two, as Consul's do; clap knows only two, so a pass over the words
//! comes first.

mod agent;
mod dev;
mod version;

pub use version::CONSUL_VERSION;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// What Consul's scripts expect of an unknown command.
const UNKNOWN_COMMAND: u8 = 127;

#[derive(Parser)]
#[command(
    name = "rutter",
    about = "Service discovery in one binary",
    disable_version_flag = true,
    args_override_self = true
)]
struct Words {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an agent: the process that answers over HTTP and DNS
    Agent(Box<agent::AgentFlags>),
    /// Try it: a server in memory with a sample service, no configuration
    Dev(dev::DevFlags),
    /// Say which version this is
    Version,
}

/// Runs what the words say.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let invoked_as = invoked_as(&words);
    // Not a command of people: the agent starts itself so, and the words after it are a script's.
    if words.get(1).is_some_and(|word| word == ::agent::guard::WORD) {
        return guard(&words[2..]);
    }
    let words = match Words::try_parse_from(two_dashes(words)) {
        Ok(words) => words,
        Err(error) => return explain(&error),
    };
    let done = match words.command {
        Command::Agent(flags) => agent::run(*flags, &invoked_as),
        Command::Dev(flags) => dev::run(flags),
        Command::Version => {
            version::print(&invoked_as);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("==> {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn guard(script: &[OsString]) -> ExitCode {
    match ::agent::guard::run(script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("==> {error}");
            ExitCode::FAILURE
        }
    }
}

fn explain(error: &clap::Error) -> ExitCode {
    // A closed pipe is the only way this fails; nobody is left to be told.
    let _ = error.print();
    match error.kind() {
        clap::error::ErrorKind::DisplayHelp => ExitCode::SUCCESS,
        clap::error::ErrorKind::InvalidSubcommand
        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ExitCode::from(UNKNOWN_COMMAND)
        }
        _ => ExitCode::FAILURE,
    }
}

/// The name the program was called by, without its directory.
fn invoked_as(words: &[OsString]) -> String {
    let path = words.first().map(std::path::Path::new);
    let name = path.and_then(|path| path.file_name()).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Gives long flags their second dash: `-bind=x` becomes `--bind=x`; `-h`, `-` and `-1` stay.
fn two_dashes(words: Vec<OsString>) -> Vec<OsString> {
    let mut literal = false;
    let rewrite = |word: OsString| {
        literal |= word == "--";
        match word.to_str() {
            Some(text) if !literal && is_long_with_one_dash(text) => format!("-{text}").into(),
            _ => word,
        }
    };
    words.into_iter().map(rewrite).collect()
}

/// Reads a boolean flag's value as Go does (`1`, `t`, `TRUE` …).
fn go_bool(text: &str) -> Result<bool, String> {
    lang::number::parse_bool(text).map_err(|error| error.to_string())
}

fn is_long_with_one_dash(word: &str) -> bool {
    let mut rest = word.strip_prefix('-').unwrap_or_default().chars();
    rest.next().is_some_and(|c| c.is_ascii_alphabetic()) && rest.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flag_given_twice_the_last_counts_and_a_boolean_is_read_as_go_does() {
        for (typed, dev) in [
            ("rutter agent -dev=1", "true"),
            ("rutter agent -dev -dev=F", "false"),
            ("rutter agent -bind=127.0.0.1 -bind 127.0.0.2 -dev", "true"),
        ] {
            let words = two_dashes(typed.split(' ').map(OsString::from).collect());
            let words = Words::try_parse_from(words).expect(typed);
            let Command::Agent(flags) = words.command else { panic!("{typed} is the agent") };
            assert_eq!(flags.dev().to_string(), dev, "{typed}");
        }
        let bad = ["rutter", "agent", "--dev=maybe"];
        assert!(Words::try_parse_from(bad).is_err());
    }

    #[track_caller]
    fn check(typed: &str, understood: &str) {
        let words = typed.split(' ').map(OsString::from).collect();
        let joined = two_dashes(words).join(std::ffi::OsStr::new(" "));
        assert_eq!(joined.to_str(), Some(understood));
    }

    #[test]
    fn a_long_flag_takes_one_dash_or_two() {
        check("agent -dev -bind=127.0.0.1", "agent --dev --bind=127.0.0.1");
        check("agent --dev", "agent --dev");
        check("agent -h", "agent -h");
        check("agent -dns-port -1", "agent --dns-port -1");
        check("lock -- sh -ec x", "lock -- sh -ec x");
    }
}
