//! What a pass does to the catalog, and when passes run.

use super::plan::{Wants, plan};
use super::*;
use crate::local::{Local, Operation};
use catalog::{Claim, Command, Entry, NodeKey, Outcome, View, apply};
use model::{
    Check, CheckDefinition, Index, Instance, Nanos, Node, Owner, Registration, Status, Tenant,
    Timestamp,
};
use proptest::prelude::*;
use seams::ExistingChecks;

fn mine() -> Owner {
    Owner::agent(&Folded::new("n1"))
}

fn marathon() -> Owner {
    Owner::new("source/marathon/main")
}

struct World {
    view: View,
    local: Local,
}

impl World {
    fn new() -> World {
        let mut world = World { view: View::default(), local: Local::new("n1".into()) };
        world.write(Owner::leader(), Claim::Explicit, vec![node()]).unwrap();
        world
    }

    fn write(
        &mut self,
        owner: Owner,
        claim: Claim,
        commands: Vec<Command>,
    ) -> Result<(), Box<catalog::Refusal>> {
        let index = Index(self.view.index().0 + 1);
        let entry = Entry {
            time: Timestamp(index.0),
            author: Author::default(),
            owner,
            claim,
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        };
        let applied = apply(&self.view, [(index, entry)]);
        self.view = applied.view;
        match applied.outcomes.into_iter().next() {
            Some(Outcome::Refused(refusal)) => Err(Box::new(refusal)),
            _ => Ok(()),
        }
    }

    fn by_hand(&mut self, command: Command) {
        self.write(Owner::http(), Claim::Explicit, vec![command]).unwrap();
    }

    fn change(&mut self, operation: Operation) -> Scope {
        let touched = self.local.apply(operation).unwrap();
        Scope {
            everything: false,
            instances: touched.instances.into_iter().collect(),
            checks: touched.checks.into_iter().collect(),
        }
    }

    /// Runs a pass; returns what it did, word by word, and whom it met.
    fn pass(&mut self, scope: &Scope) -> (Vec<String>, Vec<Conflict>) {
        let planned = plan(&self.view, &self.local, &mine(), scope).unwrap();
        let done = planned.commands.iter().map(name).collect();
        if !planned.commands.is_empty() {
            self.write(mine(), Claim::Reconcile, planned.commands).unwrap();
        }
        for CatalogTags { id, before, tags } in planned.tags {
            self.local.take_tags(&id, &before, tags);
        }
        (done, planned.conflicts)
    }

    /// `owner id status output` of each row on the node.
    fn rows(&self) -> Vec<String> {
        let node = NodeKey::new(Tenant::DEFAULT, &"n1".into());
        let instances = self.view.instances_on(&node).unwrap().into_iter();
        let instances = instances.map(|row| format!("{} {} {}", row.owner, row.id, row.port));
        let checks = self.view.checks_on(&node).unwrap().value.into_iter();
        let checks =
            checks.map(|row| format!("{} {} {} {}", row.owner, row.id, row.status, row.output));
        instances.chain(checks).collect()
    }
}

fn everything() -> Scope {
    Scope { everything: true, ..Scope::default() }
}

fn name(command: &Command) -> String {
    match command {
        Command::EnsureNode(_) => "node".to_owned(),
        Command::PutInstance(instance) => format!("put {}", instance.id),
        Command::PutCheck(check) => format!("put check {}", check.id),
        Command::RemoveInstance(_, id) => format!("remove {id}"),
        Command::RemoveCheck(_, id) => format!("remove check {id}"),
        other => format!("{other:?}"),
    }
}

fn node() -> Command {
    Command::PutNode(Node { name: "n1".into(), address: "10.0.0.1".into(), ..Node::default() })
}

fn instance(id: &str, port: i64) -> Instance {
    Instance {
        node: "n1".into(),
        id: id.into(),
        service: "web".into(),
        port,
        ..Instance::default()
    }
}

fn check(id: &str, of: &str) -> Check {
    Check { node: "n1".into(), id: id.into(), instance: of.into(), ..Check::default() }
}

fn run_check(id: &str, of: &str) -> Check {
    let definition = CheckDefinition {
        http: "http://127.0.0.1/".into(),
        interval: Nanos::seconds(1),
        ..CheckDefinition::default()
    };
    Check { definition: Some(Box::new(definition)), ..check(id, of) }
}

