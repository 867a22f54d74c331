//! Alias checks: a check that says what the checks of another instance, or of a node, say. Pure.
//!
//! | follows | looks at | looks again |
//! |---|---|---|
//! | an instance of this agent | its checks and this node's, as the agent has them | when the instance or one of its checks changes, and every minute |
//! | a node by name, or an instance there | the same in the catalog | when a row of that node changes, and every minute |
//!
//! A check of this node counts when an alias of the first kind looks and does not make it look
//! (recorded Consul behaviour). An alias that is itself among what it looks at counts too, and so
//! stays critical once it is; what it says is then always the same.
//!
//! Source: Consul, "Alias checks", and story 16.

mod follow;

pub use follow::Aliases;

use crate::probe::{self, Observation};
use catalog::{Held, NodeKey, View};
use model::{Check, CheckDefinition, CheckId, InstanceId, NodeName, Status, Tenant};

/// What an alias check follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node, as the catalog names it; empty for an instance of this agent.
    pub node: NodeName,
    /// The instance; empty for the node alone.
    pub instance: InstanceId,
}

/// Whether a definition is that of an alias; what else it asks for to be run goes first.
pub fn is_asked(definition: &CheckDefinition) -> bool {
    let named = !definition.alias_node.is_empty() || !definition.alias_service.is_empty();
    named && probe::find(definition).is_none()
}

impl Target {
    /// What a definition follows; `None` if it is no alias.
    pub fn of(definition: &CheckDefinition) -> Option<Target> {
        is_asked(definition).then(|| Target {
            node: definition.alias_node.as_str().into(),
            instance: definition.alias_service.as_str().into(),
        })
    }

    /// Whether the agent itself knows how it stands.
    pub fn is_here(&self) -> bool {
        self.node.is_empty()
    }
}

/// A check that an alias looks at.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'c> {
    /// The check.
    pub check: &'c Check,
    /// Restored and not run since, so that nobody knows how it stands.
    pub unproven: bool,
}

/// What an alias says, given what it looks at; `None` while that cannot be known.
///
/// `found` says whether what it follows is there though it has no check.
pub fn conclude<'c>(
    alias: &CheckId,
    target: &Target,
    found: bool,
    checks: impl Iterator<Item = Seen<'c>>,
) -> Option<Observation> {
    let mut said = observation(Status::Passing, "No checks found.".to_owned());
    let (mut found, mut unproven) = (found, false);
    for Seen { check, unproven: unknown } in checks {
        found |= check.instance.fold() == target.instance.fold();
        match check.status {
            Status::Critical if unknown => unproven = true,
            Status::Critical => {
                said = failing(alias, check);
                break;
            }
            Status::Warning => said = failing(alias, check),
            _ if said.status == Status::Passing => {
                "All checks passing.".clone_into(&mut said.output)
            }
            _ => {}
        }
    }
    if !found {
        let text =
            format!("Service {} could not be found on node {}", target.instance, target.node);
        said = Observation::critical(text);
    }
    (!unproven || said.status == Status::Critical).then_some(said)
}

/// What an alias of the node `here` says, as the catalog shows what it follows.
pub fn look_there(
    view: &View,
    here: &NodeName,
    alias: &CheckId,
    target: &Target,
) -> Held<Option<Observation>> {
    let node = NodeKey::new(Tenant::DEFAULT, &target.node);
    let instance = node.instance(&target.instance);
    let found = view.instance(&instance)?.is_some();
    let own = view.instance_checks(&instance);
    let of_node = view.node_checks(&node).filter(|_| !target.instance.is_empty());
    let of_here = target.node.fold() == here.fold();
    // Another node may have a check of the same id; that one is not the alias.
    let alias = if of_here { alias.clone() } else { CheckId::default() };
    let checks = own.chain(of_node).map(|row| Seen { check: &row.claim, unproven: false });
    Ok(conclude(&alias, target, found, checks))
}

