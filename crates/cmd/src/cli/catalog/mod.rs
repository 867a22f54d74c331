//! `rutter catalog`: what is registered.

mod datacenters;
mod nodes;
mod services;

use super::failure::Outcome;
use clap::{Args, Subcommand};

/// Asks the catalog for datacenters, nodes and services.
#[derive(Args)]
pub struct Catalog {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the datacenters
    Datacenters(datacenters::ListDatacenters),
    /// List the nodes of a datacenter
    Nodes(nodes::ListNodes),
    /// List the services of a datacenter
    Services(services::ListServices),
}

impl Catalog {
    /// Runs what is below.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Datacenters(command) => command.run(),
            Command::Nodes(command) => command.run(),
            Command::Services(command) => command.run(),
        }
    }
}

/// These commands take flags only.
fn no_words(words: &[String]) -> Result<(), String> {
    match words.len() {
        0 => Ok(()),
        given => Err(format!("Too many arguments (expected 0, got {given})")),
    }
}

/// `key=value` of a flag as the parameter's `key:value`.
fn meta(given: &[String]) -> impl Iterator<Item = String> {
    given.iter().map(|pair| match pair.split_once('=') {
        Some((key, value)) => format!("{key}:{value}"),
        None => pair.clone(),
    })
}