fn register(id: &str, port: i64, checks: Vec<Check>) -> Operation {
    let instance = instance(id, port);
    Operation::Register(Box::new(Registration { instance, checks }), ExistingChecks::Keep)
}

#[test]
fn a_change_is_sent_alone_and_with_what_belongs_to_it() {
    let mut world = World::new();
    let scope = world.change(register("a", 1, vec![check("c", "")]));
    assert_eq!(world.pass(&scope).0, ["put a", "put check c"]);
    assert_eq!(world.pass(&scope).0, [""; 0], "once is enough");
    let scope = world.change(register("b", 1, vec![]));
    assert_eq!(world.pass(&scope).0, ["put b"]);
    let scope = world.change(Operation::DeregisterCheck("c".into()));
    assert_eq!(world.pass(&scope).0, ["remove check c"]);
    let scope = world.change(Operation::Deregister("a".into()));
    assert_eq!(world.pass(&scope).0, ["remove a"]);
    assert_eq!(world.rows(), ["agent/n1 b 1"]);
}

#[test]
fn a_missing_node_is_made_for_what_is_on_it_only() {
    let mut world = World { view: View::default(), local: Local::new("n1".into()) };
    assert_eq!(world.pass(&everything()).0, [""; 0]);
    let scope = world.change(register("a", 1, vec![]));
    assert_eq!(world.pass(&scope).0, ["node", "put a"]);
}

#[test]
fn what_others_did_to_its_rows_is_mended_by_the_next_full_pass_only() {
    let mut world = World::new();
    world.change(register("a", 1, vec![check("c", "")]));
    world.change(register("b", 1, vec![]));
    world.pass(&everything());
    world.by_hand(Command::RemoveInstance("n1".into(), "a".into()));
    world.by_hand(Command::PutInstance(Box::new(instance("b", 99))));
    let scope = world.change(register("d", 1, vec![]));
    assert_eq!(world.pass(&scope).0, ["put d"]);
    assert_eq!(world.pass(&everything()).0, ["put a", "put b", "put check c"]);
    assert_eq!(
        world.rows(),
        ["agent/n1 a 1", "agent/n1 b 1", "agent/n1 d 1", "agent/n1 c critical "]
    );
}

#[test]
fn a_check_brings_its_instance_back_when_that_is_gone() {
    let mut world = World::new();
    world.change(register("a", 1, vec![run_check("c", "")]));
    world.pass(&everything());
    world.by_hand(Command::RemoveInstance("n1".into(), "a".into()));
    world.local.observe(&Folded::new("c"), Status::Passing, "ok".into(), None);
    let scope = Scope { checks: [Folded::new("c")].into(), ..Scope::default() };
    assert_eq!(world.pass(&scope).0, ["put a", "put check c"]);
}

#[test]
fn rows_of_others_are_left_alone() {
    let mut world = World::new();
    world.by_hand(Command::PutInstance(Box::new(instance("by-hand", 1))));
    let task = Command::PutInstance(Box::new(instance("task", 1)));
    world.write(marathon(), Claim::Reconcile, vec![task]).unwrap();
    let before = world.rows();
    assert_eq!(world.pass(&everything()), (vec![], vec![]));
    assert_eq!(world.rows(), before);
}

#[test]
fn a_row_that_another_reconciler_has_is_reported_and_not_fought_over() {
    let mut world = World::new();
    let task = Command::PutInstance(Box::new(instance("Task", 1)));
    world.write(marathon(), Claim::Reconcile, vec![task]).unwrap();
    world.change(register("task", 2, vec![check("c", "")]));
    world.change(register("own", 3, vec![]));
    let (done, conflicts) = world.pass(&everything());
    assert_eq!(done, ["put own"]);
    let row = Wants::Instance(Folded::new("task"));
    assert_eq!(conflicts, [Conflict { row, owner: marathon() }]);
    assert!(conflicts[0].is_wanted(&world.local));
    world.change(Operation::Deregister("task".into()));
    assert_eq!(world.pass(&everything()), (vec![], vec![]));
    assert_eq!(world.rows(), ["agent/n1 own 3", "source/marathon/main Task 1"]);
}

#[test]
fn what_a_person_wrote_is_taken_over_when_it_is_registered_here() {
    let mut world = World::new();
    world.by_hand(Command::PutInstance(Box::new(instance("a", 1))));
    let scope = world.change(register("a", 1, vec![]));
    assert_eq!(world.pass(&scope).0, ["put a"]);
    assert_eq!(world.rows(), ["agent/n1 a 1"]);
}

