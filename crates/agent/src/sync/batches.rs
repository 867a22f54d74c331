//! Which commands share an entry of the log: pure.
//!
//! An instance goes with the checks on it, so that nobody sees it without them; only what the log
//! cannot take together is torn apart.

use catalog::Command;
use model::Folded;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// An entry carries no more commands, unless one instance and its checks are more.
const MAX_COMMANDS: usize = 256;

/// Commands that belong together.
type Unit = Vec<Command>;
/// What is proposed as one entry.
pub type Batch = Vec<Unit>;

/// What is still to be proposed, in order.
#[derive(Debug)]
pub struct Batches {
    waiting: VecDeque<Batch>,
    /// Instances that were left out; their checks could not stand without them.
    lost: BTreeSet<Folded>,
}

/// What became of a batch that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Its halves are next.
    Halves,
    /// It was one command and is left out.
    Alone,
}

impl Batches {
    /// Puts commands together, as [`catalog::reconcile`] orders them.
    pub fn new(commands: Vec<Command>) -> Batches {
        let mut waiting: VecDeque<Batch> = VecDeque::new();
        let mut room = 0;
        for unit in units(commands) {
            match waiting.back_mut() {
                Some(batch) if unit.len() <= room => {
                    room -= unit.len();
                    batch.push(unit);
                }
                _ => {
                    room = MAX_COMMANDS.saturating_sub(unit.len());
                    waiting.push_back(vec![unit]);
                }
            }
        }
        Batches { waiting, lost: BTreeSet::new() }
    }

    /// The next, without the checks on instances that were left out.
    pub fn next(&mut self) -> Option<Batch> {
        loop {
            let mut batch = self.waiting.pop_front()?;
            if !self.lost.is_empty() {
                batch.iter_mut().for_each(|unit| unit.retain(|command| !self.is_lost(command)));
                batch.retain(|unit| !unit.is_empty());
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Takes back a batch that cannot be had as it is.
    pub fn split(&mut self, mut batch: Batch) -> Split {
        let (first, second) = match &mut batch[..] {
            [unit] if unit.len() == 1 => {
                if let Command::PutInstance(instance) = &unit[0] {
                    self.lost.insert(instance.id.fold());
                }
                return Split::Alone;
            }
            [unit] => {
                let second = unit.split_off(unit.len() / 2);
                (batch, vec![second])
            }
            _ => {
                let second = batch.split_off(batch.len() / 2);
                (batch, second)
            }
        };
        self.waiting.push_front(second);
        self.waiting.push_front(first);
        Split::Halves
    }

    fn is_lost(&self, command: &Command) -> bool {
        matches!(command, Command::PutCheck(check) if self.lost.contains(&check.instance.fold()))
    }
}

fn units(commands: Vec<Command>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(commands.len());
    let mut of_instance: HashMap<Folded, usize> = HashMap::new();
    for command in commands {
        let beside = match &command {
            Command::PutInstance(instance) => {
                of_instance.insert(instance.id.fold(), units.len());
                None
            }
            Command::PutCheck(check) => of_instance.get(&check.instance.fold()).copied(),
            _ => None,
        };
        match beside {
            Some(unit) => units[unit].push(command),
            None => units.push(vec![command]),
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Check, Instance};

    fn put(id: &str) -> Command {
        Command::PutInstance(Box::new(Instance { id: id.into(), ..Instance::default() }))
    }

    fn check(id: &str, of: &str) -> Command {
        Command::PutCheck(Box::new(Check {
            id: id.into(),
            instance: of.into(),
            ..Check::default()
        }))
    }

    fn lengths(batch: &Batch) -> Vec<usize> {
        batch.iter().map(Vec::len).collect()
    }

    #[test]
    fn an_instance_is_never_without_its_checks() {
        let instances = (0..200).map(|number| put(&number.to_string()));
        let checks = (0..200).map(|number| check(&format!("c{number}"), &number.to_string()));
        let mut batches = Batches::new(instances.chain(checks).chain([check("n", "")]).collect());
        assert_eq!(lengths(&batches.next().unwrap()), [2; 128]);
        let rest = batches.next().unwrap();
        assert_eq!(lengths(&rest), [vec![2; 72], vec![1]].concat());
        assert_eq!(batches.next(), None);
    }

    #[test]
    fn a_batch_is_halved_down_to_one_command_and_its_dependants_go_with_it() {
        let commands = vec![put("A"), put("b"), check("a1", "a"), check("a2", "a"), check("n", "")];
        let mut batches = Batches::new(commands);
        let mut alone = Vec::new();
        let mut seen = Vec::new();
        while let Some(batch) = batches.next() {
            let holds_a = batch.concat().contains(&put("A"));
            seen.push(lengths(&batch));
            if holds_a && batches.split(batch.clone()) == Split::Alone {
                alone.extend(batch.concat());
            }
        }
        assert_eq!(alone, [put("A")]);
        assert_eq!(seen, [vec![3, 1, 1], vec![3], vec![1], vec![1, 1]]);
    }
}
