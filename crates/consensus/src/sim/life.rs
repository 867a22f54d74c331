//! One life of the server: start, load, end; and what must be true in the next.
//!
//! Each command is a number with bytes that follow from it, so that half a command is recognised.
//! The model remembers what was answered; the machine's state is compared with it after a start.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tokio::sync::Notify;

use super::disk::SimDisk;
use super::wal::SimWal;
use super::{Dice, Tally};
use crate::disk::Disk;
use crate::engine::{Host, Parts, run};
use crate::error::{ProposeError, StartError};
use crate::fsm::{Command, Fsm, FsmError, FsmSnapshot};
use crate::handle::Consensus;
use crate::home::{Identity, identify};
use crate::log::{Mark, Wal};
use crate::options::Limits;
use crate::shared::Shared;
use crate::snapshot::{Facts, Snapshots};
use crate::space::Space;

const RESERVE: u64 = 1000;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    InOrder,
    PowerFails { after: u64 },
    PowerFailsIn { operation: &'static str, nth: u64 },
    DiskFull { after: u64 },
}

/// What was proposed, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    next: u64,
    /// By number: the index, once acknowledged.
    answered: BTreeMap<u64, Option<u64>>,
    identity: Option<Identity>,
    refused: BTreeSet<u64>,
}

impl Model {
    pub(super) fn acknowledged(&self) -> u64 {
        self.answered.values().filter(|index| index.is_some()).count() as u64
    }

    /// Every acknowledged command at its index, none twice, none that was refused or never made.
    fn check(&self, state: &[(u64, u64)]) {
        let mut seen = BTreeMap::new();
        let mut before = None;
        for (index, number) in state {
            assert!(Some(*index) > before, "index {index} after {before:?}");
            before = Some(*index);
            assert!(seen.insert(*number, *index).is_none(), "command {number} twice");
            assert!(self.answered.contains_key(number), "command {number} was never made");
            assert!(!self.refused.contains(number), "command {number} was refused");
        }
        for (number, index) in &self.answered {
            if let Some(index) = index {
                assert_eq!(seen.get(number), Some(index), "acknowledged command {number}");
            }
        }
    }
}

/// The virtual runtime; what blocks runs in one virtual moment.
struct Sim;

impl Host for Sim {
    type Runtime = SimRuntime;

    async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        SimRuntime::sleep(Duration::from_micros(150)).await;
        work()
    }
}

/// (index, number) of each command applied.
type State = Arc<Vec<(u64, u64)>>;

#[derive(Default)]
struct Recorder {
    state: State,
    shown: Arc<Mutex<State>>,
}

struct Picture(State);

fn command(number: u64) -> Bytes {
    let mut dice = Dice(number);
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..dice.below(60)).map(|_| dice.roll() as u8));
    bytes.into()
}

impl Fsm for Recorder {
    fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
        let state = Arc::make_mut(&mut self.state);
        let mut answers = Vec::new();
        for Command { index, bytes } in batch {
            let number = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes at least"));
            assert_eq!(bytes, command(number), "half a command");
            state.push((index, number));
            answers.push(bytes.slice(..8));
        }
        *self.shown.lock().unwrap() = self.state.clone();
        Ok(answers)
    }

    fn snapshot(&self) -> Box<dyn FsmSnapshot> {
        Box::new(Picture(self.state.clone()))
    }

    fn restore(&mut self, source: &mut dyn Read) -> Result<(), FsmError> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|error| FsmError(error.to_string()))?;
        assert_eq!(bytes.len() % 16, 0, "half a snapshot");
        let pair = |pair: &[u8]| {
            let (index, number) = pair.split_at(8);
            let number_of = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight"));
            (number_of(index), number_of(number))
        };
        self.state = Arc::new(bytes.chunks(16).map(pair).collect());
        *self.shown.lock().unwrap() = self.state.clone();
        Ok(())
    }
}