#[test]
fn output_alone_is_no_difference_unless_it_is_to_be_sent() {
    let mut world = World::new();
    world.change(register("a", 1, vec![run_check("c", "")]));
    world.pass(&everything());
    let id = Folded::new("c");
    world.local.observe(&id, Status::Critical, "noise".into(), None);
    assert_eq!(world.pass(&everything()).0, [""; 0]);
    let scope = Scope { checks: [id].into(), ..everything() };
    assert_eq!(world.pass(&scope).0, ["put check c"]);
    assert_eq!(world.rows()[1], "agent/n1 c critical noise");
}

#[test]
fn a_restored_check_leaves_the_catalogs_word_until_it_has_run() {
    let mut world = World::new();
    world.change(register("a", 1, vec![run_check("c", "")]));
    let id = Folded::new("c");
    world.local.observe(&id, Status::Passing, "ok".into(), None);
    world.pass(&everything());
    world.local.restored(crate::time::WallTime(1));
    assert_eq!(world.pass(&everything()).0, [""; 0]);
    world.local.observe(&id, Status::Critical, "down".into(), None);
    assert_eq!(world.pass(&everything()).0, ["put check c"]);
}

#[test]
fn tags_that_anybody_may_change_stay_changed() {
    let mut world = World::new();
    let mut open = instance("a", 1);
    open.enable_tag_override = true;
    let registration = Registration { instance: open.clone(), checks: vec![] };
    let operation = Operation::Register(Box::new(registration), ExistingChecks::Keep);
    let scope = world.change(operation);
    world.pass(&scope);
    let retagged = Instance { tags: std::sync::Arc::from(["v2".into()]), ..open };
    world.by_hand(Command::PutInstance(Box::new(retagged)));
    assert_eq!(world.pass(&everything()).0, ["put a"], "the row is the agent's again");
    let key = NodeKey::new(Tenant::DEFAULT, &"n1".into()).instance(&"a".into());
    assert_eq!(world.view.instance(&key).unwrap().unwrap().tags[..], ["v2"]);
    assert_eq!(world.local.instance(&Folded::new("a")).unwrap().tags[..], ["v2"]);
    assert_eq!(world.pass(&everything()).0, [""; 0]);
}

#[test]
fn the_checks_of_an_instance_follow_its_name_and_tags() {
    let mut world = World::new();
    let scope = world.change(register("a", 1, vec![check("c", "a")]));
    world.pass(&scope);
    let other = Instance {
        service: "other".into(),
        tags: std::sync::Arc::from(["v2".into()]),
        ..instance("a", 1)
    };
    let registration = Registration { instance: other, checks: vec![] };
    let scope = world.change(Operation::Register(Box::new(registration), ExistingChecks::Keep));
    assert_eq!(world.pass(&scope).0, ["put a", "put check c"]);
    let key = NodeKey::new(Tenant::DEFAULT, &"n1".into()).check(&"c".into());
    let row = world.view.check(&key).unwrap().unwrap();
    assert_eq!((row.service.as_str(), &row.service_tags[..]), ("other", &["v2".into()][..]));
    assert_eq!(world.pass(&everything()).0, [""; 0]);
}

