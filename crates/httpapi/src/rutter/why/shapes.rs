//! The explanation as JSON.

use super::requests::{RequestShape, requests};
use crate::consul::blocking::Scene;
use catalog::why::{Absence, Cause, Gone, Trace};
use catalog::{HistoryEntry, Offer};
use model::{Check, Door, Index, Instance, Owner, Row, Status};
use seams::NameAnswer;
use serde::Serialize;
use std::sync::Arc;

/// Of a name that DNS cannot be asked for.
pub const UNSPEAKABLE: &str = "DNS cannot carry this name";

/// The most checks of an instance that are laid out, those that do not pass first.
const MOST_CHECKS: usize = 50;

/// The most things that keep an instance out that are laid out.
const MOST_CAUSES: usize = 20;

/// The longest output of a check that is told whole: that of a node is told with each instance.
const LONGEST_OUTPUT: usize = 4_096;

/// As much of an output as is told.
fn shortened(output: &str) -> String {
    match output.len() {
        ..=LONGEST_OUTPUT => output.to_owned(),
        _ => format!("{}…", &output[..output.floor_char_boundary(LONGEST_OUTPUT)]),
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// All of it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    /// `service`, `node` or `name`.
    pub kind: &'static str,
    pub name: String,
    pub tag: String,
    pub node: String,
    /// The index of what was looked at.
    pub index: u64,
    /// Why there is nothing to judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absence: Option<AbsenceShape>,
    /// The name that was perhaps meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Where it is, if not on the node that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<ElsewhereShape>,
    /// Of a node: who registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered: Option<TraceShape>,
    /// Of a node: who keeps it up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    pub doors: Vec<DoorShape>,
    pub instances: Vec<InstanceShape>,
    /// How many more instances there are, which are counted and not laid out.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_instances: usize,
    /// Of a node: how many more services it has, of which nothing is told.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_services: usize,
    /// What only this node's agent knows.
    pub unsynced: Vec<InstanceShape>,
    /// How many more there are of these.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_unsynced: usize,
    /// What is no more.
    pub gone: Vec<GoneShape>,
}

impl Answer {
    pub fn new(kind: &'static str, name: &str, scene: &Scene) -> Answer {
        Answer {
            kind,
            name: name.to_owned(),
            tag: String::new(),
            node: String::new(),
            index: scene.view.index().0,
            absence: None,
            nearest: None,
            elsewhere: None,
            registered: None,
            owner: String::new(),
            doors: Vec::new(),
            instances: Vec::new(),
            more_instances: 0,
            more_services: 0,
            unsynced: Vec::new(),
            more_unsynced: 0,
            gone: Vec::new(),
        }
    }

    /// There is nothing, and why.
    pub fn absence(&mut self, absence: Absence) {
        self.absence = Some(AbsenceShape { name: absence.name(), text: absence.text() });
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbsenceShape {
    name: &'static str,
    text: &'static str,
}

/// The nodes on which a service is.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ElsewhereShape {
    /// The first of them.
    pub nodes: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// What a door answers as a whole.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DoorShape {
    pub door: &'static str,
    /// What it is asked; empty where it cannot be.
    pub asked: String,
    /// Instances of which the answer is made.
    pub served: usize,
    /// All there are.
    pub instances: usize,
    /// DNS: the response code.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub code: &'static str,
    /// DNS: records in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<usize>,
    /// Why it is empty or short.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip)]
    pub absence: Option<Absence>,
}

impl DoorShape {
    /// What HTTP answers; nothing is asked where no path carries the name.
    pub fn http(asked: Option<String>, served: usize, instances: usize) -> DoorShape {
        let reason = if asked.is_none() { "no path carries this name" } else { "" };
        DoorShape {
            door: "http",
            asked: asked.unwrap_or_default(),
            served,
            instances,
            code: "",
            records: None,
            reason: reason.to_owned(),
            absence: None,
        }
    }

    /// What DNS said; nothing where it cannot be asked.
    pub fn dns(
        asked: String,
        answer: Option<NameAnswer>,
        served: usize,
        instances: usize,
    ) -> DoorShape {
        let unspeakable = DoorShape::http(Some(asked), served, instances);
        let Some(answer) = answer else {
            let reason = UNSPEAKABLE.to_owned();
            return DoorShape { door: "dns", reason, ..unspeakable };
        };
        DoorShape {
            door: "dns",
            code: answer.code,
            records: Some(answer.records),
            reason: answer.reason.unwrap_or_default(),
            absence: answer.absence,
            ..unspeakable
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceShape {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    service: String,
    address: String,
    port: i64,
    tags: Vec<String>,
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<TraceShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<TraceShape>,
    checks: Vec<CheckShape>,
    /// How many more checks it has.
    #[serde(skip_serializing_if = "is_zero")]
    more_checks: usize,
    pub verdicts: Vec<Verdict>,
}

impl InstanceShape {
    pub fn of(scene: &Scene, offer: &Offer<'_>) -> InstanceShape {
        let row = offer.instance;
        let mut shape = InstanceShape::plain(row, &row.owner);
        if shape.address.is_empty() {
            shape.address = offer.node.address.to_string();
        }
        shape.registered = Some(TraceShape::of(scene.view.trace(row.created)));
        if row.modified != row.created {
            shape.changed = Some(TraceShape::of(scene.view.trace(row.modified)));
        }
        let mut checks: Vec<&Arc<Row<Check>>> =
            scene.view.checks_for(scene.tenant(), row).collect();
        shape.more_checks = checks.len().saturating_sub(MOST_CHECKS);
        if shape.more_checks > 0 {
            checks.sort_by_key(|check| check.status == Status::Passing);
            checks.truncate(MOST_CHECKS);
        }
        shape.checks = checks.into_iter().map(|check| CheckShape::of(check)).collect();
        shape
    }

    /// One that only its agent knows.
    pub fn unsynced(instance: &Instance, owner: &Owner, cause: CauseShape) -> InstanceShape {
        let mut shape = InstanceShape::plain(instance, owner);
        shape.verdicts.push(Verdict::out("catalog", cause));
        shape
    }

    fn plain(instance: &Instance, owner: &Owner) -> InstanceShape {
        InstanceShape {
            id: instance.id.to_string(),
            node: instance.node.to_string(),
            service: instance.service.to_string(),
            address: instance.address.to_string(),
            port: instance.port,
            tags: instance.tags.iter().map(ToString::to_string).collect(),
            owner: owner.to_string(),
            registered: None,
            changed: None,
            checks: Vec::new(),
            more_checks: 0,
            verdicts: Vec::new(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckShape {
    #[serde(rename = "CheckID")]
    id: String,
    /// Whether it is one of the node.
    of_node: bool,
    status: String,
    output: String,
    since: TraceIndex,
}

/// The index of a check's last change.
#[derive(Serialize)]
struct TraceIndex(u64);

impl CheckShape {
    fn of(row: &Row<Check>) -> CheckShape {
        CheckShape {
            id: row.id.to_string(),
            of_node: row.instance.is_empty(),
            status: row.status.to_string(),
            output: shortened(&row.output),
            since: TraceIndex(row.modified.0),
        }
    }
}

/// What a door says of an instance.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Verdict {
    pub door: &'static str,
    pub served: bool,
    /// What keeps it out, the first first.
    causes: Vec<CauseShape>,
    /// How many more things keep it out.
    #[serde(skip_serializing_if = "is_zero")]
    more_causes: usize,
}

impl Verdict {
    pub fn new(scene: &Scene, door: &'static str, offer: &Offer<'_>, causes: &[Cause]) -> Verdict {
        let told = causes.iter().take(MOST_CAUSES).map(|cause| CauseShape::of(scene, offer, cause));
        let more_causes = causes.len().saturating_sub(MOST_CAUSES);
        Verdict { door, served: causes.is_empty(), causes: told.collect(), more_causes }
    }

    /// It is left out by something that is no fault of its own.
    pub fn out(door: &'static str, cause: CauseShape) -> Verdict {
        Verdict { door, served: false, causes: vec![cause], more_causes: 0 }
    }
}

/// One thing that keeps an instance out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CauseShape {
    pub name: &'static str,
    pub text: String,
    pub remedy: String,
    /// The remedy as requests; none where it takes something else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestShape>,
    /// What the check said.
    #[serde(skip_serializing_if = "Option::is_none", rename = "Output")]
    pub check: Option<String>,
}

impl CauseShape {
    /// One that no single request undoes.
    pub fn plain(name: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (text, remedy) = (text.into(), remedy.into());
        CauseShape { name, text, remedy, requests: Vec::new(), check: None }
    }

    fn of(scene: &Scene, offer: &Offer<'_>, cause: &Cause) -> CauseShape {
        // The reason of maintenance stands in the notes.
        let said = cause.check().and_then(|check| {
            [&check.output, &check.notes].into_iter().find(|text| !text.is_empty())
        });
        let remedy = cause.remedy();
        CauseShape {
            requests: requests(scene, &remedy, offer.instance),
            check: said.map(|said| shortened(said)),
            ..CauseShape::plain(cause.name(), cause.to_string(), remedy.to_string())
        }
    }
}

/// Who wrote an entry of the log, when, and by which door; or how far back is known.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceShape {
    index: u64,
    #[serde(flatten)]
    entry: Option<EntryShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryShape {
    time: String,
    actor: String,
    door: &'static str,
    remote: String,
    request: String,
}

impl EntryShape {
    fn of(entry: &HistoryEntry) -> EntryShape {
        let ms = i64::try_from(entry.time.0).unwrap_or(i64::MAX);
        EntryShape {
            time: jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string(),
            actor: entry.author.actor.to_string(),
            door: match entry.author.door {
                Door::Http => "http",
                Door::Agent => "agent",
                Door::Leader => "leader",
            },
            remote: entry.author.remote.to_string(),
            request: entry.author.request.to_string(),
        }
    }
}

impl TraceShape {
    pub fn of(trace: Trace) -> TraceShape {
        match trace {
            Trace::Known(index, entry) => TraceShape::known(index, &entry),
            Trace::Beyond(index, window) => {
                TraceShape { index: index.0, entry: None, beyond: Some(window.to_string()) }
            }
        }
    }

    fn known(index: Index, entry: &Arc<HistoryEntry>) -> TraceShape {
        TraceShape { index: index.0, entry: Some(EntryShape::of(entry)), beyond: None }
    }
}

/// An instance that is no more, and who removed it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoneShape {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    owner: String,
    removed: TraceShape,
}

impl GoneShape {
    pub fn of(gone: Gone) -> GoneShape {
        GoneShape {
            id: gone.row.id.to_string(),
            node: gone.row.node.to_string(),
            owner: gone.row.owner.to_string(),
            removed: TraceShape::known(gone.index, &gone.entry),
        }
    }
}
