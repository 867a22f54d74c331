//! Law 1: whose rows an entry may write or remove, and what a reconciler does about its own.

use crate::bytes::save;
use crate::logs::{Dice, NODES, Writer};
use catalog::{
    Applied, CheckKey, Claim, Command, Entry, InstanceKey, NodeKey, Outcome, Refusal, View, Wanted,
    apply, reconcile,
};
use model::{
    Author, Check, CheckId, Index, Instance, InstanceId, Node, NodeName, Owner, ServiceName,
    Status, Tenant, Text, Timestamp,
};

const AGENT: &str = "agent/n1";
const SOURCE: &str = "source/marathon/main";
const DOOR: &str = "http";

fn entry(owner: &str, claim: Claim, commands: Vec<Command>) -> Entry {
    Entry {
        time: Timestamp(1),
        author: Author::default(),
        owner: Owner::new(owner),
        claim,
        tenant: Tenant::DEFAULT,
        request: None,
        commands,
    }
}

fn step(view: &View, entry: Entry) -> Applied {
    apply(view, [(Index(view.index().0 + 1), entry)])
}

fn instance(port: i64) -> Command {
    Command::PutInstance(Box::new(Instance {
        node: NodeName::from("n1"),
        id: InstanceId::from("web"),
        service: ServiceName::from("web"),
        port,
        ..Instance::default()
    }))
}

fn check_row(output: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: NodeName::from("n1"),
        id: CheckId::from("alive"),
        output: Text::new(output),
        ..Check::default()
    }))
}

fn node(address: &str) -> Command {
    let (name, address) = (NodeName::from("n1"), Text::new(address));
    Command::PutNode(Node { name, address, ..Node::default() })
}

fn node_key() -> NodeKey {
    NodeKey::new(Tenant::DEFAULT, &NodeName::from("n1"))
}

fn instance_key() -> InstanceKey {
    node_key().instance(&InstanceId::from("web"))
}

fn check_key() -> CheckKey {
    node_key().check(&CheckId::from("alive"))
}

/// A view in which `owner` has a node, an instance and a check.
fn owned_by(owner: &str) -> View {
    let commands = vec![node("10.0.0.1"), instance(1), check_row("1")];
    step(&View::default(), entry(owner, Claim::Explicit, commands)).view
}

fn owners(view: &View) -> [Option<&str>; 3] {
    let node = view.node(&node_key()).expect("held").value;
    let instance = view.instance(&instance_key()).expect("held");
    let check = view.check(&check_key()).expect("held");
    [
        node.map(|row| row.owner.as_str()),
        instance.map(|row| row.owner.as_str()),
        check.map(|row| row.owner.as_str()),
    ]
}

/// Who owns a row after `writer` wrote over one of `owner`; `None` if that is refused.
#[track_caller]
fn check(owner: &str, writer: &str, claim: Claim, same: bool, expected: Option<&str>) {
    let before = owned_by(owner);
    let writes = match same {
        true => [node("10.0.0.1"), instance(1), check_row("1")],
        false => [node("10.0.0.2"), instance(2), check_row("2")],
    };
    for (which, command) in writes.into_iter().enumerate() {
        let applied = step(&before, entry(writer, claim, vec![command]));
        match (&applied.outcomes[0], expected) {
            (Outcome::Done(_), Some(expected)) => {
                assert_eq!(owners(&applied.view)[which], Some(expected), "row {which}");
            }
            (Outcome::Refused(Refusal::OwnedByOther { owner: told, .. }), None) => {
                assert_eq!(told.as_str(), owner);
            }
            (outcome, _) => panic!("row {which}: {outcome:?}"),
        }
        assert!(!same || applied.touched.is_empty(), "readers see no change of owner");
    }
}

