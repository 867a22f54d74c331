//! Law 6: a request that is repeated is applied once and has its first outcome.

use crate::bytes::{load, save};
use catalog::{
    Cause, Claim, Command, Entry, Failure, KvCondition, KvRowKey, KvWrite, Operation, Outcome,
    REFUSAL_TEXT, REQUEST_WINDOW, REQUESTS_KEPT, RESULTS_KEPT, Refusal, Reply, RowName, Selection,
    View, apply,
};
use model::{
    Author, Index, Instance, InstanceId, KvKey, Node, NodeName, Owner, RequestKey, Session, Tenant,
    Timestamp,
};
use uuid::Uuid;

fn entry(time: u64, sequence: u64, command: Command) -> Entry {
    Entry {
        time: Timestamp(time),
        author: Author::default(),
        owner: Owner::http(),
        claim: Claim::Explicit,
        tenant: Tenant::DEFAULT,
        request: Some(RequestKey { client: Uuid::from_u128(1), sequence }),
        commands: vec![command],
    }
}

fn put(key: &[u8], condition: KvCondition) -> Command {
    Command::KvPut(KvWrite { key: KvKey::new(key), value: b"v"[..].into(), flags: 0, condition })
}

fn step(view: &View, entry: Entry) -> (View, Outcome) {
    let index = Index(view.index().0 + 1);
    let mut applied = apply(view, [(index, entry)]);
    (applied.view, applied.outcomes.remove(0))
}

const SESSION: Uuid = Uuid::from_u128(9);

/// A view with a node and a session.
fn prepared() -> View {
    let node = Node { name: NodeName::from("n1"), ..Node::default() };
    let session = Session { id: SESSION, node: NodeName::from("n1"), ..Session::default() };
    let view = step(&View::default(), entry(1, 1, Command::PutNode(node))).0;
    step(&view, entry(1, 2, Command::CreateSession(Box::new(session)))).0
}

/// Sends a command twice as one request, with a snapshot in between, after which others wrote too.
#[track_caller]
fn check(command: Command, expected: Outcome) {
    let (view, first) = step(&prepared(), entry(10, 77, command.clone()));
    assert_eq!(first, expected);
    let (view, _) = step(&view, entry(11, 78, put(b"other", KvCondition::Always)));
    let restored = View::default().replaced_by(load(&save(&view)).expect("read"));
    for view in [view, restored] {
        let (after, again) = step(&view, entry(12, 77, command.clone()));
        assert_eq!(again, expected, "the repetition has the first outcome");
        assert_eq!(after.tables(), view.tables(), "and changes nothing");
    }
}

#[test]
fn a_repetition_has_the_first_outcome_and_changes_nothing() {
    let done = || Outcome::Done(vec![Reply::Done]);
    let instance =
        Instance { node: NodeName::from("n1"), id: InstanceId::from("web"), ..Instance::default() };
    check(put(b"k", KvCondition::Unchanged(Index(0))), done());
    check(put(b"k", KvCondition::Unchanged(Index(5))), Outcome::Done(vec![Reply::ConditionFailed]));
    check(put(b"k", KvCondition::Acquire(SESSION)), done());
    check(put(b"k", KvCondition::Release(SESSION)), Outcome::Done(vec![Reply::ConditionFailed]));
    check(Command::PutInstance(Box::new(instance.clone())), done());
    check(Command::KvDelete(KvKey::new(b"k"), None), done());
    let nowhere = Instance { node: NodeName::from("n2"), ..instance };
    let refused = Refusal::MissingNode(NodeName::from("n2"));
    check(Command::PutInstance(Box::new(nowhere)), Outcome::Refused(refused));
}

#[test]
fn a_repeated_cas_does_not_undo_what_came_between() {
    let cas = put(b"k", KvCondition::Unchanged(Index(0)));
    let view = step(&prepared(), entry(10, 50, cas.clone())).0;
    let view = step(&view, entry(10, 51, Command::KvDelete(KvKey::new(b"k"), None))).0;
    let (view, again) = step(&view, entry(10, 50, cas));
    assert_eq!(again, Outcome::Done(vec![Reply::Done]));
    let key = KvRowKey::new(Tenant::DEFAULT, b"k");
    assert!(view.kv(&key).expect("held").value.is_none(), "it was not written a second time");
}

