//! `rutter services`: this agent's own registrations.

mod deregister;
mod files;
mod register;

use super::failure::Outcome;
use clap::{Args, Subcommand};

/// Registers services with the local agent.
#[derive(Args)]
pub struct Services {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take services away from the local agent
    Deregister(Box<deregister::Deregister>),
    /// Give services to the local agent
    Register(Box<register::Register>),
}

impl Services {
    /// Runs what is below.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Deregister(command) => command.run(),
            Command::Register(command) => command.run(),
        }
    }
}
