//! `rutter keygen`.

use super::failure::Outcome;
use super::output;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

/// Makes a key for encrypting gossip.
#[derive(Args)]
#[command(after_help = "Examples:\n  $ rutter keygen")]
pub struct Keygen {}

impl Keygen {
    /// Prints 32 random bytes in base 64.
    pub fn run(self) -> Outcome {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| format!("Error reading random data: {error}"))?;
        output::say(&STANDARD.encode(key));
        Ok(())
    }
}