#[test]
fn a_reconciler_may_replace_what_doors_wrote_but_not_what_another_keeps_up() {
    use Claim::{Explicit, Reconcile};
    // owner of the row, writer, on what ground, word for word the same, owner afterwards
    check(DOOR, DOOR, Explicit, false, Some(DOOR));
    check(AGENT, DOOR, Explicit, false, Some(DOOR));
    check(SOURCE, DOOR, Explicit, false, Some(DOOR));
    check(DOOR, AGENT, Reconcile, false, Some(AGENT));
    check(AGENT, AGENT, Reconcile, false, Some(AGENT));
    check(SOURCE, AGENT, Reconcile, false, None);
    check(AGENT, SOURCE, Reconcile, false, None);
    check("leader", AGENT, Reconcile, false, None);
    // The same once more changes nothing; only a reconciler becomes the owner.
    check(AGENT, DOOR, Explicit, true, Some(AGENT));
    check(DOOR, AGENT, Reconcile, true, Some(AGENT));
    check(SOURCE, AGENT, Reconcile, true, None);
}

/// What is left after `remover` removed the check, the instance and the node of `owner`.
#[track_caller]
fn check_removal(owner: &str, remover: &str, claim: Claim, expected: [bool; 3]) {
    let name = || NodeName::from("n1");
    let commands = vec![
        Command::RemoveCheck(name(), CheckId::from("alive")),
        Command::RemoveInstance(name(), InstanceId::from("web")),
        Command::RemoveNode(name()),
    ];
    let applied = step(&owned_by(owner), entry(remover, claim, commands));
    assert!(matches!(applied.outcomes[0], Outcome::Done(_)));
    assert_eq!(owners(&applied.view).map(|owner| owner.is_some()), expected);
}

#[test]
fn a_person_removes_any_row_and_a_reconciler_its_own() {
    check_removal(AGENT, DOOR, Claim::Explicit, [false; 3]);
    check_removal(SOURCE, DOOR, Claim::Explicit, [false; 3]);
    check_removal(AGENT, AGENT, Claim::Reconcile, [false; 3]);
    check_removal(DOOR, AGENT, Claim::Reconcile, [true; 3]);
    check_removal(SOURCE, AGENT, Claim::Reconcile, [true; 3]);
}

#[test]
fn a_reconciler_leaves_a_node_that_carries_what_another_brought() {
    let mut view = step(&View::default(), entry(AGENT, Claim::Reconcile, vec![node("")])).view;
    view = step(&view, entry(SOURCE, Claim::Reconcile, vec![instance(1)])).view;
    let remove = || vec![Command::RemoveNode(NodeName::from("n1"))];
    let kept = step(&view, entry(AGENT, Claim::Reconcile, remove()));
    assert_eq!(owners(&kept.view), [Some(AGENT), Some(SOURCE), None]);
    let gone = step(&view, entry(DOOR, Claim::Explicit, remove()));
    assert_eq!(owners(&gone.view), [None, None, None]);
}

fn wanted(dice: &mut Dice, node: &str) -> Wanted {
    let name = NodeName::from(node);
    let mut wanted = Wanted { node: name.clone(), ..Wanted::default() };
    for id in ["web-1", "web-2", "cache"] {
        if !dice.one_in(3) {
            wanted.instances.push(Instance {
                node: name.clone(),
                id: InstanceId::from(id),
                service: ServiceName::from(dice.pick(&["web", "cache"])),
                port: dice.below(2) as i64,
                ..Instance::default()
            });
        }
    }
    let watched = wanted.instances.first().map(|instance| instance.id.clone());
    for (id, instance) in [("alive", InstanceId::default()), ("ttl", watched.unwrap_or_default())] {
        if !dice.one_in(3) {
            wanted.checks.push(Check {
                node: name.clone(),
                id: CheckId::from(id),
                status: Status::parse(dice.pick(&["passing", "critical"])),
                instance,
                ..Check::default()
            });
        }
    }
    wanted
}

/// The rows of everybody but `owner`.
fn of_others(view: &View, node: &NodeKey, owner: &Owner) -> (Vec<String>, Vec<String>) {
    let instances = view.instances_on(node).expect("held").into_iter();
    let checks = view.checks_on(node).expect("held").value.into_iter();
    let instances = instances.filter(|row| row.owner != *owner).map(|row| format!("{row:?}"));
    let checks = checks.filter(|row| row.owner != *owner).map(|row| format!("{row:?}"));
    (instances.collect(), checks.collect())
}

