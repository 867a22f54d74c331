//! `rutter validate`: what is wrong with configuration files, all of it at once.

use super::failure::Outcome;
use super::output;
use crate::config::{Format, Sources};
use clap::Args;
use std::path::PathBuf;

/// Flags of `rutter validate`.
#[derive(Args)]
#[command(
    long_about = "Says everything that is wrong with configuration files at once, each with its line, \
                  without starting anything. Files may define services and checks.",
    after_help = "Examples:\n  $ rutter validate /etc/consul.d"
)]
pub struct ValidateFlags {
    /// The language of all files whatever their names: hcl or json
    #[arg(long, value_name = "LANGUAGE", value_parser = Format::named)]
    config_format: Option<Format>,
    /// Say nothing where nothing is wrong
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    quiet: Option<bool>,
    /// Files, and directories of them
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl ValidateFlags {
    /// Reads the files and says what is wrong with them.
    pub fn run(self) -> Outcome {
        if self.paths.is_empty() {
            return Err("Must specify at least one config file or directory".into());
        }
        let sources = Sources {
            paths: self.paths,
            format: self.config_format,
            only_checked: true,
            ..Sources::default()
        };
        let loaded =
            sources.load().map_err(|error| format!("Config validation failed: {error:#}"))?;
        if self.quiet != Some(true) {
            for warning in &loaded.warnings {
                output::complain(warning);
            }
            output::say("Configuration is valid!");
        }
        Ok(())
    }
}
