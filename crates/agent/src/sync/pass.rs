//! One pass: look at a view, plan, propose.

use super::Pass;
use super::batches::{Batches, Split};
use super::plan::{CatalogTags, Conflict, Plan, plan};
use crate::local::Local;
use catalog::{Claim, Command, NotHeld, Outcome, View};
use model::{Author, CheckId, Door, InstanceId, Owner, Tenant};
use seams::{Committed, Consistency, Doors, Proposal, ReadError, WriteError};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// How often a pass looks when others write at the same time.
const LOOKS: usize = 4;
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
    /// How many commands were refused in the last look too.
    pub refused: usize,
    /// What it could not have.
    pub conflicts: Vec<Conflict>,
    /// Tags to be taken from the catalog.
    pub tags: Vec<CatalogTags>,
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
    for look in 1..=LOOKS {
        let planned = plan_on(&doors, view, &local, &owner, &pass).await?;
        report.conflicts = planned.conflicts;
        report.tags = planned.tags;
        let last = look == LOOKS;
        if !propose(&doors, planned.commands, &owner, &author, last, &mut report).await? {
            break;
        }
        // Somebody else wrote between the view and the entry: look again.
        view = doors.reader.view();
    }
    Ok(report)
}

/// What the log says of a command that was carried out.
enum Told {
    Service(InstanceId),
    Check(CheckId),
    NoService(InstanceId),
    NoCheck(CheckId),
}

impl Told {
    fn of(command: &Command) -> Option<Told> {
        Some(match command {
            Command::PutInstance(instance) => Told::Service(instance.id.clone()),
            Command::PutCheck(check) => Told::Check(check.id.clone()),
            Command::RemoveInstance(_, id) => Told::NoService(id.clone()),
            Command::RemoveCheck(_, id) => Told::NoCheck(id.clone()),
            _ => return None,
        })
    }

    fn tell(&self) {
        match self {
            Told::Service(service) => info!(%service, "service synced"),
            Told::NoService(service) => info!(%service, "service deregistered"),
            Told::Check(check) => debug!(%check, "check synced"),
            Told::NoCheck(check) => debug!(%check, "check deregistered"),
        }
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
    for _ in 0..LOOKS {
        match plan(&view, local, owner, &pass.scope) {
            Ok(planned) => return Ok(planned),
            Err(NotHeld(interest)) => view = doors.reader.hold(interest, HOLD_LIMIT).await?,
        }
    }
    let planned = plan(&view, local, owner, &pass.scope);
    planned.map_err(|NotHeld(interest)| ReadError::NotHeld(interest).into())
}

/// Proposes commands in as few entries as they fit in; says whether some were refused.
///
/// A refusal holds back nothing but its own entry, and in the last look, nothing but its own command.
/// What is too large for the log is left out, with what depends on it.
async fn propose(
    doors: &Doors,
    commands: Vec<Command>,
    owner: &Owner,
    author: &Author,
    last_look: bool,
    report: &mut Report,
) -> Result<bool, WriteError> {
    let mut batches = Batches::new(commands);
    let mut refused = false;
    while let Some(batch) = batches.next() {
        let proposal = Proposal {
            author: author.clone(),
            owner: owner.clone(),
            claim: Claim::Reconcile,
            tenant: Tenant::DEFAULT,
            request: None,
            commands: batch.concat(),
        };
        let told = batch.iter().flatten().filter_map(Told::of).collect::<Vec<_>>();
        match doors.writer.propose(proposal).await {
            Ok(Committed { outcome: Outcome::Done(_), .. }) => {
                report.entries += 1;
                told.iter().for_each(Told::tell);
                report.commands += batch.iter().map(Vec::len).sum::<usize>();
            }
            Ok(Committed { outcome: Outcome::Refused(refusal), .. }) => {
                refused = true;
                if last_look && batches.split(batch) == Split::Alone {
                    warn!(error = %refusal, "catalog refused a row, trying again later");
                    report.refused += 1;
                }
            }
            Err(too_large @ WriteError::TooLarge { .. }) => {
                if batches.split(batch) == Split::Alone {
                    error!(error = %too_large, "registration is too large for the log");
                }
            }
            Err(other) => return Err(other),
        }
    }
    Ok(refused)
}
