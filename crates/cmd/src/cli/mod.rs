//! The command line: one file a command, one line each in [`Command`].
//!
//! Commands that ask an agent print what Consul's print, since scripts read it: results on stdout,
//! complaints on stderr, and the exit code says the rest. Words are prepared by [`words`] first, as Go
//! reads flags otherwise than clap.

mod accepted;
mod agent;
mod catalog;
mod child;
mod client;
mod completion;
mod dev;
mod event;
mod failure;
mod flags;
mod force_leave;
mod info;
mod join;
mod keygen;
mod kv;
mod leave;
mod lock;
mod maint;
mod members;
mod operator;
mod output;
mod reload;
mod services;
mod validate;
mod version;
mod watch;
mod why;
mod words;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use failure::Outcome;
use std::ffi::OsString;
use std::process::ExitCode;

pub use version::CONSUL_VERSION;
use words::go_bool;

/// What Consul's scripts expect of an unknown command.
const UNKNOWN_COMMAND: u8 = 127;

#[derive(Parser)]
#[command(
    name = "rutter",
    about = "Service discovery in one binary",
    disable_version_flag = true,
    after_help = "Long flags take one dash or two. `rutter COMMAND -h` shows examples of each command.\n\n\
                  Examples:\n  $ rutter dev\n  $ rutter members"
)]
struct Words {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an agent: the process that answers over HTTP and DNS
    Agent(Box<agent::AgentFlags>),
    /// Ask the catalog for datacenters, nodes and services
    Catalog(catalog::Catalog),
    /// Print a script that completes words in a shell
    Completion(completion::Completion),
    /// Try it: a server in memory with a sample service, no configuration
    Dev(dev::DevFlags),
    /// Fire an event
    Event(event::Event),
    /// Take a member that failed for gone
    ForceLeave(force_leave::ForceLeave),
    /// Print numbers of the agent, for operators
    Info(info::Info),
    /// Tell the agent to join a cluster
    Join(join::Join),
    /// Make a key for encrypting gossip
    Keygen(keygen::Keygen),
    /// Work with the key-value store
    Kv(kv::Kv),
    /// Tell the agent to leave the cluster and to end
    Leave(leave::Leave),
    /// Run a program while holding a lock
    Lock(lock::Lock),
    /// Put a node or a service into maintenance, or out of it
    Maint(maint::Maint),
    /// List the members of the cluster
    Members(members::Members),
    /// Tools for operators of the cluster
    Operator(operator::Operator),
    /// Tell the agent to read its configuration again
    Reload(reload::Reload),
    /// Register services with the local agent
    Services(services::Services),
    /// Say what is wrong with configuration files, without running anything
    Validate(validate::ValidateFlags),
    /// Say which version this is
    Version(version::Version),
    /// Watch for changes, and run a program at each
    Watch(watch::Watch),
    /// Say why a name is answered as it is, or not at all
    Why(why::Why),
}

impl Command {
    fn run(self, invoked_as: &str) -> Outcome {
        match self {
            Command::Agent(flags) => agent::run(*flags, invoked_as).map_err(Into::into),
            Command::Dev(flags) => dev::run(flags).map_err(Into::into),
            Command::Catalog(command) => command.run(),
            Command::Completion(command) => command.run(tree(invoked_as), invoked_as),
            Command::Event(command) => command.run(),
            Command::ForceLeave(command) => command.run(),
            Command::Info(command) => command.run(),
            Command::Join(command) => command.run(),
            Command::Keygen(command) => command.run(),
            Command::Kv(command) => command.run(),
            Command::Leave(command) => command.run(),
            Command::Lock(command) => command.run(),
            Command::Maint(command) => command.run(),
            Command::Members(command) => command.run(),
            Command::Operator(command) => command.run(),
            Command::Reload(command) => command.run(),
            Command::Services(command) => command.run(),
            Command::Validate(flags) => flags.run(),
            Command::Version(command) => command.run(invoked_as),
            Command::Watch(command) => command.run(),
            Command::Why(command) => command.run(),
        }
    }
}

/// Runs what the words say.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let invoked_as = invoked_as(&words);
    // Not a command of people: the agent starts itself so, and the words after it are a script's.
    if words.get(1).is_some_and(|word| word == ::agent::guard::WORD) {
        return guard(&words[2..]);
    }
    if let Some(asked) = completion::install_asked(&words) {
        return end(completion::install(asked, &invoked_as));
    }
    let tree = tree(&invoked_as);
    let words = words::prepare(&tree, words);
    let below_a_command = words.get(1).and_then(|word| word.to_str());
    let below_a_command = below_a_command.is_some_and(|word| tree.find_subcommand(word).is_some());
    let understood =
        tree.try_get_matches_from(words).and_then(|matches| Words::from_arg_matches(&matches));
    match understood {
        Ok(words) => end(words.command.run(&invoked_as)),
        Err(error) => explain(&error, below_a_command),
    }
}

/// All commands with their flags, under the name that the program was called by.
fn tree(invoked_as: &str) -> clap::Command {
    let name = if invoked_as == "consul" { "consul" } else { "rutter" };
    words::as_go_reads(Words::command(), name).name(name).bin_name(name)
}

fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.text);
            ExitCode::from(failure.code)
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

fn explain(error: &clap::Error, below_a_command: bool) -> ExitCode {
    let text = words::one_dash(&error.render().to_string());
    match error.kind() {
        ErrorKind::DisplayHelp => output::say(text.trim_end()),
        _ => output::complain(text.trim_end()),
    }
    match error.kind() {
        ErrorKind::DisplayHelp => ExitCode::SUCCESS,
        ErrorKind::InvalidSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if !below_a_command =>
        {
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
            let Ok(Command::Agent(flags)) = understand(typed) else { panic!("{typed}") };
            assert_eq!(flags.dev().to_string(), dev, "{typed}");
        }
        assert!(understand("rutter agent --dev=maybe").is_err());
    }

    fn understand(typed: &str) -> Result<Command, clap::Error> {
        let tree = tree("rutter");
        let words = typed.split(' ').map(OsString::from).collect();
        let matches = tree.clone().try_get_matches_from(words::prepare(&tree, words))?;
        Words::from_arg_matches(&matches).map(|words| words.command)
    }

    /// Every command that does something, with the words that lead to it.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            let below = command.get_subcommands().filter(|below| below.get_name() != "help");
            below.for_each(|below| leaves(below, &path, found));
        } else {
            found.push((path.trim().to_owned(), command.clone()));
        }
    }

    #[test]
    fn the_help_of_each_command_has_an_example_of_it() {
        let mut found = Vec::new();
        leaves(&tree("rutter"), "", &mut found);
        assert!(found.len() > 20, "{}", found.len());
        for (path, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("$ {path}")), "{path}: {help:?}");
            assert!(command.get_about().is_some(), "{path}");
        }
    }

    #[test]
    fn under_the_name_consul_the_examples_name_it() {
        let mut found = Vec::new();
        leaves(&tree("consul"), "", &mut found);
        for (path, command) in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("$ consul "), "{path}: {help:?}");
            assert!(!help.contains("rutter"), "{path}: {help:?}");
        }
    }

    #[test]
    fn the_words_are_consistent() {
        tree("rutter").debug_assert();
    }

    #[test]
    fn version_is_also_a_flag() {
        for typed in ["rutter -v", "rutter -version", "rutter --version", "rutter version"] {
            assert!(matches!(understand(typed), Ok(Command::Version(_))), "{typed}");
        }
    }
}
