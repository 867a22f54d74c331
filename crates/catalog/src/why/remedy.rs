//! What would bring an instance back, and who would have to do it.
//!
//! A row belongs to whoever registered it (law 1), and only its owner's hand works: nobody runs the
//! checks of rows that were written past all agents, and no agent knows of their maintenance.

use super::Family;
use model::{Check, Owner, Row, Text, is_obeyed, is_printable};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What would bring an instance back.
///
/// Its text is a clause in the imperative or of an event; commands and paths in it can be pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Nobody runs the check: it is to be registered anew, as passing.
    Register(Arc<Row<Check>>),
    /// No agent holds the maintenance: its check is to be removed from the catalog.
    Deregister(Arc<Row<Check>>),
    /// The agent on the check's node is to end the maintenance.
    Resume(Arc<Row<Check>>),
    /// The agent on the check's node waits for a report.
    Report(Arc<Row<Check>>),
    /// Checks that this one follows are to pass.
    Follow {
        /// Of which node.
        node: Text,
        /// Of which instance there; empty for the node itself.
        instance: Text,
    },
    /// Its owner runs the check, and it is to pass.
    Run(Arc<Row<Check>>),
    /// Its source is to say that it runs.
    Source,
    /// It is to get a tag, or another one is to be asked for.
    Tag {
        /// The tag that it lacks.
        asked: Text,
        /// The one of its own that was perhaps meant.
        meant: Option<Text>,
    },
    /// Something else is to be asked for, or it is to be registered with an address of the family.
    Address(Family),
    /// It is to be registered with an IP address: a host name loses against those of others.
    HostName,
}

impl Remedy {
    /// What makes a check pass again, by who runs it.
    pub(super) fn of_check(check: &Arc<Row<Check>>) -> Remedy {
        if !check.owner.reconciles() {
            return Remedy::Register(Arc::clone(check));
        }
        let definition = check.definition.as_deref();
        let alias = definition.map(|it| (&it.alias_node, &it.alias_service));
        if let Some((on, instance)) = alias.filter(|(on, of)| !on.is_empty() || !of.is_empty()) {
            let node = if on.is_empty() { check.node.as_str() } else { on.as_str() };
            return Remedy::Follow { node: node.into(), instance: Text::new(instance.as_str()) };
        }
        match &*check.kind {
            "ttl" => Remedy::Report(Arc::clone(check)),
            _ => Remedy::Run(Arc::clone(check)),
        }
    }

    /// What ends a maintenance, by who holds it.
    pub(super) fn of_maintenance(check: &Arc<Row<Check>>) -> Remedy {
        match check.owner.reconciles() {
            true => Remedy::Resume(Arc::clone(check)),
            false => Remedy::Deregister(Arc::clone(check)),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::Register(_) => {
                f.write_str("nobody runs it: register it anew with Status passing")
            }
            Remedy::Deregister(check) => {
                let (id, node) = (check.id.as_str(), check.node.as_str());
                write!(
                    f,
                    "no agent holds it: deregister check {id:?} of node {node:?} from the catalog"
                )
            }
            Remedy::Resume(check) if check.instance.is_empty() => {
                write!(f, "`rutter maint -disable` on node {}", check.node)
            }
            Remedy::Resume(check) => {
                let id = check.instance.as_str();
                if path_segment(id).is_none() {
                    return unnameable(f, "it anew with ?replace-existing-checks", check);
                }
                let id = shell_word(id);
                write!(f, "`rutter maint -disable -service={id}` on node {}", check.node)
            }
            Remedy::Report(check) => {
                let Some(id) = path_segment(check.id.as_str()) else {
                    return unnameable(f, "it anew as a check that needs no report", check);
                };
                write!(
                    f,
                    "a report: `PUT /v1/agent/check/pass/{id}` to the agent on {}",
                    check.node
                )
            }
            Remedy::Follow { node, instance } if instance.is_empty() => {
                write!(f, "the checks of node {node}, which it follows, pass")
            }
            Remedy::Follow { node, instance } => {
                write!(f, "the checks of instance {instance} on {node}, which it follows, pass")
            }
            Remedy::Run(check) => run(f, check),
            Remedy::Source => f.write_str("its source says that it runs"),
            Remedy::Tag { asked, meant: Some(meant) } => {
                write!(f, "ask for the tag {meant:?}, or register it with the tag {asked:?}")
            }
            Remedy::Tag { asked, meant: None } => write!(f, "register it with the tag {asked:?}"),
            Remedy::Address(Family::None | Family::Zone) => f.write_str("ask for A, AAAA or SRV"),
            Remedy::Address(family) => {
                write!(f, "register it with {} {}", family.article(), family.as_str())
            }
            Remedy::HostName => f.write_str("register it with an IP address, or ask for SRV"),
        }
    }
}