#[test]
fn the_same_number_of_another_client_is_another_request() {
    let view = step(&prepared(), entry(10, 50, put(b"k", KvCondition::Unchanged(Index(0))))).0;
    let mut other = entry(10, 50, put(b"k", KvCondition::Unchanged(Index(0))));
    other.request = Some(RequestKey { client: Uuid::from_u128(2), sequence: 50 });
    assert_eq!(step(&view, other).1, Outcome::Done(vec![Reply::ConditionFailed]));
}

#[test]
fn a_request_is_forgotten_after_the_window() {
    let cas = || put(b"k", KvCondition::Unchanged(Index(0)));
    let view = step(&prepared(), entry(10, 50, cas())).0;
    let within = step(&view, entry(10 + REQUEST_WINDOW - 1, 50, cas())).1;
    assert_eq!(within, Outcome::Done(vec![Reply::Done]));
    let after = step(&view, entry(10 + REQUEST_WINDOW, 50, cas())).1;
    assert_eq!(
        after,
        Outcome::Done(vec![Reply::ConditionFailed]),
        "another stamp is another write"
    );
}

const TOO_LATE: Outcome = Outcome::Refused(Refusal::TooLateToKnow);

#[test]
fn a_repetition_of_what_was_forgotten_is_refused_and_changes_nothing() {
    let delete =
        |time, sequence, key| entry(time, sequence, Command::KvDelete(KvKey::new(key), None));
    let cas = entry(10, 50, put(b"k", KvCondition::Unchanged(Index(0))));
    let view = step(&prepared(), cas.clone()).0;
    // Applied a second time, the write would undo this deletion.
    let view = step(&view, delete(20, 51, b"k")).0;
    let view = step(&view, delete(10 + REQUEST_WINDOW, 52, b"absent")).0;
    let restored = View::default().replaced_by(load(&save(&view)).expect("read"));
    for view in [view, restored] {
        for _ in 0..2 {
            let (after, again) = step(&view, cas.clone());
            assert_eq!(again, TOO_LATE);
            assert_eq!(after.tables(), view.tables());
        }
        let fresh = |stamp| step(&view, delete(stamp, 99, b"absent")).1;
        assert_eq!(fresh(10), TOO_LATE, "as old as what was forgotten");
        assert_eq!(fresh(11), Outcome::Done(vec![Reply::Done]));
        let mut unnamed = delete(10, 0, b"absent");
        unnamed.request = None;
        assert_eq!(step(&view, unnamed).1, Outcome::Done(vec![Reply::Done]), "nobody repeats it");
    }
}

#[test]
fn only_so_many_requests_are_kept() {
    let first = entry(10, 1_000_000, put(b"k", KvCondition::Unchanged(Index(0))));
    let view = step(&prepared(), first.clone()).0;
    let filler = |n: usize| {
        let delete = Command::KvDelete(KvKey::new(b"absent"), None);
        (Index(100 + n as u64), entry(11, 2_000_000 + n as u64, delete))
    };
    let full = apply(&view, (0..REQUESTS_KEPT - 1).map(filler)).view;
    assert_eq!(step(&full, first.clone()).1, Outcome::Done(vec![Reply::Done]), "still kept");
    let fuller = apply(&view, (0..REQUESTS_KEPT + 4).map(filler)).view;
    let forgotten = step(&fuller, first).1;
    assert_eq!(forgotten, TOO_LATE, "the oldest goes first");
}

#[test]
fn a_fresh_entry_is_never_taken_for_a_forgotten_one() {
    // As many are under way as may be, and the first that was stamped is applied last.
    const UNDER_WAY: usize = REQUESTS_KEPT / 2;
    let fresh = (0..4 * UNDER_WAY).map(|n| {
        let (block, place) = (n / UNDER_WAY, n % UNDER_WAY);
        let stamp = 10 + ((block + 1) * UNDER_WAY - place) as u64 / 100;
        let delete = Command::KvDelete(KvKey::new(b"absent"), None);
        (Index(100 + n as u64), entry(stamp, n as u64, delete))
    });
    let applied = apply(&View::default(), fresh);
    let refused = applied.outcomes.iter().filter(|outcome| **outcome == TOO_LATE).count();
    assert_eq!(refused, 0);
}

