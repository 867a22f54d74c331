//! `rutter why`: whether a name is answered, or the one thing that keeps each instance out.
//!
//! The agent explains (`/v1/rutter/why/`); this asks it and lays out what it says for people.

mod told;

use super::client::{self, path};
use super::failure::{Failure, Outcome};
use super::flags::{ClientFlags, ServerFlags};
use super::output::{self, Format};
use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::fmt;

/// Says why a name is answered as it is.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter why web\n  $ rutter why web@n1\n  $ rutter why -passing -tag=v1 web\n  \
                        $ rutter why v1.web.service.consul\n  $ rutter why -as=dns -type=A -edns=512 web"
)]
pub struct Why {
    /// Only instances with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only what passes: as HTTP is asked with ?passing, and DNS under only_passing
    #[arg(long)]
    passing: bool,
    /// Only this door
    #[arg(long = "as", value_enum, value_name = "DOOR")]
    door: Option<Door>,
    /// The record type that DNS is asked for; SRV by default, of a node ANY
    #[arg(long = "type", value_name = "TYPE")]
    qtype: Option<String>,
    /// The size that the DNS question offers by EDNS, 0 for none; 1232 by default
    #[arg(long, value_name = "BYTES")]
    edns: Option<u16>,
    /// Ask DNS over TCP
    #[arg(long)]
    tcp: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// A service, SERVICE@NODE, a node, or a name of DNS
    #[arg(value_name = "NAME")]
    words: Vec<String>,
}

/// A door through which instances are told.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Dns,
    Http,
}

/// Nothing is served.
const NOTHING_SERVED: u8 = 2;

impl Why {
    /// Prints the explanation; ends with 2 where nothing is served.
    pub fn run(self) -> Outcome {
        let [name] = self.words.as_slice() else {
            return Err(
                "This command takes one name: a service, SERVICE@NODE, a node, or a DNS name"
                    .into(),
            );
        };
        let client = self.client.client()?;
        let door = self.door.map(|door| match door {
            Door::Dns => "dns",
            Door::Http => "http",
        });
        let edns = self.edns.map(|size| size.to_string());
        let query = self
            .server
            .query()
            .with_flag("passing", self.passing)
            .with_flag("tcp", self.tcp)
            .with_some("tag", self.tag.as_deref())
            .with_some("as", door)
            .with_some("type", self.qtype.as_deref())
            .with_some("edns", edns.as_deref());
        client::run(async {
            let found = client.get(&path("/v1/rutter/why/", name), &query).await;
            let found = found.and_then(|answer| answer.json());
            let found = found.map_err(|why| format!("Error asking why: {why}"))?;
            match self.format {
                Format::Json => output::say_json(&found, "    ")?,
                Format::Pretty => {
                    let now = jiff::Timestamp::now();
                    let (paint, url) = (Paint::of_stdout(), client.url());
                    let told = told::Told { found: &found, paint, now, url: &url };
                    // It is painted, and has made strangers' words plain.
                    output::say_bytes(told.to_string().trim_end().as_bytes());
                }
            }
            if is_served(&found) { Ok(()) } else { Err(Failure::silent(NOTHING_SERVED)) }
        })
    }
}

/// Whether some door tells something; a node is there or not.
fn is_served(found: &Value) -> bool {
    let doors = found["Doors"].as_array().into_iter().flatten();
    match found["Kind"].as_str() {
        Some("service") => doors.into_iter().any(|door| door["Served"].as_u64() > Some(0)),
        _ => found["Absence"].is_null(),
    }
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    /// Colours on a terminal, unless `NO_COLOR` is set or the terminal has none.
    fn of_stdout() -> Paint {
        Paint(AutoStream::choice(&std::io::stdout()) != ColorChoice::Never)
    }

    fn good(self, text: impl fmt::Display) -> String {
        self.with(anstyle::AnsiColor::Green.on_default(), text)
    }

    fn bad(self, text: impl fmt::Display) -> String {
        self.with(anstyle::AnsiColor::Red.on_default(), text)
    }

    fn strong(self, text: impl fmt::Display) -> String {
        self.with(anstyle::Style::new().bold(), text)
    }

    fn faint(self, text: impl fmt::Display) -> String {
        self.with(anstyle::Style::new().dimmed(), text)
    }

    fn with(self, style: anstyle::Style, text: impl fmt::Display) -> String {
        match self.0 {
            true => format!("{style}{text}{style:#}"),
            false => text.to_string(),
        }
    }
}
