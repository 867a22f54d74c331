//! An explanation laid out for people.
//!
//! It is painted, so that it cannot be made plain as a whole: each text of it is made so by itself.

use super::Paint;
use crate::cli::output::{plain, plain_json};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

/// The most instances that are laid out; JSON has more.
const MOST: usize = 50;

/// The most checks of an instance that are named.
const MOST_CHECKS: usize = 8;

/// The longest body of a request that is printed; JSON has them all.
const LONGEST_BODY: usize = 1_000;

/// What is printed.
pub struct Told<'f> {
    /// The agent's answer.
    pub found: &'f Value,
    /// Colours, or none.
    pub paint: Paint,
    /// To say how long ago something was.
    pub now: jiff::Timestamp,
    /// Where the agent was asked, for requests that any agent takes; empty where no URL tells it.
    pub url: &'f str,
}

fn text<'v>(value: &'v Value, key: &str) -> Cow<'v, str> {
    plain(value[key].as_str().unwrap_or_default())
}

fn texts<'v>(value: &'v Value, key: &str) -> Vec<Cow<'v, str>> {
    list(value, key).iter().filter_map(Value::as_str).map(plain).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn count(value: &Value, key: &str) -> usize {
    value[key].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        for door in list(self.found, "Doors") {
            self.door(f, door)?;
        }
        // What is kept out first: that is what was asked for.
        let mut instances: Vec<&Value> = list(self.found, "Instances").iter().collect();
        instances.sort_by_key(|instance| is_served(instance));
        for instance in instances.iter().take(MOST) {
            self.instance(f, instance)?;
        }
        self.more(f, instances.len())?;
        let unsynced = list(self.found, "Unsynced");
        for instance in unsynced.iter().take(MOST) {
            self.instance(f, instance)?;
        }
        let more = unsynced.len().saturating_sub(MOST) + count(self.found, "MoreUnsynced");
        if more > 0 {
            writeln!(f, "\n… and {more} more that only the agent knows")?;
        }
        for gone in list(self.found, "Gone") {
            self.gone(f, gone)?;
        }
        Ok(())
    }
}

fn is_served(instance: &Value) -> bool {
    list(instance, "Verdicts").iter().all(|verdict| verdict["Served"] == true)
}

