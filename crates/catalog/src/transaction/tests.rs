//! Transactions on small states: order, failures, taking back, what is shown.

use super::*;
use crate::entry::KvCondition::{Acquire, Always, Release, Unchanged};
use crate::entry::Outcome;
use crate::tables::rig::{
    HELD, Rig, delete_kv, kv_key, put_check, put_instance, put_kv, put_node, session_id,
};
use crate::{Holdings, Interest, NotHeld, Watch, apply};
use model::{Nanos, Session, Timestamp};
use std::collections::BTreeSet;

fn kv(key: &str) -> RowName {
    RowName::Kv(KvKey::new(key.as_bytes()))
}

fn does(command: Command) -> Operation {
    Operation { does: Some(Box::new(command)), ..Operation::default() }
}

fn expects(row: RowName, is: Condition) -> Operation {
    Operation { expects: Some(Expectation { row, is }), ..Operation::default() }
}

impl Operation {
    fn showing(self, selection: Selection) -> Operation {
        Operation { shows: Some(selection), ..self }
    }
}

fn transact(rig: &mut Rig, operations: Vec<Operation>) -> Result<Vec<Shown>, Vec<Failure>> {
    match rig.run([Command::Transact(operations)]) {
        Outcome::Done(mut replies) => match replies.remove(0) {
            Reply::Shown(shown) => Ok(shown),
            other => panic!("{other:?}"),
        },
        Outcome::Refused(Refusal::Failed(failures)) => Err(failures),
        Outcome::Refused(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_fails(rig: &mut Rig, operations: Vec<Operation>, expected: &[(u32, Cause)]) {
    let before = rig.view.state().clone();
    let failures = transact(rig, operations).expect_err("something fails");
    let found: Vec<_> = failures.into_iter().map(|one| (one.operation, one.cause)).collect();
    assert_eq!(found, expected);
    let mut after = rig.view.state().clone();
    after.index = before.index;
    assert_eq!(after, before, "nothing changed");
}

fn session(rig: &mut Rig, number: u128, lock_delay: Nanos) {
    let node = "n1".into();
    let session = Session { id: session_id(number), node, lock_delay, ..Session::default() };
    rig.does(Command::CreateSession(Box::new(session)));
}

/// A rig with a node, an instance, a check, and a session without lock-delay.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.does(put_node("n1", 1, "10.0.0.1"));
    rig.does(put_instance("n1", "web-1", "web"));
    rig.does(put_check("n1", "c", "web-1", "passing"));
    session(&mut rig, 1, Nanos(0));
    rig
}

#[test]
fn each_operation_sees_what_those_before_it_did() {
    let mut rig = rig();
    let shown = transact(
        &mut rig,
        vec![
            does(put_kv("t/1", "one", Always)).showing(Selection::Head(kv("t/1"))),
            does(put_kv("t/2", "two", Always)),
            expects(kv("t/2"), Condition::Present).showing(Selection::KvTree(KvKey::new(b"t/"))),
            does(Command::KvDeleteTree(KvKey::new(b"t/"))),
            expects(kv("t/1"), Condition::Absent).showing(Selection::KvTree(KvKey::new(b"t/"))),
            does(put_node("n2", 0, "10.0.0.2")),
            does(put_instance("n2", "db", "db"))
                .showing(Selection::Row(RowName::Instance("N2".into(), "DB".into()))),
            expects(kv("never"), Condition::Unchanged(Index(0))).showing(Selection::Row(kv("no"))),
        ],
    )
    .expect("all of them hold");
    let told: Vec<_> = shown
        .iter()
        .map(|shown| match &shown.row {
            AnyRow::Kv(key, row) => (shown.operation, key.to_string(), row.value.len()),
            AnyRow::Instance(row) => (shown.operation, row.id.to_string(), 0),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [(0, "t/1", 0), (2, "t/1", 3), (2, "t/2", 3), (6, "db", 0)];
    assert_eq!(told, expected.map(|(n, name, size)| (n, name.to_owned(), size)));
    assert!(shown.iter().all(|shown| shown.row.modified() == rig.view.index()));
    assert!(rig.kv("t/1").is_none() && rig.instance("n2", "db").is_some());
}

/// Story 13, steps 32 and 33.
#[test]
fn every_failure_is_told_and_nothing_is_done() {
    let mut rig = rig();
    let set = rig.does(put_kv("a", "1", Always));
    check_fails(
        &mut rig,
        vec![
            does(put_kv("x", "1", Always)),
            does(Command::RemoveNode("n1".into())),
            expects(kv("a"), Condition::Absent),
            expects(kv("nope"), Condition::Present),
            expects(kv("a"), Condition::ChangedAt(Index(1))),
            expects(kv("a"), Condition::Unchanged(Index(0))),
            expects(kv("nope"), Condition::Unchanged(set)),
            expects(kv("a"), Condition::HeldBy(Some(session_id(1)))),
            expects(kv("nope"), Condition::HeldBy(None)),
            expects(RowName::Node("n1".into()), Condition::Present),
            does(put_kv("a", "2", Unchanged(Index(1)))),
            does(put_kv("a", "2", Release(session_id(1)))),
            does(delete_kv("a", Some(1))),
            does(put_kv("l", "", Acquire(session_id(9)))),
            does(put_instance("n1", "i", "s")),
        ],
        &[
            (2, Cause::Present),
            (3, Cause::Absent),
            (4, Cause::Changed(set)),
            (5, Cause::Changed(set)),
            (6, Cause::Absent),
            (7, Cause::HeldBy(None)),
            (8, Cause::Absent),
            (9, Cause::Absent),
            (10, Cause::ConditionFailed),
            (11, Cause::ConditionFailed),
            (12, Cause::ConditionFailed),
            (13, Cause::Refused(Box::new(Refusal::InvalidSession(session_id(9))))),
            (14, Cause::Refused(Box::new(Refusal::MissingNode("n1".into())))),
        ],
    );
}

#[test]
fn a_failed_operation_is_as_if_it_were_not_there_for_those_after_it() {
    let mut rig = rig();
    check_fails(
        &mut rig,
        vec![
            Operation {
                does: does(put_kv("k", "", Always)).does,
                ..expects(kv("no"), Condition::Present)
            },
            expects(kv("k"), Condition::Absent),
        ],
        &[(0, Cause::Absent)],
    );
}

#[test]
fn a_row_is_found_by_each_of_its_names() {
    let mut rig = rig();
    rig.does(put_kv("k", "v", Acquire(session_id(1))));
    let (node, n1) = (NodeId::from_u128(1), || "N1".into());
    for name in [
        RowName::Node(n1()),
        RowName::NodeId(node),
        RowName::Instance(n1(), "WEB-1".into()),
        RowName::Check(n1(), "C".into()),
        kv("k"),
    ] {
        let shows = Selection::Row(name.clone());
        let shown = transact(&mut rig, vec![Operation::default().showing(shows)]).expect("shown");
        let at = shown[0].row.modified();
        let holds = |is| expects(name.clone(), is);
        let held = vec![holds(Condition::Unchanged(at)), holds(Condition::ChangedAt(at))];
        assert_eq!(transact(&mut rig, held), Ok(Vec::new()), "{name:?}");
        if !matches!(name, RowName::Kv(_)) {
            let held = vec![holds(Condition::HeldBy(None))];
            check_fails(&mut rig, held, &[(0, Cause::HeldBy(None))]);
        }
    }
    let held = vec![expects(kv("k"), Condition::HeldBy(Some(session_id(1))))];
    assert_eq!(transact(&mut rig, held), Ok(Vec::new()));
}

#[test]
fn locks_hold_as_in_single_writes() {
    let mut rig = rig();
    session(&mut rig, 2, Nanos::seconds(10));
    let lock = |number| vec![does(put_kv("l", "v", Acquire(session_id(number))))];
    assert_eq!(transact(&mut rig, lock(2)), Ok(Vec::new()));
    check_fails(&mut rig, lock(1), &[(0, Cause::ConditionFailed)]);
    let ends = vec![does(Command::DestroySession(session_id(2))), lock(1).remove(0)];
    check_fails(&mut rig, ends, &[(1, Cause::LockDelayed)]);
    rig.does(Command::DestroySession(session_id(2)));
    check_fails(&mut rig, lock(1), &[(0, Cause::LockDelayed)]);
    rig.now += 10_000;
    assert_eq!(transact(&mut rig, lock(1)), Ok(Vec::new()));
    assert_eq!(
        rig.kv("l").map(|row| (row.lock_index, row.session)),
        Some((2, Some(session_id(1))))
    );
}

#[test]
fn a_transaction_that_changes_nothing_moves_nothing() {
    let mut rig = rig();
    let set = rig.does(put_kv("a", "1", Always));
    let (tables, history) = (rig.view.tables(), rig.view.state().history.clone());
    let operations = vec![
        does(put_kv("a", "1", Always)).showing(Selection::Head(kv("a"))),
        does(put_node("n1", 1, "10.0.0.1")),
        does(delete_kv("absent", None)),
    ];
    let entry = crate::Entry {
        time: Timestamp(rig.now),
        author: Default::default(),
        owner: model::Owner::http(),
        claim: Default::default(),
        tenant: Tenant::DEFAULT,
        request: None,
        commands: vec![Command::Transact(operations)],
    };
    let applied = apply(&rig.view, [(Index(99), entry)]);
    assert!(applied.touched.is_empty());
    assert_eq!((applied.view.tables(), &applied.view.state().history), (tables, &history));
    let [Outcome::Done(replies)] = applied.outcomes.as_slice() else { panic!() };
    let [Reply::Shown(shown)] = replies.as_slice() else { panic!() };
    assert_eq!(shown[0].row.modified(), set);
}

#[test]
fn what_was_changed_is_one_entry_of_history_and_wakes_its_readers() {
    let mut rig = rig();
    let before = rig.view.clone();
    let operations = vec![
        does(put_kv("a", "1", Always)),
        does(put_kv("a", "2", Always)),
        does(Command::RemoveNode("n1".into())),
    ];
    let entry = |commands| crate::Entry {
        time: Timestamp(1_000),
        author: Default::default(),
        owner: model::Owner::http(),
        claim: Default::default(),
        tenant: Tenant::DEFAULT,
        request: None,
        commands,
    };
    let applied = apply(&rig.view, [(Index(50), entry(vec![Command::Transact(operations)]))]);
    rig.view = applied.view;
    for watch in [
        Watch::Kv(kv_key("a")),
        Watch::Nodes(Tenant::DEFAULT),
        Watch::Service(crate::tables::rig::service_key("web")),
        Watch::Sessions(Tenant::DEFAULT),
    ] {
        assert!(applied.touched.concerns(&watch), "{watch:?}");
    }
    assert!(!applied.touched.concerns(&Watch::Kv(kv_key("b"))));
    let past = rig.view.state().as_of(before.index()).expect("within the window");
    assert_eq!(past.state.nodes, before.state().nodes);
    assert_eq!(past.state.kv, before.state().kv);
    assert_eq!(past.state.tables, before.tables());
}

#[test]
fn a_look_says_what_a_transaction_would_and_does_nothing() {
    let mut rig = rig();
    rig.does(put_kv("t/1", "one", Always));
    let look = [
        expects(kv("t/1"), Condition::Present).showing(Selection::Row(kv("t/1"))),
        expects(kv("t/2"), Condition::Absent).showing(Selection::KvTree(KvKey::new(b"t/"))),
    ];
    let seen = rig.view.look(Tenant::DEFAULT, &look).expect(HELD);
    assert_eq!(seen, transact(&mut rig, look.to_vec()));
    let fails = [expects(kv("t/1"), Condition::Absent), expects(kv("t/2"), Condition::Present)];
    let failed = rig.view.look(Tenant::DEFAULT, &fails).expect(HELD);
    assert_eq!(failed, transact(&mut rig, fails.to_vec()));
    assert_eq!(failed.expect_err("both fail").len(), 2);
}

#[test]
fn a_transaction_shows_no_more_than_its_limit() {
    const VALUES: u64 = 8;
    let mut rig = rig();
    let value = "v".repeat((MOST_SHOWN / 4 / VALUES) as usize);
    for number in 0..VALUES {
        rig.does(put_kv(&format!("t/{number}"), &value, Always));
    }
    let tree = || Operation::default().showing(Selection::KvTree(KvKey::new(b"t/")));
    let head = || Operation::default().showing(Selection::Head(kv("t/1")));
    let fit = vec![head(), tree(), tree(), tree(), head()];
    assert_eq!(transact(&mut rig, fit).map(|shown| shown.len() as u64), Ok(3 * VALUES + 2));
    let over = [tree(), tree(), tree(), tree(), tree()];
    let told = [(3, Cause::TooMuch), (4, Cause::TooMuch)];
    check_fails(&mut rig, over.to_vec(), &told);
    let seen = rig.view.look(Tenant::DEFAULT, &over).expect(HELD).expect_err("too much");
    assert_eq!(seen.into_iter().map(|one| (one.operation, one.cause)).collect::<Vec<_>>(), told);
}

#[test]
fn a_look_at_what_is_not_held_says_so() {
    let rig = rig();
    let held = BTreeSet::from([Interest::Kv(kv_key("t/"))]);
    let view = rig.view.restricted(Holdings::Only(Arc::new(held)));
    let look = |operation| view.look(Tenant::DEFAULT, &[operation]);
    assert!(look(expects(kv("t/1"), Condition::Absent)).is_ok());
    assert!(look(Operation::default().showing(Selection::KvTree(KvKey::new(b"t/")))).is_ok());
    let n1 = crate::tables::rig::node_key("n1");
    let missing = |name| look(Operation::default().showing(Selection::Row(name)));
    assert_eq!(missing(kv("u")), Err(NotHeld(Interest::Kv(kv_key("u")))));
    let check = RowName::Check("n1".into(), "c".into());
    assert_eq!(missing(check), Err(NotHeld(Interest::Node(n1))));
    let by_id = RowName::NodeId(NodeId::nil());
    assert_eq!(missing(by_id), Err(NotHeld(Interest::Nodes(Tenant::DEFAULT))));
}
