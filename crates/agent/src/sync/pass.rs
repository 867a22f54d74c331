//! One pass: look at a view, plan, propose.

use super::Pass;
use super::plan::{Conflict, Plan, plan};
use crate::local::Local;
use catalog::{Claim, Command, NotHeld, Outcome, Refusal, View};
use model::{Author, Door, Owner, Tenant};
use seams::{Consistency, Doors, Proposal, ReadError, WriteError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

/// No entry carries more commands.
const MAX_COMMANDS: usize = 256;
/// How often a pass looks again when others write at the same time.
const MAX_ATTEMPTS: usize = 4;
/// How long a pass waits for rows that this node does not hold.
const HOLD_LIMIT: Duration = Duration::from_secs(5);

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Whether everything was compared.
    pub everything: bool,
    /// How many commands were carried out.
    pub commands: usize,
    /// How many entries they took.
    pub entries: usize,
    /// What it could not have.
    pub conflicts: Vec<Conflict>,
}

/// Why a pass did not end; it is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The catalog cannot be read.
    #[error("the catalog cannot be read")]
    Read(#[from] ReadError),
    /// The catalog cannot be written.
    #[error("the catalog cannot be written")]
    Write(#[from] WriteError),
    /// The catalog refused, and again after another look.
    #[error("the catalog refused")]
    Refused(#[from] Refusal),
}

/// Runs a pass to its end.
pub async fn run(doors: Doors, local: Local, pass: Pass) -> Result<Report, Failure> {
    let owner = Owner::agent(&local.node().fold());
    let author = pass.author.clone().unwrap_or_else(|| Author {
        actor: owner.as_str().into(),
        door: Door::Agent,
        ..Author::default()
    });
    let mut view = if pass.scope.everything {
        doors.reader.current(Consistency::Default).await?
    } else {
        doors.reader.view()
    };
    let mut report = Report { everything: pass.scope.everything, ..Report::default() };
    let mut attempts = 1;
    loop {
        let planned = plan_on(&doors, view, &local, &owner, &pass).await?;
        report.conflicts = planned.conflicts;
        match propose(&doors, planned.commands, &owner, &author, &mut report).await? {
            None => return Ok(report),
            Some(refusal) if attempts == MAX_ATTEMPTS => return Err(refusal.into()),
            // Somebody else wrote between the view and the entry: look again.
            Some(_) => view = doors.reader.view(),
        }
        attempts += 1;
    }
}

/// Plans on a view that holds what is needed.
async fn plan_on(
    doors: &Doors,
    mut view: Arc<View>,
    local: &Local,
    owner: &Owner,
    pass: &Pass,
) -> Result<Plan, Failure> {
    for _ in 0..MAX_ATTEMPTS {
        match plan(&view, local, owner, &pass.scope) {
            Ok(planned) => return Ok(planned),
            Err(NotHeld(interest)) => view = doors.reader.hold(interest, HOLD_LIMIT).await?,
        }
    }
    let planned = plan(&view, local, owner, &pass.scope);
    planned.map_err(|NotHeld(interest)| ReadError::NotHeld(interest).into())
}

/// Proposes commands in as few entries as they fit in; a refusal ends it.
async fn propose(
    doors: &Doors,
    commands: Vec<Command>,
    owner: &Owner,
    author: &Author,
    report: &mut Report,
) -> Result<Option<Refusal>, WriteError> {
    let mut chunks: VecDeque<Vec<Command>> =
        commands.chunks(MAX_COMMANDS).map(<[Command]>::to_vec).collect();
    while let Some(commands) = chunks.pop_front() {
        let proposal = Proposal {
            author: author.clone(),
            owner: owner.clone(),
            claim: Claim::Reconcile,
            tenant: Tenant::DEFAULT,
            request: None,
            commands: commands.clone(),
        };
        match doors.writer.propose(proposal).await {
            Ok(committed) => match committed.outcome {
                Outcome::Done(_) => {
                    report.entries += 1;
                    report.commands += commands.len();
                }
                Outcome::Refused(refusal) => return Ok(Some(refusal)),
            },
            Err(WriteError::TooLarge { .. }) if commands.len() > 1 => {
                let (first, second) = commands.split_at(commands.len() / 2);
                chunks.push_front(second.to_vec());
                chunks.push_front(first.to_vec());
            }
            Err(too_large @ WriteError::TooLarge { .. }) => {
                error!(error = %too_large, "registration is too large for the log");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}