impl Told<'_> {
    /// How many instances are not laid out here, of so many that the agent did.
    fn more(&self, f: &mut Formatter<'_>, laid_out: usize) -> fmt::Result {
        let beyond = count(self.found, "MoreInstances");
        let more = laid_out.saturating_sub(MOST) + beyond;
        match (more, beyond) {
            (0, _) => {}
            (_, 0) => writeln!(f, "\n… and {more} more: -format=json has them all")?,
            _ => writeln!(f, "\n… and {more} more: -format=json has {laid_out} in all")?,
        }
        match count(self.found, "MoreServices") {
            0 => Ok(()),
            1 => writeln!(f, "\n… and 1 more service: ask for SERVICE@NODE"),
            services => writeln!(f, "\n… and {services} more services: ask for SERVICE@NODE"),
        }
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, name) = (text(self.found, "Kind"), text(self.found, "Name"));
        write!(f, "{} {}", kind, self.paint.strong(name))?;
        let (tag, node) = (text(self.found, "Tag"), text(self.found, "Node"));
        if !tag.is_empty() {
            write!(f, " with tag {tag}")?;
        }
        if kind == "service" && !node.is_empty() {
            write!(f, " on {node}")?;
        }
        if self.found["Absence"].is_object() {
            write!(f, ": {}", self.paint.bad(text(&self.found["Absence"], "Text")))?;
        }
        writeln!(f)?;
        if self.found["Nearest"].is_string() {
            writeln!(f, "  did you mean {}?", self.paint.strong(text(self.found, "Nearest")))?;
        }
        self.elsewhere(f)?;
        if !self.found["Registered"].is_null() {
            let owner = text(self.found, "Owner");
            writeln!(
                f,
                "  registered {}; kept up by {owner}",
                self.trace(&self.found["Registered"])
            )?;
        }
        Ok(())
    }

    /// Where it is that is not where it was looked for.
    fn elsewhere(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let elsewhere = &self.found["Elsewhere"];
        let nodes = texts(elsewhere, "Nodes");
        if nodes.is_empty() {
            return Ok(());
        }
        let named = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        let more = elsewhere["Count"].as_u64().unwrap_or(0).saturating_sub(named);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(f, "  it is on {}{more}", nodes.join(", "))
    }

    fn door(&self, f: &mut Formatter<'_>, door: &Value) -> fmt::Result {
        let label = if door["Door"] == "dns" { "DNS" } else { "HTTP" };
        write!(f, "  {label:<5} ")?;
        let (served, all) = (door["Served"].as_u64(), door["Instances"].as_u64());
        if text(self.found, "Kind") == "service" {
            let count = format!("serves {} of {}", served.unwrap_or(0), all.unwrap_or(0));
            let all_told = served == all && served > Some(0);
            let count = if all_told { self.paint.good(count) } else { self.paint.bad(count) };
            write!(f, "{count}")?;
        } else {
            let records = door["Records"].as_u64().unwrap_or(0);
            write!(f, "{} with {records} record{}", text(door, "Code"), plural(records))?;
        }
        let (asked, reason) = (text(door, "Asked"), text(door, "Reason"));
        if !reason.is_empty() {
            write!(f, " ({reason})")?;
        }
        match asked.is_empty() {
            true => writeln!(f),
            false => writeln!(f, "  {}", self.paint.faint(asked)),
        }
    }

    fn instance(&self, f: &mut Formatter<'_>, instance: &Value) -> fmt::Result {
        let (id, node) = (text(instance, "ID"), text(instance, "Node"));
        let served = is_served(instance);
        let name = format!("{id} on {node}");
        let name = if served { self.paint.good(name) } else { self.paint.bad(name) };
        write!(f, "\n{name}, {}:{}", text(instance, "Address"), instance["Port"])?;
        let tags = texts(instance, "Tags");
        if !tags.is_empty() {
            write!(f, ", tags {}", tags.join(" "))?;
        }
        writeln!(f)?;
        if !instance["Registered"].is_null() {
            let owner = text(instance, "Owner");
            writeln!(
                f,
                "  registered {}; kept up by {owner}",
                self.trace(&instance["Registered"])
            )?;
        }
        let checks = list(instance, "Checks").iter().take(MOST_CHECKS).map(|check| {
            let of = if check["OfNode"] == true { " of the node" } else { "" };
            format!("{}{of} {}", text(check, "CheckID"), text(check, "Status"))
        });
        let checks: Vec<String> = checks.collect();
        if !checks.is_empty() {
            writeln!(f, "  checks: {}", checks.join(", "))?;
        }
        for verdict in list(instance, "Verdicts") {
            self.verdict(f, verdict)?;
        }
        Ok(())
    }

    fn verdict(&self, f: &mut Formatter<'_>, verdict: &Value) -> fmt::Result {
        let door = text(verdict, "Door");
        let label = match door.as_ref() {
            "dns" => "DNS",
            "http" => "HTTP",
            other => other,
        };
        let causes = list(verdict, "Causes");
        let Some((first, others)) = causes.split_first() else {
            return writeln!(f, "  {label:<5} {}", self.paint.good("served"));
        };
        writeln!(f, "  {label:<5} {}: {}", self.paint.bad("left out"), text(first, "Text"))?;
        if let Some(output) = first["Output"].as_str() {
            let line = output.lines().next().unwrap_or_default();
            writeln!(f, "        it says: {}", plain(line))?;
        }
        let remedy = text(first, "Remedy");
        if !remedy.is_empty() {
            writeln!(f, "        back with: {remedy}")?;
        }
        for request in list(first, "Requests") {
            self.request(f, request)?;
        }
        for other in others {
            writeln!(f, "        and then: {}", text(other, "Text"))?;
        }
        Ok(())
    }

    /// A request that any agent takes, to be pasted, unless it is long. What a node's own agent is to do
    /// is said in the remedy's words.
    fn request(&self, f: &mut Formatter<'_>, request: &Value) -> fmt::Result {
        let body = &request["Body"];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if self.url.is_empty() || request["Node"].is_string() || body.len() > LONGEST_BODY {
            return Ok(());
        }
        let (method, path) = (text(request, "Method"), text(request, "Path"));
        let body = plain_json(&body).replace('\'', r"'\''");
        writeln!(f, "        curl -X {method} '{}{path}' -d '{body}'", self.url)
    }

    fn gone(&self, f: &mut Formatter<'_>, gone: &Value) -> fmt::Result {
        let name = format!("{} on {}", text(gone, "ID"), text(gone, "Node"));
        let removed = self.trace(&gone["Removed"]);
        writeln!(f, "\n{}\n  deregistered {removed}", self.paint.bad(name))
    }

    /// How long ago, by whom, through which door; or how far back is known.
    fn trace(&self, trace: &Value) -> String {
        let index = &trace["Index"];
        if trace["Beyond"].is_string() {
            let beyond = text(trace, "Beyond");
            return format!("at index {index}, which is no more known ({beyond})");
        }
        let ago = text(trace, "Time").parse().map_or(String::new(), |then: jiff::Timestamp| {
            ago(self.now.as_second().saturating_sub(then.as_second()))
        });
        let (mut told, actor) = (ago, text(trace, "Actor"));
        if !actor.is_empty() {
            told += &format!(" by {actor}");
        }
        match text(trace, "Door").as_ref() {
            "http" => told += " through HTTP",
            "agent" => told += " through its agent",
            _ => {}
        }
        if let (false, remote) = (text(trace, "Remote").is_empty(), text(trace, "Remote")) {
            told += &format!(" from {remote}");
        }
        told + &format!(" (index {index})")
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// How long ago, in the largest unit that fits.
fn ago(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..5 => return "just now".to_owned(),
        5..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}s ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_out_stands_first_with_what_would_bring_it_back() {
        let found = json!({
            "Kind": "service", "Name": "web", "Tag": "v1", "Node": "", "Nearest": "webs",
            "Doors": [
                {"Door": "dns", "Asked": "web.service.consul. SRV", "Served": 1, "Instances": 2},
            ],
            "Instances": [
                {"ID": "a", "Node": "n1", "Address": "10.0.0.1", "Port": 80, "Tags": ["v1"],
                 "Owner": "http", "Registered": {"Index": 7, "Beyond": "history reaches from index 8 to 9"},
                 "Verdicts": [{"Door": "dns", "Served": true, "Causes": []}]},
                {"ID": "b", "Node": "n2", "Address": "10.0.0.2", "Port": 80, "Tags": [],
                 "Owner": "http",
                 "Registered": {"Index": 9, "Time": "2026-01-01T00:00:00Z", "Actor": "anonymous",
                                "Door": "http", "Remote": "127.0.0.1:9"},
                 "Verdicts": [{"Door": "dns", "Served": false, "Causes": [
                     {"Text": "check \"m\" is critical", "Remedy": "it passes", "Output": "full\nx"},
                     {"Text": "it has no tag \"v1\"", "Remedy": "x"}]}]},
            ],
        });
        let now = "2026-01-01T00:03:00Z".parse().expect("a time");
        let told = Told { found: &found, paint: Paint(false), now, url: "" }.to_string();
        let expected = "service web with tag v1\n  did you mean webs?\n  \
            DNS   serves 1 of 2  web.service.consul. SRV\n\n\
            b on n2, 10.0.0.2:80\n  registered 3 minutes ago by anonymous through HTTP from \
            127.0.0.1:9 (index 9); kept up by http\n  DNS   left out: check \"m\" is critical\n        \
            it says: full\n        back with: it passes\n        and then: it has no tag \"v1\"\n\n\
            a on n1, 10.0.0.1:80, tags v1\n  registered at index 7, which is no more known (history \
            reaches from index 8 to 9); kept up by http\n  DNS   served\n";
        assert_eq!(told, expected);
        let coloured = Told { found: &found, paint: Paint(true), now, url: "" }.to_string();
        assert!(coloured.contains("\u{1b}[32ma on n1\u{1b}[0m"), "{coloured:?}");
    }

    #[test]
    fn strangers_words_are_plain_and_requests_can_be_pasted() {
        let evil = "e\u{1b}[2J\u{9b}1m\nforged";
        let found = json!({
            "Kind": "service", "Name": evil, "Tag": evil, "Node": evil, "Nearest": evil,
            "Absence": {"Text": evil}, "Elsewhere": {"Nodes": [evil], "Count": 3},
            "Doors": [{"Door": "dns", "Asked": evil, "Served": 1, "Instances": 2, "Reason": evil}],
            "Instances": [{
                "ID": evil, "Node": evil, "Address": evil, "Port": 80, "Tags": [evil], "Owner": evil,
                "Registered": {"Index": 9, "Actor": evil, "Door": evil, "Remote": evil},
                "Checks": [{"CheckID": evil, "Status": evil}],
                "Verdicts": [{"Door": evil, "Served": false, "Causes": [
                    {"Text": evil, "Remedy": evil, "Output": format!("{evil}\u{7}"), "Requests": [
                        {"Method": "PUT", "Path": "/v1/x", "Body": {"ID": "it's\u{9b}"}},
                        {"Method": "PUT", "Path": "/v1/agent/x", "Node": "n1"},
                    ]},
                    {"Text": evil}]}],
            }],
            "Gone": [{"ID": evil, "Node": evil, "Removed": {"Index": 1, "Beyond": evil}}],
        });
        let now = jiff::Timestamp::UNIX_EPOCH;
        let url = "http://localhost:8500";
        let told = Told { found: &found, paint: Paint(false), now, url }.to_string();
        assert!(!told.contains(|letter: char| letter.is_control() && letter != '\n'), "{told:?}");
        assert!(!told.lines().any(|line| line.starts_with("forged")), "{told}");
        assert!(told.contains("it says: e\\x1b[2J\\u009b1m\n"), "{told}");
        let request = r#"curl -X PUT 'http://localhost:8500/v1/x' -d '{"ID":"it'\''s\u009b"}'"#;
        assert!(told.contains(request) && !told.contains("agent/x"), "{told}");
    }

    #[test]
    fn what_is_not_laid_out_is_counted() {
        let instances = |count| vec![json!({"ID": "a", "Node": "n1", "Port": 80}); count];
        for (laid_out, beyond, services, expected) in [
            (50, 0, 0, ""),
            (51, 0, 0, "… and 1 more: -format=json has them all\n"),
            (1_000, 7, 0, "… and 957 more: -format=json has 1000 in all\n"),
            (1, 0, 2, "… and 2 more services: ask for SERVICE@NODE\n"),
        ] {
            let found = json!({
                "Kind": "service", "Name": "web", "Instances": instances(laid_out),
                "MoreInstances": beyond, "MoreServices": services,
            });
            let now = jiff::Timestamp::UNIX_EPOCH;
            let told = Told { found: &found, paint: Paint(false), now, url: "" }.to_string();
            let notes: String = told
                .lines()
                .filter(|line| line.starts_with('…'))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(notes, expected);
        }
    }

    #[test]
    fn a_while_is_told_in_its_largest_unit() {
        for (seconds, expected) in [
            (-3, "just now"),
            (4, "just now"),
            (119, "119 seconds ago"),
            (120, "2 minutes ago"),
            (7_200, "2 hours ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(seconds), expected);
        }
    }
}
