//! What is registered on this node: a pure fold over operations.
//!
//! The store keeps the operations and this folds them, when they are acknowledged as well as when
//! they are read again; so what was acknowledged and what is restored cannot differ. Definitions of
//! checks stay here: the catalog is told results only (Consul, recorded: `"Definition": {}`).

use crate::checks::{Kind, Spec};
use crate::time::WallTime;
use imbl::{OrdMap, OrdSet};
use model::{
    Check, CheckDefinition, CheckId, Folded, Instance, InstanceId, NodeName, Registration, Status,
    Text, empty_tags,
};
use seams::{ExistingChecks, RegisterError};
use std::sync::Arc;

/// One change, as clients ask for it and the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Take an instance with its checks.
    Register(Box<Registration>, ExistingChecks),
    /// Remove an instance and its checks.
    Deregister(InstanceId),
    /// Take a check of the node or of an instance.
    RegisterCheck(Box<Check>),
    /// Remove a check.
    DeregisterCheck(CheckId),
    /// Take an instance with its checks from the agent's files; checks that clients put on it stay.
    Define(Box<Registration>),
    /// Take a check of the node or of an instance from the agent's files.
    DefineCheck(Box<Check>),
    /// The state of a TTL check, so that it outlives a restart while its TTL lasts.
    TtlState(TtlState),
}

/// The last report on a TTL check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TtlState {
    /// The check.
    pub id: CheckId,
    /// What was reported.
    pub status: Status,
    /// What was said.
    pub output: Text,
    /// Until when it counts.
    pub expires: WallTime,
}

/// A check as the agent keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the catalog is told.
    pub check: Check,
    /// How it is run; `None` for one that is not.
    pub definition: Option<Arc<CheckDefinition>>,
    /// Until when the last report on a TTL check counts; `None` before the first.
    pub expires: Option<WallTime>,
    /// Restored and not run since: the catalog's last known status stands until it is.
    pub unproven: bool,
    /// Whether it comes from the agent's files, and goes when it is no longer there.
    pub defined: bool,
}

impl Held {
    /// How it is scheduled.
    pub fn spec(&self) -> Spec {
        Spec::new(&self.check, self.definition.as_deref())
    }

    fn kind(&self) -> Kind {
        self.definition.as_deref().map_or(Kind::Passive, Kind::of)
    }
}

/// What an operation touched, by folded id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Instances written or removed.
    pub instances: Vec<Folded>,
    /// Checks written or removed.
    pub checks: Vec<Folded>,
    /// Instances that a check was put on or taken from; the empty id for the node.
    pub watched: Vec<Folded>,
}

/// Everything registered on this node. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Local {
    node: NodeName,
    instances: OrdMap<Folded, Arc<Instance>>,
    checks: OrdMap<Folded, Arc<Held>>,
    /// (instance, check) of every check; the empty instance stands for the node.
    attached: OrdSet<(Folded, Folded)>,
    /// The instances that come from the agent's files, and go when they are no longer there.
    defined: OrdSet<Folded>,
}

