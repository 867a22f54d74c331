//! The project's own commands: check, fix, test, golden, sim, fuzz, budgets, soak, bench, dev, ci.
//!
//! A thin program on purpose: what a command does is cargo's work, in an order written down
//! once. The one thing of its own is [`tidy`], the rules of the house that no compiler checks.

mod budgets;
mod clients;
mod commands;
mod fuzz;
mod shell;
mod suite;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "the project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, clippy, tidy and rustdoc, warnings refused; writes nothing
    Check,
    /// The same, writing what can be written
    Fix,
    /// The rules of the house alone: edges, lengths, purity, headers, words, links
    Tidy,
    /// All tests, or one crate's; ends with `N passed, N failed, N skipped`
    Test {
        /// The crate whose tests are wanted
        krate: Option<String>,
    },
    /// Tests that compare with committed files; `--update` rewrites those files
    Golden {
        /// Rewrite the files instead of comparing
        #[arg(long)]
        update: bool,
        /// The crate whose files are meant
        krate: Option<String>,
    },
    /// The consensus simulation, a server and its disk in one thread, a run per seed
    Sim {
        /// How many seeds to run
        #[arg(long, default_value_t = 200)]
        seeds: u32,
    },
    /// Hostile bytes for everything that reads bytes; `make test` runs each target for 20 s
    Fuzz {
        /// A target of `fuzz/src/lib.rs`; all of them when left out
        target: Option<String>,
        /// How long each runs
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u64,
        /// Give the target this one input instead, such as a find
        #[arg(long)]
        input: Option<std::path::PathBuf>,
        /// Instead: add to the corpora what runs here found and no input of them reaches
        #[arg(long)]
        collect: bool,
    },
    /// Instruction counts by callgrind, compared with `bench/budgets.toml`
    Budgets {
        /// Rewrite the file instead of comparing, after a change that is meant to move a count
        #[arg(long)]
        update: bool,
    },
    /// The long kill test: a real server killed at random points on a disk that forgets
    Soak {
        /// How many kills
        #[arg(long, default_value_t = 1000)]
        kills: u32,
    },
    /// Benchmarks against a peer in the same run; installs the peers
    Bench {
        /// dns, register, memory or idle; all of them when left out
        names: Vec<String>,
    },
    /// Build the program and run `rutter dev`
    Dev {
        /// Arguments handed on
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// What continuous integration runs, in the same order
    Ci,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    shell::enter_the_workspace()?;
    match command {
        Command::Check => commands::check(),
        Command::Fix => commands::fix(),
        Command::Tidy => tidy::refuse_the_untidy(),
        Command::Test { krate } => suite::test(krate.as_deref()),
        Command::Golden { update, krate } => commands::golden(update, krate.as_deref()),
        Command::Sim { seeds } => commands::sim(seeds),
        Command::Fuzz { collect: true, .. } => fuzz::collect(),
        Command::Fuzz { target, seconds, input, .. } => {
            fuzz::fuzz(target.as_deref(), seconds, input.as_deref())
        }
        Command::Budgets { update } => budgets::budgets(update),
        Command::Soak { kills } => commands::soak(kills),
        Command::Bench { names } => commands::bench(&names),
        Command::Dev { arguments } => commands::dev(&arguments),
        Command::Ci => commands::ci(),
    }
}