#[derive(Debug, Clone)]
enum Step {
    /// With a check or not, with tags that others may change or not.
    Register(u8, i64, bool, bool),
    Deregister(u8),
    Observe(u8, bool),
    Sync,
    Hand(u8, i64),
    HandRemoves(u8),
    Source(u8, i64),
    SourceRemoves(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u8..4;
    prop_oneof![
        (id.clone(), 0i64..3, any::<bool>(), any::<bool>())
            .prop_map(|(i, p, c, open)| Step::Register(i, p, c, open)),
        id.clone().prop_map(Step::Deregister),
        (id.clone(), any::<bool>()).prop_map(|(i, up)| Step::Observe(i, up)),
        Just(Step::Sync),
        (id.clone(), 0i64..3).prop_map(|(i, p)| Step::Hand(i, p)),
        id.clone().prop_map(Step::HandRemoves),
        (id.clone(), 0i64..3).prop_map(|(i, p)| Step::Source(i, p)),
        id.prop_map(Step::SourceRemoves),
    ]
}

impl World {
    /// Takes a step; a local change is synced alone, as the agent does it.
    fn take(&mut self, step: Step) {
        let id = |number: u8| format!("i{number}");
        match step {
            Step::Register(number, port, checked, enable_tag_override) => {
                let checks =
                    if checked { vec![run_check(&format!("c{number}"), "")] } else { vec![] };
                let mut instance = instance(&id(number), port);
                instance.enable_tag_override = enable_tag_override;
                let registration = Registration { instance, checks };
                let existing = ExistingChecks::Keep;
                let scope = self.change(Operation::Register(Box::new(registration), existing));
                self.guarded_pass(&scope);
            }
            Step::Deregister(number) => {
                let operation = Operation::Deregister(id(number).as_str().into());
                if self.local.admits(&operation).is_ok() {
                    let scope = self.change(operation);
                    self.guarded_pass(&scope);
                }
            }
            Step::Observe(number, up) => {
                let check = Folded::new(&format!("c{number}"));
                let status = if up { Status::Passing } else { Status::Critical };
                self.local.observe(&check, status, "o".into(), None);
                self.guarded_pass(&Scope { checks: [check].into(), ..Scope::default() });
            }
            Step::Sync => self.guarded_pass(&everything()),
            Step::Hand(number, port) => {
                let tags = std::sync::Arc::from([model::Text::new("hand")]);
                let row = Instance { tags, ..instance(&id(number), port) };
                self.by_hand(Command::PutInstance(Box::new(row)));
            }
            Step::HandRemoves(number) => {
                self.by_hand(Command::RemoveInstance("n1".into(), id(number).as_str().into()));
            }
            // The source loses where the agent was first, as the agent does.
            Step::Source(number, port) => {
                let command = Command::PutInstance(Box::new(instance(&id(number), port)));
                let _ = self.write(marathon(), Claim::Reconcile, vec![command]);
            }
            Step::SourceRemoves(number) => {
                let command = Command::RemoveInstance("n1".into(), id(number).as_str().into());
                self.write(marathon(), Claim::Reconcile, vec![command]).unwrap();
            }
        }
    }

    /// A pass changes no row that a source has, and none that is not registered here.
    fn guarded_pass(&mut self, scope: &Scope) {
        let before = self.others();
        self.pass(scope);
        assert_eq!(before, self.others());
    }

    fn others(&self) -> Vec<String> {
        let node = NodeKey::new(Tenant::DEFAULT, &"n1".into());
        let rows = self.view.instances_on(&node).unwrap().into_iter();
        rows.filter(|row| {
            row.owner == marathon()
                || (row.owner == Owner::http() && self.local.instance(&row.id.fold()).is_none())
        })
        .map(|row| format!("{row:?}"))
        .collect()
    }