impl FsmSnapshot for Picture {
    fn write_to(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for (index, number) in self.0.iter() {
            out.write_all(&index.to_be_bytes())?;
            out.write_all(&number.to_be_bytes())?;
        }
        out.flush()
    }
}

/// Opens the disk as the real start does, in the same order.
fn open(
    disk: &SimDisk,
    dice: &mut Dice,
    mut fsm: Box<dyn Fsm>,
    tally: &mut Tally,
) -> Result<Parts, StartError> {
    let fail = |doing| move |source| StartError::Io { doing, path: "/sim".into(), source };
    let limits = Limits {
        snapshot_log_bytes: 7000,
        disk_reserve_bytes: RESERVE,
        queue_entries: 12,
        apply_entries: 4,
        leader_wait: Duration::from_millis(300),
        ..Limits::default()
    };
    let disk_here: Arc<dyn Disk> = Arc::new(disk.clone());
    let cluster = u128::from(dice.roll());
    let fresh = Identity { format: 1, cluster, node: dice.roll() };
    let identity = identify(disk, fresh)?;
    let space = Space::new(disk_here.clone(), RESERVE);
    space.prepare().map_err(fail("prepare"))?;
    let wake = Arc::new(Notify::new());
    let mark = Mark::load(disk_here.clone(), wake.clone()).map_err(fail("mark"))?;
    let mark = Arc::new(mark);
    let wal = SimWal::open(disk, mark.clone(), dice.split(), tally).map_err(fail("log"))?;
    let facts = Facts { format: 1, cluster: identity.cluster };
    let snapshots = Snapshots::in_files(disk_here, facts);
    let state = wal.state();
    let recovered = snapshots.recover(fsm.as_mut(), state.purged.as_ref(), state.last.as_ref())?;
    Ok(Parts {
        identity,
        fsm,
        wal: Box::new(wal),
        snapshots,
        recovered,
        shared: Shared::new(Some("/sim".into()), Some(space), wake),
        mark: Some(mark),
        lock: None,
        address: "sim:8300".into(),
        limits,
    })
}

/// Lives once, and checks the state right after the start.
pub(super) fn live(
    dice: &mut Dice,
    disk: &SimDisk,
    model: &mut Model,
    ending: Ending,
    tally: &mut Tally,
) {
    match ending {
        Ending::InOrder => {}
        Ending::PowerFails { after } => disk.fail_power_after(after),
        Ending::PowerFailsIn { operation, nth } => disk.fail_power_in(operation, nth),
        Ending::DiskFull { after } => disk.fill_after(after),
    }
    let mut runtime = SimRuntime::with_seed(dice.roll());
    let shared = Arc::new(Mutex::new(std::mem::take(model)));
    let life = one_life(dice, disk, shared.clone(), ending, tally);
    let limited = async { SimRuntime::timeout(Duration::from_secs(120), life).await };
    runtime.block_on(limited).expect("a life ends in two minutes");
    drop(runtime);
    *model = std::mem::take(&mut shared.lock().unwrap());
    if let Some(operation) = disk.cut_in()
        && !matches!(ending, Ending::DiskFull { .. })
    {
        *tally.cut_in.entry(operation).or_default() += 1;
    }
}