/// Proposes each command alone, as a reconciler does; says how many were refused.
fn carry_out(view: &mut View, owner: &Owner, commands: Vec<Command>) -> usize {
    let mut refused = 0;
    for command in commands {
        let applied = step(view, entry(owner.as_str(), Claim::Reconcile, vec![command]));
        refused += usize::from(matches!(applied.outcomes[0], Outcome::Refused(_)));
        *view = applied.view;
    }
    refused
}

#[test]
fn reconciling_converges_in_one_pass_and_leaves_others_alone() {
    let (mut converged, mut refused) = (0, 0);
    for seed in 0..200 {
        let mut writer = Writer::new(seed);
        for _ in 0..60 {
            writer.step();
        }
        let mut view = writer.view;
        let mut dice = Dice::new(seed);
        let node = dice.pick(&NODES);
        let owner = Owner::new(dice.pick(&[AGENT, SOURCE]));
        let wanted = wanted(&mut dice, node);
        let key = NodeKey::new(Tenant::DEFAULT, &wanted.node);
        // A check goes with the instance it watches, whoever brought it.
        let kept_by_others = |view: &View| {
            let foreign = |other: &Owner| *other != owner && other.reconciles();
            let instances = view.instances_on(&key).expect("held").into_iter();
            let checks = view.checks_on(&key).expect("held").value.into_iter();
            instances.filter(|row| foreign(&row.owner)).count()
                + checks.filter(|row| foreign(&row.owner) && row.instance.is_empty()).count()
        };
        let (before, before_rows) = (kept_by_others(&view), of_others(&view, &key, &owner));
        let commands = reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held");
        let missed = carry_out(&mut view, &owner, commands);
        refused += missed;
        let again = reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held");
        if missed == 0 {
            assert_eq!(again, [], "seed {seed}: one pass is enough");
            converged += 1;
        } else {
            assert!(again.len() <= missed, "seed {seed}: only what others keep is left: {again:?}");
        }
        assert_eq!(kept_by_others(&view), before, "seed {seed}: other reconcilers' rows stay");
        let after_rows = of_others(&view, &key, &owner);
        assert!(after_rows.0.iter().all(|row| before_rows.0.contains(row)), "seed {seed}");
        assert!(after_rows.1.iter().all(|row| before_rows.1.contains(row)), "seed {seed}");
    }
    assert!(converged > 50 && refused > 10, "{converged} converged, {refused} refused");
}

#[test]
fn a_reconciler_that_wants_nothing_new_proposes_nothing() {
    let mut dice = Dice::new(1);
    let mut wanted = wanted(&mut dice, "n1");
    while wanted.instances.is_empty() || wanted.checks.is_empty() {
        wanted = self::wanted(&mut dice, "n1");
    }
    let owner = Owner::new(AGENT);
    let mut view = View::default();
    let commands = reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held");
    assert_eq!(carry_out(&mut view, &owner, commands), 0);
    let bytes = save(&view);
    let commands = reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held");
    assert_eq!(commands, []);

    // What was taken over is written again; what was removed too.
    let taken = vec![Command::RemoveInstance(wanted.node.clone(), wanted.instances[0].id.clone())];
    view = step(&view, entry(DOOR, Claim::Explicit, taken)).view;
    let commands = reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held");
    assert!(!commands.is_empty());
    assert_eq!(carry_out(&mut view, &owner, commands), 0);
    assert_eq!(reconcile(&view, Tenant::DEFAULT, &owner, &wanted).expect("held"), []);
    assert!(save(&view) != bytes, "the rows are new ones");

    let nothing = Wanted { node: NodeName::from("n1"), ..Wanted::default() };
    let commands = reconcile(&view, Tenant::DEFAULT, &owner, &nothing).expect("held");
    assert_eq!(carry_out(&mut view, &owner, commands), 0);
    let node = NodeKey::new(Tenant::DEFAULT, &nothing.node);
    assert_eq!(view.instances_on(&node).expect("held"), Vec::<&_>::new());
}
