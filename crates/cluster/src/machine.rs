//! From committed commands to a published view.
//!
//! Order for each batch: apply; mark what was touched; swap the view; let projections follow; wake the
//! waiters of what was touched; return the outcomes, with which consensus answers the writers. So
//! whoever has an answer finds his write by every door of this node.

use crate::meters::Meters;
use crate::under_way::UnderWay;
use arc_swap::ArcSwap;
use bytes::Bytes;
use catalog::{Acl, Entry, State, Touched, View, apply, format, replay};
use consensus::{Command, Fsm, FsmError, FsmSnapshot};
use model::Index;
use seams::{Marks, Projection, Waiters};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The view of this node and those who follow it.
pub(crate) struct Published {
    pub view: ArcSwap<View>,
    pub projections: Vec<Arc<dyn Projection>>,
    pub waiters: Waiters,
    pub marks: Marks,
    /// Until the log that was found is replayed: the state, which nobody sees.
    pub replay: Mutex<Option<State>>,
}

impl Published {
    /// What a start begins with: an empty state under these rules, to be replayed.
    pub fn new(acl: Acl, projections: Vec<Arc<dyn Projection>>, waiters: Waiters) -> Published {
        let view = ArcSwap::from_pointee(View::new(acl));
        let replay = Mutex::new(Some(State::default()));
        Published { view, projections, waiters, marks: Marks::default(), replay }
    }

    /// Shows what was replayed; from now on each batch is shown.
    ///
    /// One picture is made and not one for each batch: a start reads no state that nobody asks for,
    /// and what is changed in place is not copied.
    pub fn end_replay(&self) {
        let mut replay = self.replaying();
        if let Some(state) = replay.take() {
            self.show(self.view.load().replaced_by(state), &Touched::everything());
            self.waiters.wake(&Touched::everything());
        }
    }

    fn replaying(&self) -> MutexGuard<'_, Option<State>> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a view to whoever looks from now on; who waits is not told yet.
    fn show(&self, view: View, touched: &Touched) {
        let view = Arc::new(view);
        self.marks.publish(touched, || self.view.store(Arc::clone(&view)));
        if touched.is_empty() {
            return;
        }
        for projection in &self.projections {
            projection.publish(&view, touched);
        }
    }
}

/// The state machine that consensus drives.
pub(crate) struct Machine {
    pub published: Arc<Published>,
    /// What was proposed here and need not be read again.
    pub under_way: Arc<UnderWay>,
    pub meters: Meters,
}

impl Machine {
    fn entry(&self, command: &Command) -> Result<Entry, FsmError> {
        if let Some(entry) = self.under_way.take(&command.bytes) {
            return Ok(entry);
        }
        format::decode_entry(&command.bytes)
            .map_err(|error| FsmError(format!("log entry {}: {error}", command.index)))
    }
}

impl Fsm for Machine {
    fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
        let mut entries = Vec::with_capacity(batch.len());
        for command in batch {
            entries.push((Index(command.index), self.entry(&command)?));
        }
        if let Some(state) = self.published.replaying().as_mut() {
            let outcomes = replay(state, entries);
            return Ok(outcomes.iter().map(format::encode_outcome).collect());
        }
        self.meters.batch.observe(entries.len() as f64);
        let began = Instant::now();
        let applied = apply(&self.published.view.load(), entries);
        self.published.show(applied.view, &applied.touched);
        self.meters.publish.observe(began.elapsed().as_secs_f64());
        self.published.waiters.wake(&applied.touched);
        Ok(applied.outcomes.iter().map(format::encode_outcome).collect())
    }

    fn snapshot(&self) -> Box<dyn FsmSnapshot> {
        let view = match self.published.replaying().as_ref() {
            Some(state) => Arc::new(self.published.view.load().replaced_by(state.clone())),
            None => self.published.view.load_full(),
        };
        Box::new(Picture(view))
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), FsmError> {
        let state = format::read_snapshot(source)
            .map_err(|error| FsmError(format!("snapshot: {error}")))?;
        if let Some(replayed) = self.published.replaying().as_mut() {
            *replayed = state;
            return Ok(());
        }
        let view = self.published.view.load().replaced_by(state);
        self.published.show(view, &Touched::everything());
        self.published.waiters.wake(&Touched::everything());
        Ok(())
    }
}

/// A view to be written; it costs nothing to keep while writes go on.
struct Picture(Arc<View>);

impl FsmSnapshot for Picture {
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        format::write_snapshot(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Claim, Command as Change};
    use model::{Author, Node, Owner, Tenant, Timestamp};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Projection for Counted {
        fn publish(&self, _: &Arc<View>, _: &Touched) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn machine() -> (Machine, Arc<Counted>) {
        let counted = Arc::new(Counted::default());
        let projections: Vec<Arc<dyn Projection>> = vec![Arc::clone(&counted) as _];
        let published = Published::new(Acl::default(), projections, Waiters::default());
        let (published, under_way) = (Arc::new(published), Arc::default());
        (Machine { published, under_way, meters: Meters::default() }, counted)
    }

    fn put_node(index: u64) -> Command {
        let entry = Entry {
            time: Timestamp(index),
            author: Author::default(),
            owner: Owner::http(),
            claim: Claim::Explicit,
            tenant: Tenant::DEFAULT,
            request: None,
            commands: vec![Change::PutNode(Node {
                name: format!("n{index}").as_str().into(),
                ..Node::default()
            })],
        };
        Command { index, bytes: format::encode_entry(&entry) }
    }

    fn bytes(machine: &Machine) -> Vec<u8> {
        let mut bytes = Vec::new();
        machine.snapshot().write_to(&mut bytes).expect("memory takes every byte");
        bytes
    }

    #[test]
    fn what_is_replayed_is_shown_once_and_is_what_applying_makes() {
        let (mut replaying, shown) = machine();
        let (mut applying, _) = machine();
        applying.published.end_replay();
        let told = replaying.apply(vec![put_node(1), put_node(2)]).expect("readable");
        assert_eq!(told, applying.apply(vec![put_node(1), put_node(2)]).expect("readable"));
        assert_eq!(replaying.published.view.load().index(), Index(0), "nobody sees it yet");
        assert_eq!(bytes(&replaying), bytes(&applying), "a snapshot has it all the same");
        assert_eq!(shown.0.load(Ordering::Relaxed), 0);
        replaying.published.end_replay();
        replaying.published.end_replay();
        assert_eq!(shown.0.load(Ordering::Relaxed), 1);
        for machine in [&mut replaying, &mut applying] {
            machine.apply(vec![put_node(3)]).expect("readable");
        }
        assert_eq!(replaying.published.view.load().index(), Index(3));
        assert_eq!((bytes(&replaying), shown.0.load(Ordering::Relaxed)), (bytes(&applying), 2));
    }
}
