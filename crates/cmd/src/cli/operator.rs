//! `rutter operator`: tools for operators of the cluster.

mod raft;

use super::failure::Outcome;
use clap::{Args, Subcommand};

/// Tools for operators of the cluster.
#[derive(Args)]
pub struct Operator {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at the servers of the replicated log
    Raft(raft::Raft),
}

impl Operator {
    /// Runs what is below.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Raft(command) => command.run(),
        }
    }
}