    /// Everything registered here that no source has is in the catalog as it is here, and nothing
    /// else there is the agent's.
    fn assert_converged(&self) {
        let node = NodeKey::new(Tenant::DEFAULT, &"n1".into());
        let rows = self.view.instances_on(&node).unwrap().into_iter();
        let (lost, rest): (Vec<_>, Vec<_>) = rows.partition(|row| row.owner == marathon());
        let lost: BTreeSet<Folded> = lost.iter().map(|row| row.id.fold()).collect();
        let found: Vec<&Instance> =
            rest.iter().filter(|row| row.owner == mine()).map(|row| &row.claim).collect();
        let wanted = self.local.instances().filter(|(id, _)| !lost.contains(*id));
        assert_eq!(found, wanted.map(|(_, held)| &**held).collect::<Vec<_>>());
        let checks = self.view.checks_on(&node).unwrap().value.into_iter();
        let found: Vec<&Check> =
            checks.filter(|row| row.owner == mine()).map(|row| &row.claim).collect();
        let wanted = self.local.checks().map(|(_, held)| &held.check);
        let wanted = wanted.filter(|check| !lost.contains(&check.instance.fold()));
        assert_eq!(found, wanted.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn passes_converge_and_never_touch_what_is_others(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.guarded_pass(&everything());
        world.assert_converged();
        prop_assert_eq!(world.pass(&everything()).0, Vec::<String>::new());
    }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn touched(check: &str) -> Touched {
    Touched { checks: vec![Folded::new(check)], ..Touched::default() }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A syncer whose first full pass is done.
fn settled() -> (Syncer, Jitter) {
    let (mut syncer, mut jitter) = (Syncer::new(at(0), MINUTE), Jitter::new(3));
    assert!(syncer.begin(at(0)).unwrap().scope.everything);
    assert_eq!(syncer.succeeded(at(0), &mut jitter), 0);
    (syncer, jitter)
}

#[test]
fn everything_is_compared_at_the_start_and_then_at_random_about_every_minute() {
    let (mut syncer, _) = settled();
    let due = syncer.next_due().unwrap();
    assert!(due >= at(60) && due < at(120), "{due:?}");
    assert_eq!(syncer.begin(at(59)), None);
    assert!(syncer.begin(due).unwrap().scope.everything);
}

#[test]
fn changes_during_a_pass_go_together_with_the_next() {
    let (mut syncer, mut jitter) = settled();
    assert_eq!(syncer.changed(&touched("a"), None, at(1)), 1);
    assert!(syncer.begin(at(1)).is_some());
    assert_eq!(syncer.changed(&touched("b"), None, at(1)), 2);
    assert_eq!(syncer.changed(&touched("c"), None, at(1)), 3);
    assert_eq!(syncer.begin(at(1)), None);
    assert_eq!(syncer.succeeded(at(1), &mut jitter), 1);
    let pass = syncer.begin(at(1)).unwrap();
    assert_eq!(pass.scope.checks, [Folded::new("b"), Folded::new("c")].into());
    assert!(!pass.scope.everything);
    assert_eq!(syncer.succeeded(at(1), &mut jitter), 3);
    assert!(syncer.next_due().unwrap() >= at(60));
}

#[test]
fn a_failed_pass_is_repeated_ever_later_and_forgets_nothing() {
    let (mut syncer, mut jitter) = settled();
    syncer.changed(&touched("a"), None, at(1));
    let mut now = at(1);
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let pass = syncer.begin(now).unwrap();
        assert_eq!(pass.scope.checks, [Folded::new("a")].into());
        syncer.failed(now, &mut jitter);
        assert_eq!(syncer.begin(now), None);
        let due = syncer.next_due().unwrap();
        longest = due.since(now);
        now = due;
    }
    syncer.begin(now).unwrap();
    syncer.failed(now, &mut jitter);
    assert!(syncer.next_due().unwrap().since(now) > FRESH_RETRY);
    syncer.changed(&touched("a"), None, now);
    assert_eq!(syncer.next_due(), Some(now + FRESH_RETRY), "a change is not kept waiting so long");
    now = now + FRESH_RETRY;
    assert!(longest > LONGEST_RETRY / 3 && longest <= LONGEST_RETRY, "{longest:?}");
    syncer.begin(now).unwrap();
    assert_eq!(syncer.succeeded(now, &mut jitter), 2);
}

#[test]
fn output_alone_waits_for_its_time_or_for_a_change() {
    let (mut syncer, mut jitter) = settled();
    let check = Folded::new("a");
    syncer.murmured(&check, at(1), Duration::from_secs(10));
    syncer.murmured(&check, at(5), Duration::from_secs(10));
    assert_eq!(syncer.next_due(), Some(at(11)));
    assert_eq!(syncer.begin(at(10)), None);
    assert_eq!(syncer.begin(at(11)).unwrap().scope.checks, [check.clone()].into());
    syncer.succeeded(at(11), &mut jitter);
    syncer.murmured(&check, at(12), Duration::from_secs(10));
    syncer.changed(&touched("a"), None, at(1));
    syncer.begin(at(12)).unwrap();
    syncer.succeeded(at(12), &mut jitter);
    assert!(syncer.next_due().unwrap() >= at(60));
}

#[test]
fn a_pass_for_one_author_names_it() {
    let (mut syncer, mut jitter) = settled();
    let author = |remote: &str| Author { remote: remote.into(), ..Author::default() };
    for (authors, expected) in [
        (vec![Some(author("a"))], Some(author("a"))),
        (vec![Some(author("a")), Some(author("a"))], Some(author("a"))),
        (vec![Some(author("a")), Some(author("b"))], None),
        (vec![Some(author("a")), None], None),
        (vec![None], None),
    ] {
        for author in &authors {
            syncer.changed(&touched("x"), author.as_ref(), at(1));
        }
        let expected = expected.map(|author| Author { door: Door::Agent, ..author });
        assert_eq!(syncer.begin(at(1)).unwrap().author, expected, "{authors:?}");
        syncer.succeeded(at(1), &mut jitter);
    }
}