fn failing(alias: &CheckId, check: &Check) -> Observation {
    // One that quoted itself would grow with every look.
    let output = if check.id.fold() == alias.fold() { "" } else { check.output.as_str() };
    let text = format!("Aliased check {} failing: {output}", lang::quote(&check.name));
    observation(check.status.clone(), text)
}

fn observation(status: Status, output: String) -> Observation {
    Observation { status, output }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, instance: &str, status: &str, output: &str) -> Check {
        Check {
            id: id.into(),
            name: id.to_uppercase().into(),
            instance: instance.into(),
            status: Status::parse(status),
            output: output.into(),
            ..Check::default()
        }
    }

    /// What the alias `me` of `target` on this node says of checks (id, instance, status); an id
    /// that begins with `?` is not known to stand so.
    #[track_caller]
    fn says(
        target: &str,
        found: bool,
        checks: &[(&str, &str, &str)],
        expected: Option<(&str, &str)>,
    ) {
        let target = Target { node: "".into(), instance: target.into() };
        let rows: Vec<Check> =
            checks.iter().map(|(id, instance, status)| check(id, instance, status, "o")).collect();
        let seen =
            rows.iter().map(|check| Seen { check, unproven: check.id.as_str().starts_with('?') });
        let said = conclude(&"me".into(), &target, found, seen);
        let said = said.map(|said| (said.status.to_string(), said.output));
        let expected = expected.map(|(status, text)| (status.to_owned(), text.to_owned()));
        assert_eq!(said, expected);
    }

    #[test]
    fn the_worst_check_of_the_instance_and_the_node_is_said() {
        let passing = Some(("passing", "All checks passing."));
        let (warns, fails) = ("Aliased check \"B\" failing: o", "Aliased check \"N\" failing: o");
        says("web", true, &[], Some(("passing", "No checks found.")));
        says("web", true, &[("a", "web", "passing")], passing);
        says("web", false, &[("a", "WEB", "odd"), ("n", "", "passing")], passing);
        let mut rows = vec![("b", "web", "warning"), ("c", "web", "passing")];
        says("web", true, &rows, Some(("warning", warns)));
        rows.push(("n", "", "critical"));
        rows.push(("o", "", "warning"));
        says("web", true, &rows, Some(("critical", fails)));
    }

    #[test]
    fn what_is_not_there_is_critical_whatever_its_node_says() {
        let text = "Service web could not be found on node ";
        says("web", false, &[], Some(("critical", text)));
        says("web", false, &[("n", "", "passing")], Some(("critical", text)));
    }

    #[test]
    fn an_alias_among_what_it_looks_at_does_not_quote_itself() {
        let fails = Some(("critical", "Aliased check \"ME\" failing: "));
        says("web", true, &[("me", "", "critical")], fails);
    }

    #[test]
    fn while_a_check_has_not_run_since_the_restart_only_a_proven_failure_counts() {
        let restored = ("?a", "web", "critical");
        says("web", true, &[restored, ("n", "", "passing")], None);
        says("web", true, &[restored, ("n", "", "warning")], None);
        let fails = Some(("critical", "Aliased check \"N\" failing: o"));
        says("web", true, &[restored, ("n", "", "critical")], fails);
    }

    #[test]
    fn an_alias_is_what_names_a_target_and_nothing_to_run() {
        let alias = |node: &str, service: &str| CheckDefinition {
            alias_node: node.into(),
            alias_service: service.into(),
            interval: model::Nanos::seconds(10),
            ..CheckDefinition::default()
        };
        let target = |definition: &CheckDefinition| {
            Target::of(definition)
                .map(|t| (t.node.to_string(), t.instance.to_string(), t.is_here()))
        };
        assert_eq!(target(&alias("", "")), None);
        assert_eq!(target(&alias("", "web")), Some((String::new(), "web".to_owned(), true)));
        assert_eq!(target(&alias("n", "")), Some(("n".to_owned(), String::new(), false)));
        let tcp = CheckDefinition { tcp: "127.0.0.1:1".into(), ..alias("", "web") };
        assert_eq!(target(&tcp), None);
    }
}