impl Local {
    /// Nothing yet, on this node.
    pub fn new(node: NodeName) -> Local {
        Local { node, ..Local::default() }
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The instances by folded id.
    pub fn instances(&self) -> impl Iterator<Item = (&Folded, &Arc<Instance>)> {
        self.instances.iter()
    }

    /// The checks by folded id.
    pub fn checks(&self) -> impl Iterator<Item = (&Folded, &Arc<Held>)> {
        self.checks.iter()
    }

    /// An instance.
    pub fn instance(&self, id: &Folded) -> Option<&Arc<Instance>> {
        self.instances.get(id)
    }

    /// A check.
    pub fn check(&self, id: &Folded) -> Option<&Arc<Held>> {
        self.checks.get(id)
    }

    /// Whether an operation would be taken; nothing changes.
    pub fn admits(&self, operation: &Operation) -> Result<(), RegisterError> {
        match operation {
            Operation::Register(registration, _) | Operation::Define(registration) => {
                registration.checks.iter().try_for_each(supported)
            }
            Operation::Deregister(id) => self.need_instance(id),
            Operation::RegisterCheck(check) | Operation::DefineCheck(check) => {
                supported(check)?;
                if check.instance.is_empty() {
                    return Ok(());
                }
                self.need_instance(&check.instance)
            }
            Operation::DeregisterCheck(id) => self.need_check(id),
            Operation::TtlState(state) => {
                self.need_check(&state.id)?;
                let held = &self.checks[&state.id.fold()];
                match held.kind() {
                    Kind::Ttl(_) => Ok(()),
                    _ => Err(RegisterError::NotTtl(state.id.as_str().to_owned())),
                }
            }
        }
    }

    /// Carries an operation out; one that is refused changes nothing.
    pub fn apply(&mut self, operation: Operation) -> Result<Touched, RegisterError> {
        self.admits(&operation)?;
        let mut touched = Touched::default();
        match operation {
            Operation::Register(registration, existing) => {
                self.register(*registration, existing, false, &mut touched);
            }
            Operation::Define(registration) => {
                self.register(*registration, ExistingChecks::Keep, true, &mut touched);
            }
            Operation::Deregister(id) => self.deregister(&id.fold(), &mut touched),
            Operation::RegisterCheck(check) => self.put_check(*check, false, &mut touched),
            Operation::DefineCheck(check) => self.put_check(*check, true, &mut touched),
            Operation::DeregisterCheck(id) => {
                self.remove_check(id.fold(), &mut touched);
            }
            Operation::TtlState(state) => {
                let id = state.id.fold();
                self.observe(&id, state.status, state.output, Some(state.expires));
                touched.watched.extend(self.checks.get(&id).map(|held| held.check.instance.fold()));
                touched.checks.push(id);
            }
        }
        Ok(touched)
    }

    /// Takes a new result of a check; says whether its status changed. Unknown checks are ignored.
    pub fn observe(
        &mut self,
        id: &Folded,
        status: Status,
        output: Text,
        expires: Option<WallTime>,
    ) -> Observed {
        let Some(held) = self.checks.get(id) else { return Observed::Nothing };
        // The catalog may say anything of one that was not proven.
        let news = if held.check.status != status || held.unproven {
            Observed::Status
        } else if held.check.output != output {
            Observed::Output
        } else {
            Observed::Nothing
        };
        let mut held = Held::clone(held);
        held.check.status = status;
        held.check.output = output;
        held.expires = expires.or(held.expires);
        held.unproven = false;
        self.checks.insert(id.clone(), Arc::new(held));
        news
    }

    /// After the store was read: what was not reported since counts as critical until it is.
    ///
    /// A TTL check keeps its last report while that lasts; one that only had an initial status is
    /// critical (recorded Consul behaviour), unless a file says that status: it says it again. A
    /// check that is run, or that follows others, keeps the catalog's last word on it until its first
    /// result.
    pub fn restored(&mut self, now: WallTime) {
        let stale: Vec<(Folded, Arc<Held>)> = self
            .checks
            .iter()
            .filter(|(_, held)| match held.kind() {
                Kind::Ttl(_) => match held.expires {
                    Some(expires) => now.until(expires).is_none(),
                    None => !held.defined,
                },
                Kind::Probe(_) | Kind::Alias => true,
                Kind::Passive => false,
            })
            .map(|(id, held)| (id.clone(), Arc::clone(held)))
            .collect();
        for (id, held) in stale {
            let mut held = Arc::unwrap_or_clone(held);
            held.unproven = matches!(held.kind(), Kind::Probe(_) | Kind::Alias);
            held.expires = None;
            held.check.status = Status::Critical;
            held.check.output = Text::default();
            self.checks.insert(id, Arc::new(held));
        }
    }

    /// The fewest operations that make this again: what a rewritten store holds.
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(self.instances.len());
        for (id, instance) in &self.instances {
            let defined = self.defined.contains(id);
            let (own, others): (Vec<_>, Vec<_>) =
                self.checks_of(id).partition(|(_, held)| held.defined == defined);
            let checks = own.into_iter().map(|(_, held)| written(held)).collect();
            let instance = Instance::clone(instance);
            let registration = Box::new(Registration { instance, checks });
            operations.push(match defined {
                true => Operation::Define(registration),
                false => Operation::Register(registration, ExistingChecks::Keep),
            });
            operations.extend(others.into_iter().map(|(_, held)| alone(held)));
        }
        operations.extend(self.checks_of(&Folded::default()).map(|(_, held)| alone(held)));
        operations.extend(
            self.checks.values().filter_map(|held| held.ttl_state()).map(Operation::TtlState),
        );
        operations
    }

