//! Random logs from a seed: few names and much traffic, so that every command, reply and refusal
//! comes up within a few hundred entries. [`Counts`] proves that they did.

mod operations;

use catalog::{
    Applied, Claim, Command, Entry, HistoryLimits, KvCondition, KvRowKey, KvWrite, NodeKey,
    Operation, Outcome, REQUEST_WINDOW, Refusal, Reply, View, apply,
};
use model::{
    Author, Behavior, Check, CheckId, Door, Index, Instance, InstanceId, KvKey, Nanos, Node,
    NodeName, Owner, RequestKey, ServiceCheck, ServiceName, Session, SessionId, Status, Tenant,
    Text, Timestamp,
};
use std::collections::BTreeMap;
use uuid::Uuid;

pub const NODES: [&str; 5] = ["n1", "N1", "n2", "db.example", "Ökonom"];
pub const INSTANCES: [&str; 4] = ["web-1", "WEB-1", "web-2", "cache"];
pub const SERVICES: [&str; 3] = ["web", "Web", "cache"];
pub const CHECKS: [&str; 4] = ["serfHealth", "alive", "web-1-http", "ttl"];
pub const KEYS: [&str; 7] = ["a", "a/b", "a/b/c", "a/bc", "b", "lock", ""];
const OWNERS: [&str; 5] = ["http", "agent/n1", "agent/n2", "source/marathon/main", "leader"];

const HELD: &str = "a server holds everything";

/// What came up, by name.
pub type Counts = BTreeMap<String, usize>;

/// A small random number generator (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    fn uuid(&mut self, kind: u128, below: usize) -> Uuid {
        Uuid::from_u128((kind << 64) | self.below(below) as u128)
    }
}

/// Makes a log, entry by entry, knowing the view it has led to.
pub struct Writer {
    pub dice: Dice,
    pub view: View,
    pub counts: Counts,
    time: u64,
    index: u64,
    sent: Vec<(Entry, Outcome, u64)>,
}

/// A log of this many entries, and what came up in it.
pub fn log(seed: u64, length: usize) -> (Vec<(Index, Entry)>, Counts) {
    let mut writer = Writer::new(seed);
    let log = (0..length).map(|_| writer.step().0).collect();
    (log, writer.counts)
}

impl Writer {
    pub fn new(seed: u64) -> Writer {
        let view = View::default();
        Writer {
            dice: Dice::new(seed),
            view,
            counts: Counts::new(),
            time: 1_000_000,
            index: 100,
            sent: Vec::new(),
        }
    }

    /// The next entry, and what it did.
    pub fn step(&mut self) -> ((Index, Entry), Applied) {
        self.index += 1 + u64::from(self.dice.one_in(5));
        let entry = self.entry();
        let at = (Index(self.index), entry);
        let before = self.view.clone();
        let applied = apply(&before, [at.clone()]);
        self.view = applied.view.clone();
        self.count(&before, &at.1, &applied);
        (at, applied)
    }

    fn entry(&mut self) -> Entry {
        self.time += match self.dice.below(40) {
            0 => 70_000,
            1 => 0,
            _ => self.dice.below(3_000) as u64,
        };
        if self.dice.one_in(12) && !self.sent.is_empty() {
            let which = self.sent.len() - 1 - self.dice.below(self.sent.len().min(10));
            let mut again = self.sent[which].0.clone();
            if self.dice.one_in(3) {
                again.time = Timestamp(self.time);
            }
            return again;
        }
        let late = if self.dice.one_in(20) { 5_000 } else { 0 };
        let owner = Owner::new(self.dice.pick(&OWNERS));
        let request = RequestKey {
            client: self.dice.uuid(3, 3),
            sequence: self.index * 2 + self.dice.below(2) as u64,
        };
        let count = if self.dice.one_in(4) { 1 + self.dice.below(4) } else { 1 };
        Entry {
            time: Timestamp(self.time - late),
            author: Author {
                actor: Text::new(owner.as_str()),
                door: [Door::Http, Door::Agent, Door::Leader][self.dice.below(3)],
                remote: Text::new("127.0.0.1:4000"),
                request: Text::from(format!("r{}", self.index)),
            },
            claim: if self.dice.one_in(2) { Claim::Explicit } else { Claim::Reconcile },
            owner,
            tenant: self.tenant(),
            request: (!self.dice.one_in(3)).then_some(request),
            commands: (0..count).map(|_| self.command()).collect(),
        }
    }

