//! `rutter version`.

use super::failure::Outcome;
use super::output::{self, Format};
use clap::Args;
use serde_json::json;

/// The release of Consul whose API this one speaks; clients gate what they do on it.
pub const CONSUL_VERSION: &str = "1.22.0";

/// The build tells no date of its own, so that it can be reproduced.
pub const BUILD_DATE: &str = "1970-01-01T00:00:00Z";

const OWN: &str = env!("CARGO_PKG_VERSION");

/// Says which version this is.
#[derive(Args)]
#[command(after_help = "Examples:\n  $ rutter version\n  $ rutter version -format=json")]
pub struct Version {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Version {
    /// Called as `consul`, it prints the four lines that scripts look for.
    pub fn run(self, invoked_as: &str) -> Outcome {
        if self.format == Format::Json {
            return output::say_json(
                &json!({
                    "Version": CONSUL_VERSION,
                    "Revision": revision(),
                    "Prerelease": "",
                    "BuildDate": BUILD_DATE,
                    "RPC": { "Default": 2, "Min": 2, "Max": 3 },
                    "FIPS": "",
                }),
                "   ",
            );
        }
        if invoked_as != "consul" {
            output::say(&format!("rutter v{OWN}"));
            output::say(&format!("speaks the API of Consul v{CONSUL_VERSION}"));
            return Ok(());
        }
        output::say(&format!("Consul v{CONSUL_VERSION}"));
        output::say(&format!("Revision {}", revision()));
        output::say(&format!("Build Date {BUILD_DATE}"));
        output::say(
            "Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use \
             protocol >2 when speaking to compatible agents)",
        );
        Ok(())
    }
}

/// Where Consul names a commit, this says who it really is.
fn revision() -> String {
    format!("rutter-{OWN}")
}