    fn register(
        &mut self,
        registration: Registration,
        existing: ExistingChecks,
        defined: bool,
        touched: &mut Touched,
    ) {
        let mut instance = registration.instance;
        instance.node = self.node.clone();
        let id = instance.id.fold();
        let listed: Vec<Folded> = registration.checks.iter().map(|check| check.id.fold()).collect();
        let earlier: Vec<(Folded, Arc<Held>)> = self
            .checks_of(&id)
            .filter(|(check, _)| !listed.contains(check))
            .map(|(check, held)| (check.clone(), Arc::clone(held)))
            .collect();
        for (check, held) in earlier {
            if existing == ExistingChecks::Replace {
                self.remove_check(check, touched);
            } else {
                let mut held = Arc::unwrap_or_clone(held);
                name_service(&mut held.check, Some(&instance));
                self.checks.insert(check.clone(), Arc::new(held));
                touched.checks.push(check);
            }
        }
        let instance_id = instance.id.clone();
        self.instances.insert(id.clone(), Arc::new(instance));
        match defined {
            true => drop(self.defined.insert(id.clone())),
            false => drop(self.defined.remove(&id)),
        }
        touched.instances.push(id);
        for mut check in registration.checks {
            check.instance = instance_id.clone();
            self.put_check(check, defined, touched);
        }
    }

    fn deregister(&mut self, id: &Folded, touched: &mut Touched) {
        let checks: Vec<Folded> = self.checks_of(id).map(|(check, _)| check.clone()).collect();
        for check in checks {
            self.remove_check(check, touched);
        }
        self.instances.remove(id);
        self.defined.remove(id);
        touched.instances.push(id.clone());
    }

    /// A check that was there keeps its status and output; a new definition starts its TTL anew.
    fn put_check(&mut self, check: Check, defined: bool, touched: &mut Touched) {
        let id = check.id.fold();
        let instance = self.instances.get(&check.instance.fold());
        let mut held = self.anew(check, instance.map(Arc::as_ref), defined);
        if let Some(earlier) = self.checks.get(&id) {
            held.check.status = earlier.check.status.clone();
            held.check.output = earlier.check.output.clone();
            let proves = matches!(held.kind(), Kind::Probe(_) | Kind::Alias);
            held.unproven = earlier.unproven && proves;
            held.expires = earlier.expires.filter(|_| matches!(held.kind(), Kind::Ttl(_)));
            let instance = earlier.check.instance.fold();
            self.attached.remove(&(instance.clone(), id.clone()));
            touched.watched.push(instance);
        }
        let instance = held.check.instance.fold();
        touched.watched.push(instance.clone());
        self.attached.insert((instance, id.clone()));
        self.checks.insert(id.clone(), Arc::new(held));
        touched.checks.push(id);
    }

    /// A check on an instance, or on the node, as it is held before anything is known of it.
    fn anew(&self, mut check: Check, instance: Option<&Instance>, defined: bool) -> Held {
        check.node = self.node.clone();
        let definition = check.definition.take().map(|definition| Arc::new(*definition));
        name_service(&mut check, instance);
        Held { check, definition, expires: None, unproven: false, defined }
    }