    fn tenant(&mut self) -> Tenant {
        Tenant(u32::from(self.dice.one_in(10)))
    }

    fn command(&mut self) -> Command {
        match self.dice.one_in(5) {
            true => Command::Transact(self.operations()),
            false => self.single_command(),
        }
    }

    fn single_command(&mut self) -> Command {
        match self.dice.below(37) {
            0..4 => Command::PutNode(self.node()),
            4 => Command::EnsureNode(self.node_name()),
            5..10 => Command::PutInstance(Box::new(self.instance())),
            10..16 => Command::PutCheck(Box::new(self.check())),
            16 => Command::RemoveNode(self.node_name()),
            17..19 => Command::RemoveInstance(self.node_name(), self.instance_id()),
            19 => Command::RemoveCheck(self.node_name(), self.check_id()),
            20..27 => Command::KvPut(self.kv_write()),
            27..29 => {
                let key = self.key();
                let unchanged = self.dice.one_in(2).then(|| self.known_index(&key));
                Command::KvDelete(key, unchanged)
            }
            29 => Command::KvDeleteTree(self.key()),
            30..33 => Command::CreateSession(Box::new(self.session())),
            33 => Command::DestroySession(self.session_id()),
            34 => Command::ExpireSession(self.session_id()),
            35 => Command::ReapTombstones(Index(self.index - self.dice.below(30) as u64)),
            _ => Command::SetHistoryLimits(self.limits()),
        }
    }

    fn node_name(&mut self) -> NodeName {
        NodeName::from(self.dice.pick(&NODES))
    }

    fn instance_id(&mut self) -> InstanceId {
        InstanceId::from(self.dice.pick(&INSTANCES))
    }

    fn check_id(&mut self) -> CheckId {
        CheckId::from(self.dice.pick(&CHECKS))
    }

    /// Mostly one that lives, sometimes one that may or may not.
    fn session_id(&mut self) -> SessionId {
        let living = self.view.sessions(Tenant::DEFAULT).expect(HELD).value;
        if living.is_empty() || self.dice.one_in(4) {
            return self.dice.uuid(1, 12);
        }
        living[self.dice.below(living.len())].id
    }

    fn holder(&mut self, key: &KvKey) -> SessionId {
        let key = KvRowKey::new(Tenant::DEFAULT, key.as_bytes());
        let row = self.view.kv(&key).expect(HELD).value;
        row.and_then(|row| row.session).unwrap_or_else(|| self.dice.uuid(1, 12))
    }

    fn key(&mut self) -> KvKey {
        KvKey::new(self.dice.pick(&KEYS).as_bytes())
    }

    fn node(&mut self) -> Node {
        let id = self.dice.below(5);
        Node {
            name: self.node_name(),
            id: (id < 3).then(|| Uuid::from_u128((2 << 64) | id as u128)),
            address: Text::new(self.dice.pick(&["10.0.0.1", "10.0.0.2", ""])),
            ..Node::default()
        }
    }

    fn instance(&mut self) -> Instance {
        Instance {
            node: self.node_name(),
            id: self.instance_id(),
            service: ServiceName::from(self.dice.pick(&SERVICES)),
            tags: [Text::new(self.dice.pick(&["v1", "v2"]))].into(),
            port: self.dice.below(2) as i64,
            ..Instance::default()
        }
    }

    fn check(&mut self) -> Check {
        Check {
            node: self.node_name(),
            id: self.check_id(),
            status: Status::parse(self.dice.pick(&["passing", "passing", "critical", "odd"])),
            instance: match self.dice.one_in(2) {
                true => InstanceId::default(),
                false => self.instance_id(),
            },
            ..Check::default()
        }
    }

    fn known_index(&mut self, key: &KvKey) -> Index {
        let key = KvRowKey::new(Tenant::DEFAULT, key.as_bytes());
        let row = self.view.kv(&key).expect(HELD).value;
        match row {
            Some(row) if !self.dice.one_in(3) => row.modified,
            _ => Index(self.dice.below(2) as u64),
        }
    }

    fn kv_write(&mut self) -> KvWrite {
        let key = if self.dice.one_in(3) { KvKey::new(b"lock") } else { self.key() };
        let condition = match self.dice.below(7) {
            0..2 => KvCondition::Always,
            2 => KvCondition::Unchanged(self.known_index(&key)),
            3..6 => KvCondition::Acquire(self.session_id()),
            _ => KvCondition::Release(self.holder(&key)),
        };
        let value = self.dice.pick(&["", "one", "two"]).as_bytes().into();
        KvWrite { key, value, flags: self.dice.below(2) as u64, condition }
    }

