//! Results of checks: from probes and reports into the state, and to the catalog when they matter.

use super::{Owner, Reply, Task, answer};
use crate::checks::{Input, Kind, Output, cut_output};
use crate::counters::count;
use crate::handle::Scripts;
use crate::local::{Observed, Operation, Touched, TtlState};
use crate::probe::{self, Limits, Observation};
use crate::time::WallTime;
use model::{CheckId, Folded, Status};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Reports on TTL checks are stored together, so long after the first.
const REPORT_DELAY: Duration = Duration::from_millis(200);

/// What a script check says that was taken while scripts were enabled.
const SCRIPTS_OFF: &str = "Scripts are disabled on this agent; to enable, configure \
                           'enable_script_checks' or 'enable_local_script_checks' to true";

impl Owner {
    /// Takes a report on a TTL check; it counts at once and is stored a little later.
    pub(super) fn observe(&mut self, id: CheckId, status: Status, output: String, reply: Reply) {
        let folded = id.fold();
        let spec = self.local.check(&folded).map(|held| held.spec());
        let Some(Kind::Ttl(ttl)) = spec.map(|spec| spec.kind) else {
            // Refuses: what is no TTL check admits no report.
            let expires = WallTime::default();
            let state = TtlState { id, status, output: output.into(), expires };
            return answer(Some(reply), self.local.admits(&Operation::TtlState(state)).map(drop));
        };
        count(&self.meters.reports);
        let output = cut_output(output, self.output_limit(&folded));
        let expires = WallTime::now() + ttl;
        let now = self.now();
        let input = Input::Reported { id: folded.clone(), status, output };
        let mut change = None;
        for output in self.checks.step(input, now) {
            if let Output::Result { id, status, output } = output {
                change = self.result(&id, status, output, Some(expires)).or(change);
            }
        }
        self.reported.insert(folded);
        self.report_due.get_or_insert(now + REPORT_DELAY);
        match change {
            Some(change) => self.answer_when_visible(change, Some(reply)),
            None => answer(Some(reply), Ok(())),
        }
    }

    /// Takes what a probe brought.
    pub(super) fn probed(&mut self, id: Folded, run: u64, observation: Observation) {
        let now = self.now();
        let Observation { status, output } = observation;
        let outputs = self.checks.step(Input::Ran { id, run, status, output }, now);
        self.carry_out(outputs);
    }

    /// Does what the checks say.
    pub(super) fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Run { id, run } => self.run_probe(id, run),
                Output::Result { id, status, output } => {
                    self.result(&id, status, output, None);
                }
                Output::Reap { instance, check } => self.reap(&instance, &check),
            }
        }
    }

    /// Hands the store the newest reports; one that is lost makes its check critical sooner.
    pub(super) fn store_reports(&mut self) {
        self.report_due = None;
        for id in std::mem::take(&mut self.reported) {
            if let Some(state) = self.local.check(&id).and_then(|held| held.ttl_state()) {
                self.store.append_lazily(&Operation::TtlState(state));
            }
        }
    }

    /// Takes how a check stands now; returns the number of the change if its status changed.
    fn result(
        &mut self,
        id: &Folded,
        status: Status,
        output: String,
        expires: Option<WallTime>,
    ) -> Option<u64> {
        let output = if self.config.discard_output { String::new() } else { output };
        let observed = self.local.observe(id, status, output.into(), expires);
        self.publish.send_replace(self.local.clone());
        if observed != Observed::Nothing {
            let instance = self.local.check(id).map(|held| held.check.instance.fold());
            let now = self.now();
            instance.iter().for_each(|instance| self.aliases.stirred(instance, now));
        }
        let delay = self.config.check_update_interval;
        match observed {
            Observed::Nothing => None,
            Observed::Output if !delay.is_zero() => {
                let now = self.now();
                let due = delay / 2 + self.jitter.below(delay / 2);
                self.syncer.murmured(id, now, due);
                None
            }
            Observed::Output | Observed::Status => {
                let touched = Touched { checks: vec![id.clone()], ..Touched::default() };
                let now = self.now();
                Some(self.syncer.changed(&touched, None, now))
            }
        }
    }

    fn run_probe(&mut self, id: Folded, run: u64) {
        let held = self.local.check(&id);
        let permitted = match self.config.scripts {
            Scripts::On => true,
            Scripts::Local => held.is_some_and(|held| held.defined),
            Scripts::Off => false,
        };
        let definition = held.and_then(|held| held.definition.clone());
        let found = definition.and_then(|definition| Some((probe::find(&definition)?, definition)));
        let Some((probe, definition)) = found else {
            return self.probed(id, run, Observation::critical("the check cannot be run"));
        };
        if !permitted && probe::is_script(&definition) {
            return self.probed(id, run, Observation::critical(SCRIPTS_OFF));
        }
        count(&self.meters.check_runs);
        debug!(check = %id, kind = probe.name, "check run");
        let limits = Limits::of(&definition, self.config.output_max_size);
        let observing = (probe.run)(Arc::clone(&definition), limits);
        let task = self.tasks.spawn(async move { Task::Probed(observing.await) });
        self.probes.insert(task.id(), (id, run));
    }

    /// Removes an instance that was critical for too long: store and row together.
    fn reap(&mut self, instance: &Folded, check: &Folded) {
        let Some(held) = self.local.instance(instance) else { return };
        let id = held.id.clone();
        if self.storing.len() >= super::MAX_STORING {
            warn!(instance = %id, "store is behind, deregistering later");
            return;
        }
        info!(instance = %id, %check, "instance critical for too long, deregistered");
        count(&self.meters.reaped);
        self.change(Operation::Deregister(id), None, None);
    }

    pub(super) fn output_limit(&self, id: &Folded) -> usize {
        let held = self.local.check(id).and_then(|held| held.definition.as_deref());
        held.map_or(self.config.output_max_size, |definition| {
            Limits::of(definition, self.config.output_max_size).output
        })
    }
}
