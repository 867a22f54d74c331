//! What must change so that what is defined here is what the agent's files say.
//!
//! What clients registered is left alone, but for an id that a file has too: the file wins, as when
//! Consul loads its configuration.

use super::{Held, Local, Operation};
use model::{Check, Folded, Instance, Registration};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Local {
    /// The operations that lead from here to these definitions; none where nothing differs.
    ///
    /// What is new comes before what goes, so that a check that moves to another instance is not
    /// taken away with its old one.
    pub fn follow(&self, services: &[Registration], checks: &[Check]) -> Vec<Operation> {
        let mut operations = Vec::new();
        let (mut instances, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        // A file that is read twice defines everything twice.
        let services: BTreeMap<Folded, &Registration> =
            services.iter().map(|service| (service.instance.id.fold(), service)).collect();
        let checks: BTreeMap<Folded, &Check> =
            checks.iter().map(|check| (check.id.fold(), check)).collect();
        for registration in services.values().copied() {
            instances.insert(registration.instance.id.fold());
            wanted.extend(registration.checks.iter().map(|check| check.id.fold()));
            if !self.defines(registration) {
                operations.push(Operation::Define(Box::new(registration.clone())));
            }
        }
        for check in checks.values().copied() {
            wanted.insert(check.id.fold());
            let on = check.instance.fold();
            let defined = services.get(&on).map(|service| &service.instance);
            let instance = defined.or(self.instances.get(&on).map(Arc::as_ref));
            if !self.defines_check(check, instance) {
                operations.push(Operation::DefineCheck(Box::new(check.clone())));
            }
        }
        operations.extend(self.gone(&instances, &wanted));
        operations
    }

    /// What was defined and is no longer.
    fn gone<'l>(
        &'l self,
        instances: &'l BTreeSet<Folded>,
        checks: &'l BTreeSet<Folded>,
    ) -> impl Iterator<Item = Operation> + 'l {
        let leaves = |id: &Folded| self.defined.contains(id) && !instances.contains(id);
        let gone = self.instances.iter().filter(move |(id, _)| leaves(id));
        let gone = gone.map(|(_, instance)| Operation::Deregister(instance.id.clone()));
        let lost = self.checks.iter().filter(move |(id, held)| {
            // Those of an instance that goes, go with it.
            held.defined && !checks.contains(*id) && !leaves(&held.check.instance.fold())
        });
        let lost = lost.map(|(_, held)| Operation::DeregisterCheck(held.check.id.clone()));
        lost.chain(gone)
    }

    fn defines(&self, registration: &Registration) -> bool {
        let id = registration.instance.id.fold();
        let instance = Instance { node: self.node.clone(), ..registration.instance.clone() };
        let same = self.instances.get(&id).is_some_and(|held| **held == instance);
        let attached = |check: &Check| Check { instance: instance.id.clone(), ..check.clone() };
        same && self.defined.contains(&id)
            && registration
                .checks
                .iter()
                .all(|check| self.defines_check(&attached(check), Some(&instance)))
    }

    /// Whether a check is held as defined; what became of it since does not count.
    fn defines_check(&self, check: &Check, instance: Option<&Instance>) -> bool {
        let Some(held) = self.checks.get(&check.id.fold()) else { return false };
        let wanted = self.anew(check.clone(), instance, true);
        let known = Check {
            status: held.check.status.clone(),
            output: held.check.output.clone(),
            ..wanted.check
        };
        let Held { expires, unproven, .. } = **held;
        **held == Held { check: known, expires, unproven, ..wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CheckDefinition, CheckDetails, Nanos, Status};
    use seams::ExistingChecks;

    fn service(id: &str, port: i64, checks: &[&str]) -> Registration {
        let instance = Instance { id: id.into(), service: id.into(), port, ..Instance::default() };
        Registration { instance, checks: checks.iter().map(|id| check(id, "")).collect() }
    }

    fn check(id: &str, instance: &str) -> Check {
        let ttl = CheckDefinition { ttl: Nanos::seconds(60), ..CheckDefinition::default() };
        let definition = Some(Box::new(ttl));
        let instance = instance.into();
        Check {
            id: id.into(),
            instance,
            definition,
            details: CheckDetails { kind: "ttl".into(), ..CheckDetails::default() }.into(),
            ..Check::default()
        }
    }

    /// What is done to come to these definitions; after it nothing is left to do.
    fn follow(local: &mut Local, services: &[Registration], checks: &[Check]) -> Vec<String> {
        let operations = local.follow(services, checks);
        let told = operations.iter().map(|operation| match operation {
            Operation::Define(service) => format!("define {}", service.instance.id),
            Operation::DefineCheck(check) => format!("define check {}", check.id),
            Operation::Deregister(id) => format!("deregister {id}"),
            Operation::DeregisterCheck(id) => format!("deregister check {id}"),
            other => format!("{other:?}"),
        });
        let told = told.collect();
        for operation in operations {
            local.apply(operation).expect("what follows from the state can be applied");
        }
        assert_eq!(local.follow(services, checks), [], "nothing is left to do");
        let mut again = Local::new(local.node().clone());
        for operation in local.operations() {
            again.apply(operation).expect("what was taken is taken again");
        }
        assert_eq!(again, *local, "a store written anew holds the same");
        told
    }

    #[test]
    fn what_stands_twice_is_defined_once_as_it_stands_last() {
        let mut local = Local::new("n1".into());
        let twice = [service("web", 1, &["w"]), service("web", 2, &["w"])];
        assert_eq!(follow(&mut local, &twice, &[]), ["define web"]);
        let checks = [check("a", ""), check("a", "web")];
        assert_eq!(follow(&mut local, &twice, &checks), ["define check a"]);
    }

    #[test]
    fn only_what_differs_is_done() {
        let mut local = Local::new("n1".into());
        let both = [service("web", 1, &["w"]), service("db", 2, &[])];
        assert_eq!(follow(&mut local, &both, &[]), ["define db", "define web"]);
        let moved = [service("web", 9, &["w"]), service("db", 2, &[])];
        let on_db = [check("d", "db")];
        assert_eq!(follow(&mut local, &moved, &on_db), ["define web", "define check d"]);
        assert_eq!(follow(&mut local, &moved[1..], &on_db), ["deregister web"]);
        assert_eq!(follow(&mut local, &moved[1..], &[]), ["deregister check d"]);
        assert_eq!(
            follow(&mut local, &[], &[check("node", "")]),
            ["define check node", "deregister db"]
        );
        assert_eq!(follow(&mut local, &[], &[]), ["deregister check node"]);
        assert_eq!(local, Local::new("n1".into()));
    }

    #[test]
    fn a_check_that_moves_is_kept_and_so_is_its_status() {
        let mut local = Local::new("n1".into());
        follow(&mut local, &[service("web", 1, &["w"])], &[]);
        local.observe(&Folded::new("w"), Status::Passing, "fine".into(), None);
        let told = follow(&mut local, &[service("web2", 1, &["w"])], &[]);
        assert_eq!(told, ["define web2", "deregister web"]);
        let held = local.check(&Folded::new("w")).expect("it moved");
        assert_eq!((held.check.instance.as_str(), &held.check.status), ("web2", &Status::Passing));
    }

    #[test]
    fn what_clients_registered_is_left_alone_but_for_an_id_that_a_file_has() {
        let mut local = Local::new("n1".into());
        let keep = ExistingChecks::Keep;
        for id in ["mine", "both"] {
            local.apply(Operation::Register(Box::new(service(id, 1, &[])), keep)).unwrap();
        }
        let files = [service("both", 2, &["f"])];
        assert_eq!(follow(&mut local, &files, &[]), ["define both"]);
        local.apply(Operation::RegisterCheck(Box::new(check("put", "both")))).unwrap();
        assert_eq!(follow(&mut local, &files, &[]), Vec::<String>::new());
        // Registered over: theirs until the files are read again.
        local.apply(Operation::Register(Box::new(service("both", 3, &[])), keep)).unwrap();
        assert_eq!(follow(&mut local, &files, &[]), ["define both"]);
        assert!(local.check(&Folded::new("put")).is_some());
        local.apply(Operation::Deregister("both".into())).unwrap();
        assert_eq!(follow(&mut local, &files, &[]), ["define both"]);
        assert_eq!(follow(&mut local, &[], &[]), ["deregister both"]);
        let left: Vec<String> = local.instances().map(|(_, is)| is.id.to_string()).collect();
        assert_eq!(left, ["mine"]);
    }
}
