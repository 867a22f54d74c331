//! Applying entries: a pure function from a view and a batch to the next view.

use crate::entry::{Claim, Command, Entry, Outcome, Reply};
use crate::state::{State, Tx};
use crate::tables::history::{HistoryEntry, past_rows};
use crate::watch::{Noted, Touched};
use crate::{Refusal, View};
use model::{Index, Timestamp};

/// What a batch of entries made.
#[derive(Debug)]
pub struct Applied {
    /// The state after the last entry.
    pub view: View,
    /// What readers must look at again.
    pub touched: Touched,
    /// What became of each entry, in order.
    pub outcomes: Vec<Outcome>,
}

/// Applies entries in order. How they are cut into batches makes no difference to the state.
pub fn apply(view: &View, entries: impl IntoIterator<Item = (Index, Entry)>) -> Applied {
    let mut state = view.state().clone();
    let mut touched = Touched::default();
    let outcomes = entries
        .into_iter()
        .map(|(index, entry)| apply_one(&mut state, index, entry, &mut touched))
        .collect();
    Applied { view: view.replaced_by(state), touched, outcomes }
}

/// Applies entries in order to a state that nobody else has, as [`apply`] would.
///
/// Nothing is copied, since nobody looks: what a start does with the log it finds.
pub fn replay(
    state: &mut State,
    entries: impl IntoIterator<Item = (Index, Entry)>,
) -> Vec<Outcome> {
    let mut touched = Touched::default();
    let outcomes = entries.into_iter();
    outcomes.map(|(index, entry)| apply_one(state, index, entry, &mut touched)).collect()
}

fn apply_one(state: &mut State, index: Index, entry: Entry, touched: &mut Touched) -> Outcome {
    assert!(index > state.index, "entry {index} applied after {}", state.index);
    let time = state.time.max(entry.time);
    state.index = index;
    state.time = time;
    state.requests.forget(time);
    if let Some(outcome) = entry.request.and_then(|request| state.requests.outcome(&request)) {
        return outcome.clone();
    }
    if entry.request.is_some() && state.requests.may_have_forgotten(entry.time) {
        state.history.trim(time);
        return Outcome::Refused(Refusal::TooLateToKnow);
    }
    let request = entry.request;
    let outcome = match carry_out(state, index, time, entry, touched) {
        Ok(replies) => Outcome::Done(replies),
        Err(refusal) => Outcome::Refused(refusal.shortened()),
    };
    if let Some(request) = request {
        state.requests.remember(request, time, &outcome);
    }
    state.history.trim(time);
    outcome
}

/// Carries out all commands; a refused one takes back those before it.
///
/// In place, so that a batch copies each node of the persistent maps once and not once an entry.
fn carry_out(
    state: &mut State,
    index: Index,
    time: Timestamp,
    entry: Entry,
    touched: &mut Touched,
) -> Result<Vec<Reply>, Refusal> {
    let (tables, limits) = (state.tables, state.history.limits);
    let mut tx = Tx {
        state,
        index,
        time,
        tenant: entry.tenant,
        owner: &entry.owner,
        reconciles: entry.claim == Claim::Reconcile,
        touched: Noted::default(),
        before: Vec::new(),
    };
    let replies: Result<Vec<Reply>, Refusal> =
        entry.commands.into_iter().map(|command| tx.carry_out(command)).collect();
    if replies.is_err() {
        tx.take_back(0, tables);
        tx.state.history.limits = limits;
    }
    let Tx { state, touched: changed, before, .. } = tx;
    let replies = replies?;
    touched.absorb(changed);
    if !before.is_empty() {
        let (rows, bytes) = past_rows(before);
        state.history.add(index, HistoryEntry { time, author: entry.author, tables, rows, bytes });
    }
    Ok(replies)
}

impl Tx<'_> {
    pub(crate) fn carry_out(&mut self, command: Command) -> Result<Reply, Refusal> {
        match command {
            Command::PutNode(node) => self.put_node(node)?,
            Command::EnsureNode(name) => self.ensure_node(name),
            Command::PutInstance(instance) => self.put_instance(*instance)?,
            Command::PutCheck(check) => self.put_check(*check)?,
            Command::RemoveNode(node) => self.remove_node(&node),
            Command::RemoveInstance(node, id) => self.remove_instance(&node, &id),
            Command::RemoveCheck(node, id) => self.remove_check(&node, &id),
            Command::KvPut(write) => return self.kv_put(write),
            Command::KvDelete(key, unchanged) => return Ok(self.kv_delete(key, unchanged)),
            Command::KvDeleteTree(prefix) => self.kv_delete_tree(prefix),
            Command::CreateSession(session) => self.create_session(*session)?,
            Command::DestroySession(id) | Command::ExpireSession(id) => self.end_session(id),
            Command::ReapTombstones(index) => self.reap_tombstones(index),
            Command::SetHistoryLimits(limits) => self.state.history.limits = limits,
            Command::Transact(operations) => return self.transact(operations),
        }
        Ok(Reply::Done)
    }
}
