//! `rutter dev`: see it work, with nothing to configure.

use crate::config::{Raw, RawPorts, Sources};
use crate::wiring;
use clap::Args;

/// Flags of `rutter dev`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter dev\n  $ rutter dev -no-sample -http-port=0 -dns-port=0"
)]
pub struct DevFlags {
    /// Leave the sample service out
    #[arg(long)]
    no_sample: bool,
    /// This node's name; the host's name by default
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where HTTP is answered; 0 for any free port
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    http_port: Option<i64>,
    /// Where DNS is answered, UDP and TCP; 0 for any free port
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    dns_port: Option<i64>,
    /// trace, debug, info, warn or err
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
}

/// Runs a server in memory with a sample service until it is told to stop.
pub fn run(flags: DevFlags) -> anyhow::Result<()> {
    let raw = Raw {
        node_name: flags.node,
        log_level: Some(flags.log_level),
        ports: RawPorts {
            http: flags.http_port,
            dns: flags.dns_port,
            server: Some(0),
            ..RawPorts::default()
        },
        ..Raw::default()
    };
    let sources = Sources { flags: raw, dev: true, ..Sources::default() };
    wiring::run(wiring::Plan {
        loaded: sources.load()?,
        sources,
        sample: !flags.no_sample,
        invoked_as: "rutter".to_owned(),
    })
}
