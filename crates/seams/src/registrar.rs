//! This node's own registrations.

use crate::BoxFuture;
use model::{Author, Check, CheckId, Instance, InstanceId, Registration, Status};

/// What becomes of checks that an instance had and a new registration does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExistingChecks {
    /// They stay, as in Consul.
    #[default]
    Keep,
    /// They go.
    Replace,
}

/// Why a registration was not taken; nothing changed, unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// No instance of this id is registered on this node.
    #[error("unknown service id {0:?}")]
    UnknownInstance(String),
    /// No check of this id is registered on this node.
    #[error("unknown check id {0:?}")]
    UnknownCheck(String),
    /// The check is run by the agent and takes no reports.
    #[error("check {0:?} does not have an associated ttl")]
    NotTtl(String),
    /// This build runs no checks of this kind.
    #[error("{0} checks are not supported")]
    UnsupportedCheck(&'static str),
    /// The check runs a program, and this agent runs none that are registered through its doors;
    /// an operator must enable it.
    #[error("scripts are disabled on this agent")]
    ScriptsDisabled,
    /// The registration is larger than the agent takes; make it smaller.
    #[error("registration of {size} bytes is larger than the {limit} bytes that one may have")]
    TooLarge {
        /// Its size in bytes, as it would be stored.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The registration is not on disk; an operator must look at the data directory.
    #[error("the agent's store cannot be written: {0}")]
    Store(String),
    /// The disk failed under the registration: it may or may not be there after the next start of
    /// the agent, which ends. Read before repeating.
    #[error("registration outcome unknown, the agent's store failed: {0}")]
    Unknown(String),
}

/// Registers on this node, as the agent's HTTP API offers it.
pub trait Registrar: Send + Sync {
    /// Takes an instance with its checks: answered when it is stored and, where this node leads,
    /// visible in the catalog (waited for at most 5 s).
    ///
    /// A check that was there keeps its status and output.
    fn register(
        &self,
        registration: Registration,
        existing: ExistingChecks,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// Removes an instance and its checks.
    fn deregister(
        &self,
        id: InstanceId,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// Takes a check of the node or of one of its instances.
    fn register_check(
        &self,
        check: Check,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// Removes a check.
    fn deregister_check(
        &self,
        id: CheckId,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// Takes a report on a TTL check.
    fn observe(
        &self,
        id: CheckId,
        status: Status,
        output: String,
    ) -> BoxFuture<'_, Result<(), RegisterError>>;

    /// What is registered here, by id.
    fn instances(&self) -> Vec<Instance>;

    /// Those of [`Registrar::instances`] that offer the service of this name, in its own spelling.
    fn instances_of(&self, service: &str) -> Vec<Instance> {
        let mut instances = self.instances();
        instances.retain(|instance| instance.service.as_str() == service);
        instances
    }

    /// The checks registered here with their newest results, by id.
    fn checks(&self) -> Vec<Check>;

    /// One of [`Registrar::instances`]; ids are equal without regard to case.
    fn instance(&self, id: &InstanceId) -> Option<Instance>;

    /// One of [`Registrar::checks`]; ids are equal without regard to case.
    fn check(&self, id: &CheckId) -> Option<Check>;

    /// The checks of one instance, or, for the empty id, those of the node; by id.
    fn checks_of(&self, instance: &InstanceId) -> Vec<Check>;

    /// Ends at the first change of what is registered here, or of a check's result, after this
    /// call: call it, then read, then wait. It may end without a change that its caller can see.
    ///
    /// Never ends once the agent has stopped: wait with a limit.
    fn changed(&self) -> BoxFuture<'static, ()>;
}
