//! From committed commands to a published view.
//!
//! Order for each batch: apply; mark what was touched; swap the view; let projections follow; wake the
//! waiters of what was touched; return the outcomes, with which consensus answers the writers. So
//! whoever has an answer finds his write by every door of this node.

use crate::meters::Meters;
use arc_swap::ArcSwap;
use bytes::Bytes;
use catalog::{Touched, View, apply, format};
use consensus::{Command, Fsm, FsmError, FsmSnapshot};
use model::Index;
use seams::{Marks, Projection, Waiters};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The view of this node and those who follow it.
pub(crate) struct Published {
    pub view: ArcSwap<View>,
    pub projections: Vec<Arc<dyn Projection>>,
    pub waiters: Waiters,
    pub marks: Marks,
}

impl Published {
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
    pub meters: Meters,
}

impl Fsm for Machine {
    fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
        let mut entries = Vec::with_capacity(batch.len());
        for command in batch {
            let entry = format::decode_entry(&command.bytes)
                .map_err(|error| FsmError(format!("log entry {}: {error}", command.index)))?;
            entries.push((Index(command.index), entry));
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
        Box::new(Picture(self.published.view.load_full()))
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), FsmError> {
        let state = format::read_snapshot(source)
            .map_err(|error| FsmError(format!("snapshot: {error}")))?;
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
