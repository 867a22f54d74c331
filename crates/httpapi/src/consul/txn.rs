//! `PUT /v1/txn`: several operations, all or nothing.
//!
//! One that writes is one entry of the log. One that only reads and compares is a read of a view, as
//! fresh as was asked, and tells what reads tell besides.
//!
//! Source: Consul, "Transaction HTTP API"; story 13.

mod check;
mod ops;
mod plan;

use super::blocking::{Body, Found, MOST_HOLDS};
use super::catalog::own_spelling;
use super::error::{Problem, Stop};
use super::params::ReadOptions;
use super::shapes::{BareCheck, BareService, KvPair, NodeShape};
use crate::admission::Class;
use crate::answer::{Answer, Content, json};
use crate::aside::{Insists, Wish};
use crate::call::Call;
use bytes::Bytes;
use catalog::{
    AnyRow, Authorizer, Command, Failure, Held, NotHeld, Operation, Outcome, Refusal, Reply, Shown,
    View,
};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use model::{Index, KvEntry, KvKey, Owner, Row};
use net::http::BodyError;
use ops::{Op, Subject};
use seams::{Leadership, ReadError};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::sync::Arc;

/// How many operations one transaction has at most.
pub const MOST_OPERATIONS: usize = 128;

/// `PUT txn`.
pub async fn txn(mut call: Call) -> Result<Answer, Problem> {
    let (ops, print) = read(&mut call).await?;
    match ops.iter().any(Op::writes) {
        true => write(&call, ops).await,
        false => look(&call, ops, print).await,
    }
}

/// The operations, and what tells this body from others.
async fn read(call: &mut Call) -> Result<(Vec<Op>, u64), Problem> {
    let settings = &call.context.settings;
    let (largest, txn) = (settings.kv_max_value_size, settings.txn_max_req_len);
    let limit = txn.max(largest);
    let body = call.request.body(limit).await.map_err(|error| match error {
        BodyError::TooLarge(size) => Problem::OverLimit { size, limit, setting: "txn_max_req_len" },
        error => error.into(),
    })?;
    let (ops, given) = ops::read(&body)?;
    if given > MOST_OPERATIONS {
        return Err(Problem::TooLarge(format!(
            "Transaction contains too many operations ({given} > {MOST_OPERATIONS})"
        )));
    }
    for op in &ops {
        let Subject::Kv(kv) = &op.subject else { continue };
        if kv.value.len() > largest {
            return Err(Problem::TooLarge(format!(
                "Value for key {} is too large ({} > {largest} bytes)",
                lang::quote(&kv.key),
                kv.value.len()
            )));
        }
    }
    Ok((ops, call.aside.print(&body)))
}