    fn remove_check(&mut self, id: Folded, touched: &mut Touched) {
        if let Some(held) = self.checks.remove(&id) {
            let instance = held.check.instance.fold();
            self.attached.remove(&(instance.clone(), id.clone()));
            touched.watched.push(instance);
        }
        touched.checks.push(id);
    }

    /// Takes the tags that the catalog has for an instance which lets others change them; does
    /// nothing if it was registered anew since it stood as in `before`.
    pub fn take_tags(&mut self, id: &Folded, before: &Arc<Instance>, tags: Arc<[Text]>) {
        let Some(instance) = self.instances.get(id).filter(|now| Arc::ptr_eq(now, before)) else {
            return;
        };
        let instance = Arc::new(Instance { tags, ..Instance::clone(instance) });
        let checks: Vec<(Folded, Arc<Held>)> =
            self.checks_of(id).map(|(check, held)| (check.clone(), Arc::clone(held))).collect();
        for (check, held) in checks {
            let mut held = Arc::unwrap_or_clone(held);
            name_service(&mut held.check, Some(&instance));
            self.checks.insert(check, Arc::new(held));
        }
        self.instances.insert(id.clone(), instance);
    }

    /// The checks of an instance, or, for the empty id, those of the node; by id.
    pub fn checks_of<'l>(
        &'l self,
        instance: &'l Folded,
    ) -> impl Iterator<Item = (&'l Folded, &'l Arc<Held>)> {
        self.attached
            .range((instance.clone(), Folded::default())..)
            .take_while(move |(of, _)| of == instance)
            .filter_map(|(_, check)| self.checks.get_key_value(check))
    }

    fn need_instance(&self, id: &InstanceId) -> Result<(), RegisterError> {
        if self.instances.contains_key(&id.fold()) {
            return Ok(());
        }
        Err(RegisterError::UnknownInstance(id.as_str().to_owned()))
    }

    fn need_check(&self, id: &CheckId) -> Result<(), RegisterError> {
        if self.checks.contains_key(&id.fold()) {
            return Ok(());
        }
        Err(RegisterError::UnknownCheck(id.as_str().to_owned()))
    }
}

impl Held {
    /// What the store keeps of a TTL check that was reported on.
    pub fn ttl_state(&self) -> Option<TtlState> {
        Some(TtlState {
            id: self.check.id.clone(),
            status: self.check.status.clone(),
            output: self.check.output.clone(),
            expires: self.expires?,
        })
    }
}

/// What became of a check with a new result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// Its status: the catalog is told at once.
    Status,
    /// Its output only: the catalog is told some time.
    Output,
    /// Nothing.
    Nothing,
}

/// A check with its definition put back, as the store keeps it; a report on it stands by itself.
fn written(held: &Held) -> Check {
    let definition = held.definition.as_deref().cloned().map(Box::new);
    let output = if held.expires.is_some() { Text::default() } else { held.check.output.clone() };
    Check { definition, output, ..held.check.clone() }
}

/// A check by itself, as the store keeps it.
fn alone(held: &Held) -> Operation {
    let check = Box::new(written(held));
    if held.defined { Operation::DefineCheck(check) } else { Operation::RegisterCheck(check) }
}

fn name_service(check: &mut Check, instance: Option<&Instance>) {
    check.service = instance.map(|instance| instance.service.clone()).unwrap_or_default();
    check.service_tags = instance.map_or_else(empty_tags, |instance| Arc::clone(&instance.tags));
}

fn supported(check: &Check) -> Result<(), RegisterError> {
    let Some(definition) = check.definition.as_deref() else { return Ok(()) };
    crate::probe::unsupported(definition)
        .map_or(Ok(()), |kind| Err(RegisterError::UnsupportedCheck(kind)))
}

mod defined;

#[cfg(test)]
mod tests;
