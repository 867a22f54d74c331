//! Changes of what is registered: to the store, then into the state, then to the catalog.

use super::{Answers, Owner, Reply, Rewrite, Storing, answer};
use crate::checks::{Input, Kind};
use crate::counters::count;
use crate::discoverable::undiscoverable_names;
use crate::handle::{Definitions, Scripts};
use crate::local::{Operation, Touched};
use crate::probe;
use crate::store::{self, Done, Loss};
use crate::time::WallTime;
use model::{Author, Folded};
use seams::RegisterError;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;
use tracing::warn;

impl Owner {
    /// Hands a change to the store; what cannot be taken is refused before.
    pub(super) fn change(
        &mut self,
        operation: Operation,
        author: Option<Author>,
        reply: Option<Reply>,
    ) {
        if let Some(why) = &self.broken {
            return answer(reply, Err(RegisterError::Store(why.clone())));
        }
        let permitted = self.permits(&operation).and_then(|()| self.local.admits(&operation));
        if let Err(refusal) = permitted {
            return answer(reply, Err(refusal));
        }
        // Only here, not where the store is read again: what was acknowledged under a higher limit
        // is kept.
        let payload = store::encode(&operation);
        if let Err(refusal) = self.fits(&payload) {
            return answer(reply, Err(refusal));
        }
        self.tickets += 1;
        self.store.append(payload, self.tickets);
        self.storing.push_back(Storing { ticket: self.tickets, operation, author, reply });
    }

    /// Hands over all changes that lead to what the agent's files say, or none of them; gives back
    /// where the answer to each will come.
    pub(super) fn follow_files(&mut self, files: &Definitions) -> Result<Answers, RegisterError> {
        let operations = self.local.follow(&files.services, &files.checks);
        let mut after = self.local.clone();
        for operation in &operations {
            self.permits(operation)?;
            self.fits(&store::encode(operation))?;
            after.apply(operation.clone())?;
        }
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            let (reply, answer) = oneshot::channel();
            self.change(operation, None, Some(reply));
            answers.push(answer);
        }
        Ok(answers)
    }

    fn fits(&self, payload: &[u8]) -> Result<(), RegisterError> {
        let (size, limit) = (payload.len(), self.config.registration_max_size);
        if size > limit { Err(RegisterError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Scripts are refused here and not where the store is read again: one that was taken while
    /// they were enabled is kept, and says on its check why it is not run.
    fn permits(&self, operation: &Operation) -> Result<(), RegisterError> {
        let (by_files, by_doors) =
            (self.config.scripts != Scripts::Off, self.config.scripts == Scripts::On);
        let (checks, permitted) = match operation {
            Operation::Register(registration, _) => (registration.checks.as_slice(), by_doors),
            Operation::RegisterCheck(check) => (std::slice::from_ref(&**check), by_doors),
            Operation::Define(registration) => (registration.checks.as_slice(), by_files),
            Operation::DefineCheck(check) => (std::slice::from_ref(&**check), by_files),
            _ => return Ok(()),
        };
        let mut definitions = checks.iter().filter_map(|check| check.definition.as_deref());
        if !permitted && definitions.any(probe::is_script) {
            return Err(RegisterError::ScriptsDisabled);
        }
        Ok(())
    }

    /// Applies what the store has.
    pub(super) fn stored(&mut self, done: Done) {
        match done {
            Done::Rewritten => self.rewrite = Rewrite::No,
            Done::Appended { up_to, result } => self.appended(up_to, &result),
            Done::Broken(why) => self.store_broke(why),
        }
        self.meters.store_syncs.store(self.store.syncs(), Ordering::Relaxed);
    }

    /// The store's thread is gone: what it had may or may not be on disk.
    pub(super) fn store_ended(&mut self) {
        self.store_is_gone = true;
        let why = "its thread ended".to_owned();
        self.appended(u64::MAX, &Err(Loss::Unknown(why.clone())));
        self.store_broke(why);
    }

    fn appended(&mut self, up_to: u64, result: &Result<(), Loss>) {
        while self.storing.front().is_some_and(|storing| storing.ticket <= up_to) {
            if let Some(storing) = self.storing.pop_front() {
                self.apply(storing, result);
            }
        }
    }

    /// Without a store nothing can be promised any more; the process is to end.
    fn store_broke(&mut self, why: String) {
        if self.broken.is_none() {
            self.fatal.send_replace(Some(format!(
                "the agent's store failed ({why}); what was acknowledged is kept: look at the disk \
                 of the data directory, then start again"
            )));
            self.broken = Some(why);
        }
    }

    fn apply(&mut self, storing: Storing, stored: &Result<(), Loss>) {
        let Storing { operation, author, reply, .. } = storing;
        match stored {
            Ok(()) => {}
            Err(Loss::NotWritten(why)) => {
                return answer(reply, Err(RegisterError::Store(why.clone())));
            }
            Err(Loss::Unknown(why)) => {
                return answer(reply, Err(RegisterError::Unknown(why.clone())));
            }
        }
        self.tell_undiscoverable(&operation);
        // A change that was stored before this one may have made it impossible.
        let touched = match self.local.apply(operation) {
            Ok(touched) => touched,
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        count(&self.meters.changes);
        self.publish.send_replace(self.local.clone());
        for id in &touched.checks {
            self.watch(id, false);
            self.follow(id);
        }
        let now = self.now();
        touched
            .instances
            .iter()
            .chain(&touched.watched)
            .for_each(|id| self.aliases.stirred(id, now));
        self.tell(&touched, author.as_ref(), reply);
    }

    /// Logs a line where a new instance of a client has names that DNS cannot answer; those of files
    /// are told where the files are read.
    fn tell_undiscoverable(&self, operation: &Operation) {
        let Operation::Register(registration, _) = operation else { return };
        let instance = &registration.instance;
        if self.local.instance(&instance.id.fold()).is_none() {
            let told = undiscoverable_names(instance).join(" ");
            if !told.is_empty() {
                warn!(instance = %instance.id, warning = told, "registration");
            }
        }
    }

    /// Has the catalog told, and the caller once it was.
    pub(super) fn tell(
        &mut self,
        touched: &Touched,
        author: Option<&Author>,
        reply: Option<Reply>,
    ) {
        let now = self.now();
        let change = self.syncer.changed(touched, author, now);
        self.answer_when_visible(change, reply);
    }

    /// Schedules a check as it is registered now, or forgets it.
    pub(super) fn watch(&mut self, id: &Folded, restored: bool) {
        let now = self.now();
        let Some(held) = self.local.check(id) else {
            self.checks.step(Input::Forget(id.clone()), now);
            return;
        };
        let spec = held.spec();
        let first = match spec.kind {
            Kind::Alias | Kind::Passive => Default::default(),
            Kind::Probe(interval) => self.jitter.below(interval),
            // Registered again, its TTL begins anew; restored, it is what is left.
            Kind::Ttl(ttl) => held
                .expires
                .filter(|_| restored)
                .and_then(|expires| WallTime::now().until(expires))
                .map_or(ttl, |left| left.min(ttl)),
        };
        let status = held.check.status.clone();
        self.checks.step(Input::Watch { id: id.clone(), spec, status, first }, now);
    }
}