    fn session(&mut self) -> Session {
        let node_checks = if self.dice.one_in(3) { vec![self.check_id()] } else { Vec::new() };
        let service_check = ServiceCheck { id: self.check_id(), namespace: Text::default() };
        Session {
            id: self.dice.uuid(1, 12),
            node: self.node_name(),
            lock_delay: Nanos::seconds([0, 15, 90, -1][self.dice.below(4)]),
            behavior: [Behavior::Release, Behavior::Delete][self.dice.below(2)],
            node_checks,
            service_checks: self.dice.one_in(4).then(|| vec![service_check]),
            ..Session::default()
        }
    }

    fn limits(&mut self) -> HistoryLimits {
        let some = |dice: &mut Dice, small: u64, large: u64| match dice.one_in(3) {
            true => small,
            false => large,
        };
        HistoryLimits {
            entries: some(&mut self.dice, 20, 10_000),
            bytes: some(&mut self.dice, 10_000, 8 << 20),
            age_ms: some(&mut self.dice, 60_000, 24 * 3_600_000),
        }
    }

    fn count(&mut self, before: &View, entry: &Entry, applied: &Applied) {
        let outcome = &applied.outcomes[0];
        let earlier = entry.request.and_then(|request| {
            self.sent.iter().find(|(sent, _, _)| sent.request == Some(request))
        });
        let now = applied.view.time().0;
        if let Some((_, first, at)) = earlier.filter(|(_, _, at)| at + REQUEST_WINDOW > now) {
            assert_eq!(first, outcome, "a repetition has the first outcome (sent at {at})");
            self.add("dedup hit");
            return;
        }
        if earlier.is_some_and(|(sent, _, _)| sent.time == entry.time) {
            let too_late = Outcome::Refused(Refusal::TooLateToKnow);
            assert_eq!(*outcome, too_late, "what was forgotten is not applied again");
            self.add("too late to know");
            return;
        }
        if entry.request.is_some() {
            let request = entry.request;
            self.sent.retain(|(sent, _, _)| sent.request != request);
            self.sent.push((entry.clone(), outcome.clone(), now));
        }
        if earlier_than_limit(before, &applied.view) {
            self.add("history trimmed");
        }
        match outcome {
            Outcome::Refused(refusal) => {
                self.add(refusal_name(refusal));
                if let Refusal::Failed(failures) = refusal {
                    // The last that was tried; those before it were carried out.
                    let tried = entry.commands.iter().filter_map(operations_of);
                    match tried.collect::<Vec<_>>().as_slice() {
                        [operations] => self.count_failures(operations, failures),
                        _ => self.add("one of several transactions failed"),
                    }
                }
            }
            Outcome::Done(replies) => {
                for (command, reply) in entry.commands.iter().zip(replies) {
                    self.count_command(before, entry.tenant, command, reply);
                }
            }
        }
        if applied.view.tombstones().count() < before.tombstones().count() {
            self.add("tombstones reaped or replaced");
        }
    }

