//! The state machine as openraft sees it: batches for the [`Fsm`], the rest kept here.
//!
//! A run of committed entries becomes one call, bounded in count and bytes. Blank and membership
//! entries stay in this crate. The proposers are answered after the call, so after publication.
//! Snapshots are written by the keeper; openraft is only told of them.

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{AsyncRuntime, EntryPayload, OptionalSend};

use crate::fsm::{Command, Fsm, FsmError, FsmSnapshot};
use crate::options::Limits;
use crate::shared::Shared;
use crate::snapshot::Snapshots;
use crate::types::{Entry, LogId, Membership, Snapshot, SnapshotMeta, StoredMembership, Types};

/// What an entry costs beyond its bytes: framing on disk, and in memory its place in raft-log's
/// index (190 bytes, measured over a million entries).
const ENTRY_COST: u64 = 256;

/// The machine, and what openraft wants to know of it.
pub(crate) struct Machine<Rt> {
    /// In a mutex only because openraft asks for `Sync`; it is never locked.
    fsm: Mutex<Box<dyn Fsm>>,
    meta: SnapshotMeta,
    snapshots: Arc<Snapshots>,
    shared: Arc<Shared>,
    most_entries: usize,
    most_bytes: usize,
    runtime: PhantomData<fn() -> Rt>,
}

/// A picture, where it stands, and the bytes of log it makes superfluous.
pub(crate) struct Picture {
    pub meta: SnapshotMeta,
    pub content: Box<dyn FsmSnapshot>,
}

/// Entries on their way into the machine.
struct Batch<Rt: AsyncRuntime> {
    commands: Vec<Command>,
    /// One for each entry; a command's answer goes to its own.
    waiting: Vec<(bool, Option<ApplyResponder<Types<Rt>>>)>,
    members: Option<StoredMembership>,
    last: Option<LogId>,
    bytes: usize,
}

impl<Rt: AsyncRuntime> Batch<Rt> {
    fn new() -> Self {
        let (commands, waiting) = (Vec::new(), Vec::new());
        Batch { commands, waiting, members: None, last: None, bytes: 0 }
    }

    fn push(&mut self, entry: Entry, responder: Option<ApplyResponder<Types<Rt>>>) {
        let mut is_command = false;
        match entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(proposal) => {
                is_command = true;
                self.bytes += proposal.bytes.len();
                self.commands.push(Command { index: entry.log_id.index, bytes: proposal.bytes });
            }
            EntryPayload::Membership(members) => self.set_members(entry.log_id, members),
        }
        self.last = Some(entry.log_id);
        self.waiting.push((is_command, responder));
    }

    fn set_members(&mut self, at: LogId, members: Membership) {
        self.members = Some(StoredMembership::new(Some(at), members));
    }
}

impl<Rt: AsyncRuntime> Machine<Rt> {
    /// A machine whose state is that of `meta`.
    pub(crate) fn new(
        fsm: Box<dyn Fsm>,
        meta: SnapshotMeta,
        snapshots: Arc<Snapshots>,
        shared: Arc<Shared>,
        limits: &Limits,
    ) -> Self {
        shared.applied.store(meta.last_log_id.map_or(0, |id| id.index), Relaxed);
        Machine {
            fsm: Mutex::new(fsm),
            meta,
            snapshots,
            shared,
            most_entries: limits.apply_entries,
            most_bytes: limits.apply_bytes,
            runtime: PhantomData,
        }
    }

    /// A picture of now, in constant time.
    pub(crate) fn picture(&mut self) -> Picture {
        let content = self.fsm().snapshot();
        Picture { meta: self.meta.clone(), content }
    }

    fn fsm(&mut self) -> &mut dyn Fsm {
        self.fsm.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).as_mut()
    }

    fn apply_batch(&mut self, batch: Batch<Rt>) -> io::Result<()> {
        let Some(last) = batch.last else { return Ok(()) };
        let answers = self.run(batch.commands).map_err(|error| {
            let message = error.to_string();
            self.shared.fail(message.clone());
            io::Error::other(message)
        })?;
        self.meta.last_log_id = Some(last);
        self.shared.applied.store(last.index, Relaxed);
        if let Some(members) = batch.members {
            self.meta.last_membership = members;
        }
        let entries = batch.waiting.len() as u64;
        let mut answers = answers.into_iter();
        for (is_command, responder) in batch.waiting {
            let answer = if is_command { answers.next() } else { None };
            if let Some(responder) = responder {
                responder.send(answer.unwrap_or_default());
            }
        }
        self.shared.count_applied(batch.bytes as u64 + entries * ENTRY_COST);
        Ok(())
    }

    /// Runs the commands; a panic or a wrong number of answers is an error like any other.
    fn run(&mut self, commands: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
        let count = commands.len();
        let fsm = self.fsm();
        if count == 0 {
            return Ok(Vec::new());
        }
        let from = commands[0].index;
        // Nothing is applied after a panic, so nobody sees what it left behind.
        let answers = catch_unwind(AssertUnwindSafe(|| fsm.apply(commands))).map_err(|_| {
            FsmError(format!("the state machine panicked applying from index {from} on"))
        })??;
        if answers.len() == count {
            return Ok(answers);
        }
        let given = answers.len();
        Err(FsmError(format!("the state machine gave {given} answers to {count} commands")))
    }
}

impl<Rt: AsyncRuntime> RaftStateMachine<Types<Rt>> for Machine<Rt> {
    /// The keeper's files are the snapshots; a transport will read them there.
    type SnapshotData = ();
    type SnapshotBuilder = Announcement;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.meta.last_log_id, self.meta.last_membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<Rt>>>> + Unpin + OptionalSend,
    {
        let mut batch = Batch::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            batch.push(entry, responder);
            if batch.waiting.len() >= self.most_entries || batch.bytes >= self.most_bytes {
                self.apply_batch(mem::replace(&mut batch, Batch::new()))?;
            }
        }
        self.apply_batch(batch)
    }

    async fn get_snapshot_builder(&mut self) -> Announcement {
        Announcement(self.snapshots.clone())
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, _data: ()) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "no transport brings snapshots"))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.snapshots.newest().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

/// Tells openraft of the newest snapshot, which the keeper has written.
pub(crate) struct Announcement(Arc<Snapshots>);

impl<Rt: AsyncRuntime> RaftSnapshotBuilder<Types<Rt>> for Announcement {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let newest = self.0.newest().ok_or_else(|| io::Error::other("no snapshot was taken"))?;
        Ok(Snapshot { meta: newest, snapshot: () })
    }
}
