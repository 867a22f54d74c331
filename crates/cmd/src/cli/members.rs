//! `rutter members`.

use super::client::{self, Query};
use super::failure::{Failure, Outcome};
use super::flags::ClientFlags;
use super::output::{self, Format, cell};
use clap::Args;
use regex::Regex;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// Stands for every segment, in the question.
const ALL_SEGMENTS: &str = "_all";

/// Lists the members of the cluster.
#[derive(Args)]
#[command(
    long_about = "Lists the members of the cluster as this agent sees them. Exits with 2 if none matches.",
    after_help = "Examples:\n  $ rutter members\n  $ rutter members -detailed\n  $ rutter members -status=alive"
)]
pub struct Members {
    /// Show all that each member tells of itself
    #[arg(long)]
    detailed: bool,
    /// Show the servers of all datacenters
    #[arg(long)]
    wan: bool,
    /// Show those whose status matches a regular expression
    #[arg(long, value_name = "REGEX", default_value = ".*")]
    status: String,
    /// Sent along; there are no segments
    #[arg(long, value_name = "NAME", default_value = ALL_SEGMENTS, hide_default_value = true)]
    segment: String,
    /// Show those that an expression selects
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: ClientFlags,
}

impl Members {
    /// Prints a table; exits with 2 if nobody is in it.
    pub fn run(self) -> Outcome {
        let status = Regex::new(&self.status)
            .map_err(|error| format!("Failed to compile status regexp: {error}"))?;
        let client = self.client.client()?;
        let query = match self.wan {
            true => Query::new().with("wan", "1"),
            false => Query::new().with("segment", &self.segment),
        };
        let query = query.with_some("filter", self.filter.as_deref());
        let found = client::run(async {
            let members = client.get("/v1/agent/members", &query).await;
            let members = members.and_then(|answer| answer.json());
            Ok(members.map_err(|why| format!("Error retrieving members: {why}"))?)
        })?;
        let Value::Array(mut members) = found else {
            return Err("Error retrieving members: the answer is no list".into());
        };
        members.retain(|member| status.is_match(status_of(member)));
        if members.is_empty() {
            return Err(Failure::silent(2));
        }
        members.sort_by_key(|member| (tag(member, "role") != "consul", text(&member["Name"])));
        match self.format {
            Format::Json => return output::say_json(&Value::Array(members), "    "),
            Format::Pretty if self.detailed => output::say(&detailed(&members)),
            Format::Pretty => output::say(&standard(&members, self.segment == ALL_SEGMENTS)),
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    cell(value)
}

fn tag<'m>(member: &'m Value, name: &str) -> &'m str {
    member["Tags"][name].as_str().unwrap_or_default()
}

fn status_of(member: &Value) -> &'static str {
    match member["Status"].as_u64() {
        Some(0) => "none",
        Some(1) => "alive",
        Some(2) => "leaving",
        Some(3) => "left",
        Some(4) => "failed",
        _ => "unknown",
    }
}

fn address(member: &Value) -> String {
    let (ip, port) = (text(&member["Addr"]), member["Port"].as_u64().unwrap_or(0));
    match (ip.parse::<IpAddr>(), u16::try_from(port)) {
        (Ok(ip), Ok(port)) => SocketAddr::new(ip, port).to_string(),
        _ => format!("{ip}:{port}"),
    }
}

fn partition(member: &Value) -> String {
    let named = tag(member, "ap");
    if named.is_empty() { "default" } else { named }.to_owned()
}

fn segment(member: &Value, all: bool) -> String {
    match tag(member, "segment") {
        _ if partition(member) != "default" => "",
        _ if all && tag(member, "role") == "consul" => "<all>",
        "" => "<default>",
        named => named,
    }
    .to_owned()
}

fn standard(members: &[Value], all: bool) -> String {
    let header =
        ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for member in members {
        let mut row = vec![text(&member["Name"]), address(member), status_of(member).to_owned()];
        let kind = match tag(member, "role") {
            "consul" => "server",
            "node" => "client",
            _ => {
                row.push("unknown".to_owned());
                row.extend(std::iter::repeat_n(String::new(), 5));
                rows.push(row);
                continue;
            }
        };
        let build = tag(member, "build").split(':').next().unwrap_or_default();
        row.extend([kind, build, tag(member, "vsn"), tag(member, "dc")].map(str::to_owned));
        row.extend([partition(member), segment(member, all)]);
        rows.push(row);
    }
    output::columns(&rows)
}

fn detailed(members: &[Value]) -> String {
    let mut rows = vec![["Node", "Address", "Status", "Tags"].map(str::to_owned).to_vec()];
    for member in members {
        let mut shown = member["Tags"].clone();
        if let Some(tags) = shown.as_object_mut() {
            tags.insert("ap".to_owned(), partition(member).into());
            tags.insert("segment".to_owned(), segment(member, true).into());
        }
        let tags = output::map(&shown).replace(", ", ",");
        let name = text(&member["Name"]);
        rows.push(vec![name, address(member), status_of(member).to_owned(), tags]);
    }
    output::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn member(name: &str, role: &str, status: u64) -> Value {
        json!({
            "Name": name, "Addr": "10.0.0.1", "Port": 8301, "Status": status,
            "Tags": { "role": role, "build": "1.22.0:abc", "vsn": "2", "dc": "dc1", "segment": "" },
        })
    }

    #[test]
    fn servers_are_of_all_segments_and_clients_of_the_default_one() {
        let members = [member("s1", "consul", 1), member("c1", "node", 4), member("x", "", 3)];
        let expected = [
            "Node  Address        Status  Type     Build   Protocol  DC   Partition  Segment",
            "s1    10.0.0.1:8301  alive   server   1.22.0  2         dc1  default    <all>",
            "c1    10.0.0.1:8301  failed  client   1.22.0  2         dc1  default    <default>",
            "x     10.0.0.1:8301  left    unknown                                    ",
        ];
        assert_eq!(standard(&members, true), expected.join("\n"));
    }

    #[test]
    fn tags_are_sorted() {
        let shown = detailed(&[member("s1", "consul", 1)]);
        let tags = "ap=default,build=1.22.0:abc,dc=dc1,role=consul,segment=<all>,vsn=2";
        assert!(shown.ends_with(&format!("s1    10.0.0.1:8301  alive   {tags}")), "{shown}");
    }
}