/// What is waited for of a check that its owner runs.
fn run(f: &mut fmt::Formatter<'_>, check: &Row<Check>) -> fmt::Result {
    match &*check.kind {
        "" if check.owner == Owner::leader() => f.write_str("the leader finds that it passes"),
        "" => f.write_str("it passes"),
        "alias" => f.write_str("the checks that it follows pass"),
        kind if check.interval.is_empty() => write!(f, "its next {kind} probe passes"),
        kind => write!(f, "its next {kind} probe, one each {}, passes", check.interval),
    }
}

/// What is left where no path of an agent's carries an id.
fn unnameable(f: &mut fmt::Formatter<'_>, anew: &str, check: &Row<Check>) -> fmt::Result {
    write!(f, "no path carries its id: with the agent on {}, register {anew}", check.node)
}

/// A part of a URL's path that stands for this text; `None` where agents and those who ask them do not take
/// it as such: dots are a way through paths, and what cannot be printed is refused.
pub fn path_segment(text: &str) -> Option<String> {
    let is_taken = !matches!(text, "" | "." | "..") && text.chars().all(is_printable);
    is_taken.then(|| url_word(text))
}

/// A value in a URL's query that stands for this text.
pub fn url_word(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// A word of a shell that stands for this text.
fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    if !text.contains(is_obeyed) {
        return Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")));
    }
    // The one form of quotes in which a terminal is not spoken to.
    let mut word = String::from("$'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => word.extend(['\\', letter]),
            letter if is_obeyed(letter) => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    word.push_str(&format!("\\{byte:03o}"));
                }
            }
            letter => word.push(letter),
        }
    }
    word.push('\'');
    Cow::Owned(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Index;

    #[test]
    fn what_is_to_be_pasted_is_quoted() {
        for (id, word, segment) in [
            ("web-1", "web-1", Some("web-1")),
            ("service:web", "service:web", Some("service:web")),
            ("a b/c?d", "'a b/c?d'", Some("a%20b%2Fc%3Fd")),
            (
                "it's; rm -rf $HOME",
                r"'it'\''s; rm -rf $HOME'",
                Some("it%27s%3B%20rm%20-rf%20%24HOME"),
            ),
            ("", "''", None),
            (".", ".", None),
            ("..", "..", None),
            ("...", "...", Some("...")),
            ("é", "'é'", Some("%C3%A9")),
            ("a\u{1b}[31m\\'", r"$'a\033[31m\\\''", None),
            ("a\u{202e}b", r"$'a\342\200\256b'", None),
            ("a\u{a0}b", "'a\u{a0}b'", None),
        ] {
            assert_eq!(shell_word(id), word, "{id:?}");
            assert_eq!(path_segment(id).as_deref(), segment, "{id:?}");
        }
    }

    #[test]
    fn what_no_path_carries_is_to_be_registered_anew() {
        let check = |id: &str, instance: &str| {
            let check = Check {
                node: "n1".into(),
                id: id.into(),
                instance: instance.into(),
                ..Check::default()
            };
            let (created, modified) = (Index(1), Index(1));
            Arc::new(Row { claim: check, owner: Owner::http(), created, modified })
        };
        for (remedy, expected) in [
            (
                Remedy::Report(check("..", "w")),
                "on n1, register it anew as a check that needs no report",
            ),
            (
                Remedy::Report(check("a\u{200e}", "")),
                "on n1, register it anew as a check that needs no report",
            ),
            (
                Remedy::Resume(check("m", ".")),
                "on n1, register it anew with ?replace-existing-checks",
            ),
            (Remedy::Resume(check("m", "w")), "`rutter maint -disable -service=w` on node n1"),
        ] {
            let told = remedy.to_string();
            assert!(told.contains(expected), "{told}");
            assert_eq!(told.contains('`'), expected.contains('`'), "{told}");
        }
    }
}
