//! `rutter agent`: Consul's flags over Consul's configuration files.

use super::accepted::Accepted;
use crate::config::{self, Format, Raw, Sources};
use crate::wiring;
use clap::Args;
use std::path::PathBuf;

/// Flags; each overrides the key of the same meaning in every file.
#[derive(Args, Default)]
#[command(
    after_help = "Examples:\n  $ rutter agent -dev\n  $ rutter agent -server -bootstrap-expect=1 -data-dir=/var/lib/rutter -config-file=/etc/rutter/agent.hcl"
)]
pub struct AgentFlags {
    /// Run a server in memory on loopback; nothing is kept
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    dev: Option<bool>,
    /// Be a server: hold the replicated log
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    server: Option<bool>,
    /// Be the only server
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    bootstrap: Option<bool>,
    /// How many servers to wait for; 1 is the only number yet
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    bootstrap_expect: Option<i64>,
    /// Where everything is kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A file of configuration, or a directory of them (`.hcl`, `.json`); may be given again, later
    /// ones override
    #[arg(long, visible_alias = "config-dir", value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// The language of all files whatever their names: hcl or json
    #[arg(long, value_name = "LANGUAGE", value_parser = Format::named)]
    config_format: Option<Format>,
    /// Configuration in HCL, over files and flags; may be given again
    #[arg(long, value_name = "TEXT")]
    hcl: Vec<String>,
    /// Read files again when they are written
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    auto_reload_config: Option<bool>,
    /// A file for this process's number
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// The address given to others, where it is not the one bound
    #[arg(long, value_name = "IP")]
    advertise: Option<String>,
    /// The address given to other datacenters
    #[arg(long, value_name = "IP")]
    advertise_wan: Option<String>,
    /// The zone that DNS answers for
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// A second name of that zone
    #[arg(long, value_name = "NAME")]
    alt_domain: Option<String>,
    /// A key and a value of this node, `key:value`; may be given again
    #[arg(long, value_name = "PAIR", value_parser = pair)]
    node_meta: Vec<(String, String)>,
    /// How long a blocking query waits that does not say
    #[arg(long, value_name = "TIME")]
    default_query_time: Option<String>,
    /// How long a blocking query waits at most
    #[arg(long, value_name = "TIME")]
    max_query_time: Option<String>,
    /// Networks that may use methods that write, such as 10.0.0.0/8; may be given again
    #[arg(long, value_name = "NETWORK")]
    allow_write_http_from: Vec<String>,
    /// The datacenter that leads in what is common to all
    #[arg(long, value_name = "NAME")]
    primary_datacenter: Option<String>,
    #[command(flatten)]
    accepted: Accepted,
    /// This node's name; the host's name by default
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// This node's id; random by default, and kept in the data directory
    #[arg(long, value_name = "UUID")]
    node_id: Option<String>,
    /// The address of this node for others
    #[arg(long, value_name = "IP")]
    bind: Option<String>,
    /// The addresses where clients are answered, separated by blanks
    #[arg(long, value_name = "IP")]
    client: Option<String>,
    /// The name of this datacenter
    #[arg(long, value_name = "NAME")]
    datacenter: Option<String>,
    /// trace, debug, info, warn or err
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Write lines as JSON
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    log_json: Option<bool>,
    /// Write lines to a file, too; its name gets the time it began
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
    /// Begin another log file when one has so many bytes; 0 for any number
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    log_rotate_bytes: Option<i64>,
    /// Begin another log file after this time; 24h
    #[arg(long, value_name = "TIME")]
    log_rotate_duration: Option<String>,
    /// Keep so many log files beside the newest; 0 for all, -1 for none
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    log_rotate_max_files: Option<i64>,
    /// Taken, with a warning: there is no syslog yet
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    syslog: Option<bool>,
    /// Run scripts as checks, also those registered over HTTP: whoever may register can then run
    /// programs here
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    enable_script_checks: Option<bool>,
    /// Run scripts as checks, of configuration files only
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, value_parser = super::go_bool)]
    enable_local_script_checks: Option<bool>,
    /// The most bytes kept of what a check says; 4096
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    check_output_max_size: Option<i64>,
    /// Where HTTP is answered; 0 for any free port, -1 for none
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    http_port: Option<i64>,
    /// Where DNS is answered, UDP and TCP; 0 for any free port, -1 for none
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    dns_port: Option<i64>,
    /// Where other servers are taken; 0 for any free port
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    server_port: Option<i64>,
}

/// Runs an agent until it is told to stop.
pub fn run(flags: AgentFlags, invoked_as: &str) -> anyhow::Result<()> {
    let syslog = flags.syslog == Some(true);
    let sources = flags.into_sources();
    let mut loaded = sources.load()?;
    if syslog {
        loaded.warnings.push("-syslog is accepted but has no effect in this version".to_owned());
    }
    wiring::run(wiring::Plan { loaded, sources, sample: false, invoked_as: invoked_as.to_owned() })
}

impl AgentFlags {
    /// Whether everything is to stay in memory.
    pub(super) fn dev(&self) -> bool {
        self.dev.unwrap_or(false)
    }

    /// Where the configuration comes from.
    fn into_sources(self) -> Sources {
        Sources {
            paths: self.config_file.clone(),
            format: self.config_format,
            fragments: self.hcl.clone(),
            other_flags: self.accepted.tree(),
            dev: self.dev(),
            only_checked: false,
            flags: self.into_raw(),
        }
    }

    fn into_raw(self) -> Raw {
        let ports = config::RawPorts {
            http: self.http_port,
            dns: self.dns_port,
            server: self.server_port,
            ..Default::default()
        };
        let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        let node_meta = Some(self.node_meta).filter(|pairs| !pairs.is_empty());
        let http_config = config::RawHttp {
            allow_write_http_from: given(self.allow_write_http_from),
            ..Default::default()
        };
        Raw {
            server: self.server,
            bootstrap: self.bootstrap,
            bootstrap_expect: self.bootstrap_expect,
            data_dir: self.data_dir,
            node_name: self.node,
            node_id: self.node_id,
            bind_addr: self.bind,
            client_addr: self.client,
            datacenter: self.datacenter,
            log_level: self.log_level,
            log_file: self.log_file,
            log_rotate_bytes: self.log_rotate_bytes,
            log_rotate_duration: self.log_rotate_duration,
            log_rotate_max_files: self.log_rotate_max_files,
            enable_script_checks: self.enable_script_checks,
            enable_local_script_checks: self.enable_local_script_checks,
            check_output_max_size: self.check_output_max_size,
            auto_reload_config: self.auto_reload_config,
            pid_file: self.pid_file,
            advertise_addr: self.advertise,
            advertise_addr_wan: self.advertise_wan,
            domain: self.domain,
            alt_domain: self.alt_domain,
            node_meta: node_meta.map(|pairs| pairs.into_iter().collect()),
            log_json: self.log_json,
            default_query_time: self.default_query_time,
            max_query_time: self.max_query_time,
            primary_datacenter: self.primary_datacenter,
            http_config,
            ports,
            ..Raw::default()
        }
    }
}

/// A key and a value; without a colon the value is empty.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once(':').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("a pair is written key:value".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}
