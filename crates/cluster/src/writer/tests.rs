//! A log that loses answers after the commit: each write is applied once and tells its first outcome.

use super::*;
use crate::machine::{Machine, Published};
use bytes::Bytes;
use catalog::{Acl, Claim, Command, KvCondition, KvRowKey, KvWrite, NodeKey, Outcome, Reply, View};
use consensus::{Applied, Fsm, ReadError};
use model::{
    Author, Instance, InstanceId, KvKey, Node, NodeName, Owner, Session, Tenant, Timestamp,
};
use seams::{Waiters, Writer as _};
use std::sync::Mutex;

/// Applies every proposal and loses every answer but the last of a row.
struct LossyLog {
    machine: Mutex<Machine>,
    appended: AtomicU64,
    losses: u64,
    /// Refuses everything after so many entries.
    stopped_after: u64,
    /// Tells each entry after the first that the first was forgotten.
    forgets: bool,
}

impl Log for LossyLog {
    fn propose(&self, _: Priority, command: Bytes) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        if self.appended.load(Ordering::Relaxed) >= self.stopped_after {
            return Box::pin(std::future::ready(Err(ProposeError::Stopped)));
        }
        let index = 1 + self.appended.fetch_add(1, Ordering::Relaxed);
        if self.forgets && index > 1 {
            let response = format::encode_outcome(&Outcome::Refused(Refusal::TooLateToKnow));
            return Box::pin(std::future::ready(Ok(Applied { index, response })));
        }
        let command = consensus::Command { index, bytes: command };
        let mut machine = self.machine.lock().expect("no test panics inside");
        let response = machine.apply(vec![command]).expect("the entry is readable").remove(0);
        let lost = !index.is_multiple_of(self.losses + 1);
        let answer =
            if lost { Err(ProposeError::Unknown) } else { Ok(Applied { index, response }) };
        Box::pin(std::future::ready(answer))
    }

    fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(std::future::ready(Ok(self.appended.load(Ordering::Relaxed))))
    }
}

struct Bench {
    writer: Writer,
    log: Arc<LossyLog>,
    published: Arc<Published>,
}

impl Bench {
    fn new(losses: u64) -> Bench {
        Bench::with(losses, u64::MAX, false)
    }

    fn with(losses: u64, stopped_after: u64, forgets: bool) -> Bench {
        let published = Arc::new(Published::new(Acl::default(), Vec::new(), Waiters::default()));
        published.end_replay();
        let under_way = Arc::<UnderWay>::default();
        let machine = Mutex::new(Machine {
            published: Arc::clone(&published),
            under_way: Arc::clone(&under_way),
            meters: Meters::default(),
        });
        let log = Arc::new(LossyLog {
            machine,
            appended: AtomicU64::new(0),
            losses,
            stopped_after,
            forgets,
        });
        Bench {
            writer: Writer::new(
                Arc::clone(&log) as Arc<dyn Log>,
                Arc::new(Clock::new(Timestamp(0))),
                under_way,
                Meters::default(),
            ),
            log,
            published,
        }
    }

    async fn write(&self, commands: Vec<Command>) -> Result<Outcome, WriteError> {
        let proposal = Proposal {
            author: Author::default(),
            owner: Owner::http(),
            claim: Claim::Explicit,
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        };
        self.writer.propose(proposal).await.map(|committed| committed.outcome)
    }

    fn view(&self) -> Arc<View> {
        self.published.view.load_full()
    }
}

fn put(value: &str, condition: KvCondition) -> Command {
    let value = Arc::from(value.as_bytes());
    Command::KvPut(KvWrite { key: KvKey::new(b"k"), value, flags: 0, condition })
}

fn node(name: &str) -> Command {
    Command::PutNode(Node { name: NodeName::from(name), ..Node::default() })
}

const DONE: Reply = Reply::Done;

#[tokio::test]
async fn a_cas_whose_answer_was_lost_reports_its_first_outcome_and_applies_once() {
    let bench = Bench::new(2);
    let create = put("a", KvCondition::Unchanged(Index(0)));
    // Applied again, it would find the key there and fail.
    assert_eq!(bench.write(vec![create]).await, Ok(Outcome::Done(vec![DONE])));
    assert_eq!(bench.log.appended.load(Ordering::Relaxed), 3);
    let view = bench.view();
    let row = view.kv(&KvRowKey::new(Tenant::DEFAULT, b"k")).expect("held").value.cloned();
    assert_eq!(row.expect("written").modified, Index(1));
}