fn transact(operations: impl IntoIterator<Item = Operation>) -> Command {
    Command::Transact(operations.into_iter().collect())
}

/// Writes a value and shows the key with it.
fn put_and_show(key: &[u8], value: usize, condition: KvCondition) -> Operation {
    let value = vec![b'v'; value].into();
    let write = KvWrite { key: KvKey::new(key), value, flags: 0, condition };
    let shows = Some(Selection::Row(RowName::Kv(KvKey::new(key))));
    Operation { expects: None, does: Some(Box::new(Command::KvPut(write))), shows }
}

#[test]
fn a_repeated_transaction_shows_what_it_showed_and_is_applied_once() {
    let view = prepared();
    let create = KvCondition::Unchanged(Index(0));
    let command = transact([put_and_show(b"k", 1, create), put_and_show(b"l", 1, create)]);
    let (after, first) = step(&view, entry(10, 77, command.clone()));
    let Outcome::Done(replies) = &first else { panic!("{first:?}") };
    let [Reply::Shown(shown)] = replies.as_slice() else { panic!("{replies:?}") };
    assert_eq!(shown.iter().map(|shown| shown.operation).collect::<Vec<_>>(), [0, 1]);
    check(command.clone(), first.clone());
    let failing = transact([put_and_show(b"new", 1, create), put_and_show(b"k", 1, create)]);
    let (after, refused) = step(&after, entry(10, 78, failing.clone()));
    let failure = Failure { operation: 1, cause: Cause::ConditionFailed };
    assert_eq!(refused, Outcome::Refused(Refusal::Failed(vec![failure])));
    let (after, _) = step(&after, entry(10, 79, Command::KvDelete(KvKey::new(b"k"), None)));
    assert_eq!(step(&after, entry(10, 77, command)).1, first);
    assert_eq!(step(&after, entry(10, 78, failing)).1, refused, "though it would succeed now");
}

#[test]
fn only_so_many_bytes_of_results_are_kept() {
    const VALUE: usize = 1 << 20;
    let put = |n: u64, value| {
        let key = n.to_le_bytes();
        entry(10, 1_000 + n, transact([put_and_show(&key, value, KvCondition::Always)]))
    };
    let fit = RESULTS_KEPT / (VALUE as u64 + 1_000);
    let log = (0..fit).map(|n| (Index(100 + n), put(n, VALUE)));
    let mut view = apply(&prepared(), log).view;
    let done = |view: &View, entry: Entry| matches!(step(view, entry).1, Outcome::Done(_));
    assert!((0..fit).all(|n| done(&view, put(n, VALUE))), "all of them fit");
    view = step(&view, put(fit, VALUE)).0;
    let restored = View::default().replaced_by(load(&save(&view)).expect("read"));
    for view in [view, restored] {
        assert_eq!(step(&view, put(0, VALUE)).1, TOO_LATE, "the oldest goes first");
        assert!((1..=fit).all(|n| done(&view, put(n, VALUE))));
        let other = step(&view, entry(10, 5, Command::KvDelete(KvKey::new(b"k"), None)));
        assert_eq!(other.1, Outcome::Done(vec![Reply::Done]), "a fresh entry is no repetition");
        // One that is too large alone pushes nothing out.
        let (view, first) = step(&view, put(50, RESULTS_KEPT as usize));
        assert!(matches!(first, Outcome::Done(_)), "it is told once");
        let (again, outcome) = step(&view, put(50, RESULTS_KEPT as usize));
        assert_eq!((outcome, again.tables()), (TOO_LATE, view.tables()));
        assert!((1..=fit).all(|n| done(&view, put(n, VALUE))));
    }
}

#[test]
fn what_is_remembered_of_a_refusal_is_short() {
    let long = "x".repeat(1 << 20);
    let nowhere = Instance { node: NodeName::new(long), ..Instance::default() };
    let outcome = step(&prepared(), entry(10, 3, Command::PutInstance(Box::new(nowhere)))).1;
    let short = NodeName::new("x".repeat(REFUSAL_TEXT));
    assert_eq!(outcome, Outcome::Refused(Refusal::MissingNode(short)));
}