async fn one_life(
    dice: &mut Dice,
    disk: &SimDisk,
    model: Arc<Mutex<Model>>,
    ending: Ending,
    tally: &mut Tally,
) {
    let recorder = Recorder::default();
    let shown = recorder.shown.clone();
    let opened = open(disk, dice, Box::new(recorder), tally);
    let started = match opened {
        Ok(parts) => {
            let identity = parts.identity.clone();
            let started = run::<Sim>(parts).await;
            if started.is_ok() {
                let mut model = model.lock().unwrap();
                assert_eq!(model.identity.get_or_insert(identity.clone()), &identity);
            }
            started
        }
        Err(error) => Err(error),
    };
    let server = match started {
        Ok(server) => server,
        Err(error) => {
            assert!(disk.cut_in().is_some(), "refused to start on a sound disk: {error}");
            return;
        }
    };
    model.lock().unwrap().check(&shown.lock().unwrap());
    let load = load(dice, disk, &server, &model, tally);
    load.await;
    tally.snapshots += u64::from(server.status().last_snapshot_index > 0);
    tally.purges += u64::from(server.status().first_log_index > 0);
    if disk.cut_in().is_some() && matches!(ending, Ending::DiskFull { .. }) {
        // By now the free space is asked for again.
        SimRuntime::sleep(Duration::from_millis(50)).await;
        let probe = server.propose(command(u64::MAX)).await;
        let why = probe.expect_err("a full disk took a command");
        let said = SimRuntime::timeout(Duration::from_secs(5), server.fatal()).await;
        let said = said.unwrap_or_else(|_| {
            panic!("a full disk ends the process; {why}, cut in {:?}", disk.cut_in())
        });
        assert!(said.contains("the disk is full; make room"), "{said}");
        tally.died_full += 1;
    }
    if disk.cut_in().is_none() {
        model.lock().unwrap().check(&shown.lock().unwrap());
        server.shutdown().await;
    }
}

/// Some clients, for a while, or until the disk is in trouble.
async fn load(
    dice: &mut Dice,
    disk: &SimDisk,
    server: &Consensus,
    model: &Arc<Mutex<Model>>,
    tally: &mut Tally,
) {
    let until = Duration::from_millis(100 + dice.below(300));
    let counts = Arc::new(Mutex::new((0, 0)));
    let clients: Vec<_> = (0..1 + dice.below(12))
        .map(|_| {
            let client = client(dice.split(), server.clone(), model.clone(), counts.clone());
            SimRuntime::spawn(client)
        })
        .collect();
    let trouble = disk.trouble.clone();
    let nearly_full = dice.one_in(3);
    let _over = SimRuntime::timeout(until / 2, trouble.notified()).await;
    if nearly_full {
        disk.set_free(RESERVE - 1);
        SimRuntime::sleep(Duration::from_millis(60)).await;
        disk.set_free(u64::MAX);
    }
    if disk.cut_in().is_none() {
        let _over = SimRuntime::timeout(until / 2, trouble.notified()).await;
    }
    // What the engine had under way comes to its end, or its clients hear that it will not.
    server.leadership();
    model.lock().unwrap().next |= 1 << 63;
    for client in clients {
        client.await.expect("a client does not panic");
    }
    model.lock().unwrap().next &= !(1 << 63);
    let (unknown, full) = *counts.lock().unwrap();
    tally.unknown += unknown;
    tally.refused_full += full;
}

async fn client(
    mut dice: Dice,
    server: Consensus,
    model: Arc<Mutex<Model>>,
    counts: Arc<Mutex<(u64, u64)>>,
) {
    loop {
        let number = {
            let mut model = model.lock().unwrap();
            if model.next >> 63 == 1 {
                return;
            }
            model.next += 1;
            let number = model.next;
            model.answered.insert(number, None);
            number
        };
        match server.propose(command(number)).await {
            Ok(applied) => {
                assert_eq!(applied.response, number.to_be_bytes()[..], "another's answer");
                model.lock().unwrap().answered.insert(number, Some(applied.index));
            }
            Err(ProposeError::Unknown) => counts.lock().unwrap().0 += 1,
            Err(ProposeError::Stopped) => {
                model.lock().unwrap().refused.insert(number);
                return;
            }
            Err(error) => {
                let full = matches!(error, ProposeError::DiskFull { .. });
                counts.lock().unwrap().1 += u64::from(full);
                model.lock().unwrap().refused.insert(number);
            }
        }
        SimRuntime::sleep(Duration::from_micros(dice.below(30_000))).await;
    }
}