/// Prepares all operations; the complaints are told by their place.
fn prepare(ops: &mut [Op], view: &View, auth: &Authorizer) -> Result<(), Vec<Complaint>> {
    let mut complaints = Vec::new();
    for place in 0..ops.len() {
        let (before, rest) = ops.split_at_mut(place);
        let Some(op) = rest.first_mut() else { break };
        if let Err(what) = plan::prepare(op, before, view, auth) {
            complaints.push(Complaint { op_index: place, what });
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

/// The operations; one of which the token may not even know the outcome does nothing.
fn operations(ops: &[Op], auth: &Authorizer) -> Vec<Operation> {
    let operation = |op: &Op| match plan::is_hidden(op, auth) {
        true => Operation::default(),
        false => plan::operation(op),
    };
    ops.iter().map(operation).collect()
}

/// What a body does to a view, whoever sent it; the error tells all that is wrong.
pub(super) fn command_of(body: &[u8], view: &View, auth: &Authorizer) -> Result<Command, String> {
    let (mut ops, _) = ops::read(body).map_err(super::definitions::text)?;
    prepare(&mut ops, view, auth).map_err(|complaints| {
        complaints.into_iter().map(|is| is.what).collect::<Vec<_>>().join("; ")
    })?;
    Ok(Command::Transact(operations(&ops, auth)))
}

async fn write(call: &Call, mut ops: Vec<Op>) -> Result<Answer, Problem> {
    let doors = call.doors()?;
    let view = doors.reader.view();
    let auth = view.authorizer(&call.token);
    if let Err(complaints) = prepare(&mut ops, &view, &auth) {
        return Ok(Report::failed(complaints, None).answer());
    }
    let command = Command::Transact(operations(&ops, &auth));
    let outcome = match call.propose(&doors, &auth, vec![command]).await? {
        Outcome::Done(replies) => Ok(shown(replies)),
        Outcome::Refused(Refusal::Failed(failures)) => Err(failures),
        Outcome::Refused(refusal) => {
            return Err(Problem::Refused { prefix: "", refusal: Box::new(refusal) });
        }
    };
    let told = Told { ops: &ops, auth: &auth, datacenter: own_spelling(call), meta: None };
    let size = told_size(&outcome);
    let make = || told.answer(outcome);
    call.aside.make(Class::Write, size, Insists::ToTheEnd, make).await
}

/// The bytes that an outcome is told in, about: values in base64.
fn told_size(outcome: &Result<Vec<Shown>, Vec<Failure>>) -> usize {
    const FRAME: usize = 256;
    let row = |shown: &Shown| match &shown.row {
        AnyRow::Kv(key, row) => FRAME + key.as_bytes().len() + row.value.len() / 3 * 4,
        AnyRow::Node(_) | AnyRow::Instance(_) | AnyRow::Check(_) => 4 * FRAME,
    };
    match outcome {
        Ok(shown) => shown.iter().map(row).sum(),
        Err(failures) => failures.len() * FRAME,
    }
}

fn shown(replies: Vec<Reply>) -> Vec<Shown> {
    let shown = replies.into_iter().find_map(|reply| match reply {
        Reply::Shown(shown) => Some(shown),
        Reply::Done | Reply::ConditionFailed => None,
    });
    shown.unwrap_or_default()
}

async fn look(call: &Call, mut ops: Vec<Op>, print: u64) -> Result<Answer, Problem> {
    let options = ReadOptions::parse(call)?;
    let doors = call.doors()?;
    let mut view = match options.consistency {
        None => doors.reader.view(),
        Some(consistency) => doors.reader.current(consistency).await?,
    };
    let auth = view.authorizer(&call.token);
    if let Err(complaints) = prepare(&mut ops, &view, &auth) {
        let meta = Meta::default();
        return Ok(meta.headers(Report::failed(complaints, Some(&meta)).answer()));
    }
    let operations = operations(&ops, &auth);
    let meta = Meta::of(&doors.reader.leadership());
    let datacenter = own_spelling(call);
    let told = Told { ops: &ops, auth: &auth, datacenter, meta: Some(&meta) };
    let limit = call.context.settings.hold_limit;
    // Each operation may name two things, and each may have to be obtained.
    let mut holds = MOST_HOLDS.max(2 * operations.len());
    loop {
        let seen = told.found(call, print, || view.look(auth.tenant(), &operations)).await;
        match seen {
            Err(Stop::NotHeld(NotHeld(interest))) if holds > 0 => {
                holds -= 1;
                view = doors.reader.hold(interest, limit).await?;
            }
            seen => return Ok(meta.headers(seen.map_err(unheld)?)),
        }
    }
}

fn unheld(stop: Stop) -> Problem {
    match stop {
        Stop::Problem(problem) => problem,
        Stop::NotHeld(NotHeld(interest)) => ReadError::NotHeld(interest).into(),
    }
}

/// What an outcome is told with.
struct Told<'t> {
    ops: &'t [Op],
    auth: &'t Authorizer,
    datacenter: &'t str,
    meta: Option<&'t Meta>,
}

impl Told<'_> {
    /// Finds the outcome of a read and tells it. A tree is a list, found in its turn like every list;
    /// of anything else the size is known once it is found, which takes a moment only.
    async fn found(
        &self,
        call: &Call,
        print: u64,
        find: impl FnOnce() -> Held<Result<Vec<Shown>, Vec<Failure>>>,
    ) -> Result<Answer, Stop> {
        if !self.ops.iter().any(|op| op.verb == "get-tree") {
            let outcome = find()?;
            let (size, make) = (told_size(&outcome), || self.answer(outcome));
            return Ok(call.aside.make(Class::Read, size, Insists::No, make).await?);
        }
        let mut status = StatusCode::OK;
        let path = format!("/v1/txn {print:x}");
        let wish = Wish { class: Class::Read, path: &path, auth: None, below: true, always: false };
        let made = call.aside.evaluate(
            wish,
            Insists::No,
            || None,
            |_| {
                let (kind, body) = self.told(find()?);
                status = kind;
                let body = Body::Json(body);
                Ok(Found { body, index: Index(1), watches: Vec::new(), filtered: false })
            },
        );
        let content = match made.await?.body {
            Body::Json(body) | Body::Raw(body) => Content::Json(body),
            Body::Absent => Content::Nothing,
        };
        Ok(Answer::new(status, content))
    }

    fn answer(&self, outcome: Result<Vec<Shown>, Vec<Failure>>) -> Answer {
        let (status, body) = self.told(outcome);
        Answer::new(status, Content::Json(body))
    }

    fn told(&self, outcome: Result<Vec<Shown>, Vec<Failure>>) -> (StatusCode, Bytes) {
        let shown = match outcome {
            Ok(shown) => shown,
            Err(failures) => {
                return Report::failed(complaints(self.ops, &failures), self.meta).told();
            }
        };
        let (rows, filtered) = results(self.ops, shown, self.auth);
        let meta = self.meta.map(|meta| Meta {
            results_filtered_by_acls: filtered
                || self.ops.iter().any(|op| plan::is_hidden(op, self.auth)),
            ..meta.clone()
        });
        Report::done(&rows, self.datacenter, meta.as_ref()).told()
    }
}

fn complaints(ops: &[Op], failures: &[Failure]) -> Vec<Complaint> {
    let complaint = |failure: &Failure| {
        let op_index = failure.operation as usize;
        let what = plan::what(ops.get(op_index)?, &failure.cause);
        Some(Complaint { op_index, what })
    };
    failures.iter().filter_map(complaint).collect()
}

/// The rows to tell in the order of the operations, and whether some were left out that the token may
/// not see. `get-or-empty` tells of an absent key what was given of it.
fn results(ops: &[Op], shown: Vec<Shown>, auth: &Authorizer) -> (Vec<AnyRow>, bool) {
    let all = shown.len();
    let mut shown = shown.into_iter().peekable();
    let (mut rows, mut seen) = (Vec::new(), 0);
    for (place, op) in ops.iter().enumerate() {
        let mut is_absent = true;
        while let Some(one) = shown.next_if(|shown| shown.operation as usize <= place) {
            is_absent = false;
            if may_see(&one.row, auth) {
                seen += 1;
                rows.push(one.row);
            }
        }
        if let Subject::Kv(kv) = &op.subject
            && is_absent
            && op.verb == "get-or-empty"
            && auth.key_read(&kv.key)
        {
            rows.push(empty(kv, op.index));
        }
    }
    (rows, seen < all)
}

fn empty(kv: &ops::Kv, index: u64) -> AnyRow {
    let session = kv.session.parse().ok();
    let entry = KvEntry { flags: kv.flags, session, ..KvEntry::default() };
    let (owner, created, modified) = (Owner::nobody(), Index(0), Index(index));
    AnyRow::Kv(
        KvKey::new(kv.key.as_bytes()),
        Arc::new(Row { claim: entry, owner, created, modified }),
    )
}

fn may_see(row: &AnyRow, auth: &Authorizer) -> bool {
    match row {
        AnyRow::Kv(key, _) => auth.key_read(&super::shapes::shown(key.as_bytes())),
        AnyRow::Node(row) => auth.node_read(row.name.as_str()),
        AnyRow::Instance(row) => {
            auth.node_read(row.node.as_str()) && auth.service_read(row.service.as_str())
        }
        AnyRow::Check(row) => {
            let service = row.service.as_str();
            auth.node_read(row.node.as_str()) && (service.is_empty() || auth.service_read(service))
        }
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Complaint {
    op_index: usize,
    what: String,
}

/// What reads tell besides.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    index: u64,
    /// Nanoseconds.
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
    not_modified: bool,
    backend: u8,
    #[serde(rename = "ResultsFilteredByACLs")]
    results_filtered_by_acls: bool,
}

impl Meta {
    /// There is no blocking, so there is no index either: it is always 1.
    fn of(leadership: &Leadership) -> Meta {
        Meta {
            index: 1,
            last_contact: leadership.last_contact.as_nanos().try_into().unwrap_or(u64::MAX),
            known_leader: leadership.leader.is_some(),
            ..Meta::default()
        }
    }

    fn headers(&self, answer: Answer) -> Answer {
        let known = HeaderValue::from_static(if self.known_leader { "true" } else { "false" });
        answer.with(HeaderName::from_static("x-consul-knownleader"), known).with(
            HeaderName::from_static("x-consul-lastcontact"),
            HeaderValue::from(self.last_contact / 1_000_000),
        )
    }
}

/// The answer: results, or all that failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'r> {
    results: Option<Vec<ResultShape<'r>>>,
    errors: Option<Vec<Complaint>>,
    #[serde(flatten)]
    meta: Option<&'r Meta>,
}

impl<'r> Report<'r> {
    fn done(rows: &'r [AnyRow], datacenter: &'r str, meta: Option<&'r Meta>) -> Report<'r> {
        let shape = |row| ResultShape { row, datacenter };
        Report { results: Some(rows.iter().map(shape).collect()), errors: None, meta }
    }

    fn failed(errors: Vec<Complaint>, meta: Option<&'r Meta>) -> Report<'r> {
        Report { results: None, errors: Some(errors), meta }
    }

    fn told(&self) -> (StatusCode, Bytes) {
        let status = match self.errors {
            None => StatusCode::OK,
            Some(_) => StatusCode::CONFLICT,
        };
        (status, json(self))
    }

    fn answer(&self) -> Answer {
        let (status, body) = self.told();
        Answer::new(status, Content::Json(body))
    }
}

struct ResultShape<'r> {
    row: &'r AnyRow,
    datacenter: &'r str,
}

impl Serialize for ResultShape<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        match self.row {
            AnyRow::Kv(key, row) => map.serialize_entry("KV", &KvPair(key, row))?,
            AnyRow::Node(row) => map.serialize_entry("Node", &NodeShape(row, self.datacenter))?,
            AnyRow::Instance(row) => map.serialize_entry("Service", &BareService(row))?,
            AnyRow::Check(row) => map.serialize_entry("Check", &BareCheck(row))?,
        }
        map.end()
    }
}