#[tokio::test]
async fn a_lost_acquire_counts_its_lock_once() {
    let bench = Bench::new(1);
    let session = Session { id: Uuid::from_u128(7), node: "n".into(), ..Session::default() };
    let create = Command::CreateSession(Box::new(session));
    assert_eq!(bench.write(vec![node("n"), create]).await, Ok(Outcome::Done(vec![DONE, DONE])));
    let acquire = put("v", KvCondition::Acquire(Uuid::from_u128(7)));
    assert_eq!(bench.write(vec![acquire]).await, Ok(Outcome::Done(vec![DONE])));
    let view = bench.view();
    let row = view.kv(&KvRowKey::new(Tenant::DEFAULT, b"k")).expect("held").value.cloned();
    assert_eq!(row.expect("written").lock_index, 1);
}

#[tokio::test]
async fn a_lost_registration_does_not_undo_what_came_after_it() {
    let bench = Bench::new(1);
    let instance = |port| {
        let instance = Instance {
            node: "n".into(),
            id: InstanceId::from("web"),
            service: "web".into(),
            port,
            ..Instance::default()
        };
        Command::PutInstance(Box::new(instance))
    };
    let request = Some(RequestKey { client: Uuid::from_u128(1), sequence: 1 });
    let propose = |request, port| {
        let proposal = Proposal {
            author: Author::default(),
            owner: Owner::http(),
            claim: Claim::Explicit,
            tenant: Tenant::DEFAULT,
            request,
            commands: vec![node("n"), instance(port)],
        };
        bench.writer.propose(proposal)
    };
    propose(request, 80).await.expect("written");
    propose(None, 81).await.expect("written");
    // A client that heard nothing repeats its first write.
    propose(request, 80).await.expect("answered");
    let key = NodeKey::new(Tenant::DEFAULT, &"n".into()).instance(&"web".into());
    let view = bench.view();
    assert_eq!(view.instance(&key).expect("held").expect("registered").port, 81);
}

#[tokio::test]
async fn an_answer_that_stays_lost_is_told_as_unknown() {
    let bench = Bench::new(u64::MAX - 1);
    let lost = bench.write(vec![put("a", KvCondition::Always)]).await;
    assert!(matches!(lost, Err(WriteError::Unknown(_))), "{lost:?}");
    assert_eq!(bench.log.appended.load(Ordering::Relaxed), 1 + REPEATS as u64);
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_does_not_claim_that_nothing_changed() {
    let bench = Bench::with(5, 1, false);
    let lost = bench.write(vec![put("a", KvCondition::Always)]).await;
    assert!(matches!(lost, Err(WriteError::Unknown(_))), "{lost:?}");
    let refused = bench.write(vec![put("b", KvCondition::Always)]).await;
    assert_eq!(refused, Err(WriteError::Stopped));
}

#[tokio::test]
async fn a_repetition_whose_first_outcome_was_forgotten_is_told_as_unknown() {
    let bench = Bench::with(5, u64::MAX, true);
    let forgotten = bench.write(vec![put("a", KvCondition::Always)]).await;
    let text = Refusal::TooLateToKnow.to_string();
    assert_eq!(forgotten, Err(WriteError::Unknown(text)));
}

#[test]
fn what_tells_how_things_stand_gets_the_last_places() {
    let check = || Command::PutCheck(Box::default());
    let id = Uuid::from_u128(7);
    let release = put("", KvCondition::Release(id));
    for urgent in [vec![check(), check()], vec![Command::ExpireSession(id)]] {
        assert_eq!(priority(&urgent), Priority::Urgent, "{urgent:?}");
    }
    let acquire = put("", KvCondition::Acquire(id));
    let given = put("", KvCondition::Always);
    for usual in [vec![node("n"), check()], vec![acquire], vec![release], vec![given]] {
        assert_eq!(priority(&usual), Priority::Usual, "{usual:?}");
    }
}