    fn count_command(&mut self, before: &View, tenant: Tenant, command: &Command, reply: &Reply) {
        let word = match reply {
            Reply::Done => "Done",
            Reply::ConditionFailed => "ConditionFailed",
            Reply::Shown(_) => "Shown",
        };
        self.add(&format!("{} {word}", command_name(command)));
        match command {
            Command::KvPut(KvWrite { key, condition: KvCondition::Acquire(_), .. }) => {
                let key = KvRowKey::new(tenant, key.as_bytes());
                let row = before.kv(&key).expect(HELD).value;
                if *reply == Reply::ConditionFailed && row.is_some_and(|row| row.session.is_none())
                {
                    self.add("lock-delay");
                }
            }
            Command::ReapTombstones(index) if before.tombstones().any(|(at, _)| at <= *index) => {
                self.add("tombstones reaped");
            }
            Command::PutNode(node) => {
                let held = node.id.and_then(|id| before.node_by_id(tenant, id).ok().flatten());
                if held.is_some_and(|held| *held != NodeKey::new(tenant, &node.name)) {
                    self.add("node renamed");
                }
            }
            Command::Transact(operations) => {
                let Reply::Shown(shown) = reply else { panic!("{reply:?}") };
                self.count_shown(operations, shown);
            }
            Command::ExpireSession(id) => {
                let row = before.session(tenant, *id).expect(HELD).value;
                if row.is_some() {
                    self.add("session expired");
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }
}

fn operations_of(command: &Command) -> Option<&[Operation]> {
    match command {
        Command::Transact(operations) => Some(operations),
        _ => None,
    }
}

/// How many commands an entry carries out, those within transactions included.
pub fn steps(entry: &Entry) -> usize {
    let steps = entry.commands.iter().map(|command| match operations_of(command) {
        Some(operations) => operations.iter().filter(|one| one.does.is_some()).count(),
        None => 1,
    });
    steps.sum()
}

fn earlier_than_limit(before: &View, after: &View) -> bool {
    after.state().window().oldest > before.state().window().oldest
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::PutNode(_) => "PutNode",
        Command::EnsureNode(_) => "EnsureNode",
        Command::PutInstance(_) => "PutInstance",
        Command::PutCheck(_) => "PutCheck",
        Command::RemoveNode(_) => "RemoveNode",
        Command::RemoveInstance(..) => "RemoveInstance",
        Command::RemoveCheck(..) => "RemoveCheck",
        Command::KvPut(write) => match write.condition {
            KvCondition::Always => "KvPut always",
            KvCondition::Unchanged(_) => "KvPut unchanged",
            KvCondition::Acquire(_) => "KvPut acquire",
            KvCondition::Release(_) => "KvPut release",
        },
        Command::KvDelete(_, None) => "KvDelete",
        Command::KvDelete(_, Some(_)) => "KvDelete unchanged",
        Command::KvDeleteTree(_) => "KvDeleteTree",
        Command::CreateSession(_) => "CreateSession",
        Command::DestroySession(_) => "DestroySession",
        Command::ExpireSession(_) => "ExpireSession",
        Command::ReapTombstones(_) => "ReapTombstones",
        Command::SetHistoryLimits(_) => "SetHistoryLimits",
        Command::Transact(_) => "Transact",
    }
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NodeNameReserved { renames: None, .. } => "name reserved",
        Refusal::NodeNameReserved { renames: Some(_), .. } => "name reserved from a rename",
        Refusal::MissingNode(_) => "missing node",
        Refusal::MissingInstance { .. } => "missing instance",
        Refusal::SessionWithoutNode => "session without node",
        Refusal::SessionWithoutCheck(_) => "session without check",
        Refusal::SessionCheckCritical(_) => "session on a critical check",
        Refusal::InvalidSession(_) => "invalid session",
        Refusal::OwnedByOther { .. } => "owned by other",
        Refusal::TooLateToKnow => "taken for forgotten",
        Refusal::Failed(_) => "transaction failed",
    }
}

/// Everything that must come up in the logs that the laws are checked on.
const ALL: [&str; 38] = [
    "PutNode Done",
    "EnsureNode Done",
    "PutInstance Done",
    "PutCheck Done",
    "RemoveNode Done",
    "RemoveInstance Done",
    "RemoveCheck Done",
    "KvPut always Done",
    "KvPut unchanged Done",
    "KvPut unchanged ConditionFailed",
    "KvPut acquire Done",
    "KvPut acquire ConditionFailed",
    "KvPut release Done",
    "KvPut release ConditionFailed",
    "KvDelete Done",
    "KvDelete unchanged Done",
    "KvDelete unchanged ConditionFailed",
    "KvDeleteTree Done",
    "CreateSession Done",
    "DestroySession Done",
    "ExpireSession Done",
    "ReapTombstones Done",
    "SetHistoryLimits Done",
    "name reserved",
    "name reserved from a rename",
    "missing node",
    "missing instance",
    "session without node",
    "session without check",
    "session on a critical check",
    "invalid session",
    "owned by other",
    "too late to know",
    "dedup hit",
    "history trimmed",
    "tombstones reaped",
    "lock-delay",
    "session expired",
];

#[test]
fn logs_reach_every_command_reply_and_refusal() {
    let mut all = Counts::new();
    for seed in 0..super::laws::SEEDS {
        for (name, count) in log(seed, super::laws::LENGTH).1 {
            *all.entry(name).or_default() += count;
        }
    }
    let expected = ALL.iter().chain(operations::IN_TRANSACTIONS);
    let missing: Vec<_> = expected.filter(|name| !all.contains_key(**name)).collect();
    assert!(missing.is_empty(), "never came up: {missing:?}; did: {all:#?}");
    assert!(all["node renamed"] > 0);
    assert!(!all.contains_key("taken for forgotten"), "a fresh entry was refused");
}
