//! The agent's operations as bytes, with field numbers: a new optional field needs no new format.
//!
//! Instances and checks are written as the log writes them, so that one description of each is kept.

use crate::local::{Operation, TtlState};
use crate::time::WallTime;
use catalog::format::{decode_check, decode_instance, encode_check, encode_instance};
use model::{CheckId, InstanceId, Registration, Status};
use prost::Message;
use seams::ExistingChecks;

/// Operations written together.
#[derive(Clone, PartialEq, Message)]
struct Records {
    #[prost(message, repeated, tag = "1")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Register(RegisterRecord),
    #[prost(string, tag = "2")]
    Deregister(String),
    /// A check, encoded.
    #[prost(bytes, tag = "3")]
    RegisterCheck(Vec<u8>),
    #[prost(string, tag = "4")]
    DeregisterCheck(String),
    #[prost(message, tag = "5")]
    TtlState(TtlRecord),
    /// Of the agent's files; it never replaces.
    #[prost(message, tag = "6")]
    Define(RegisterRecord),
    /// A check of the agent's files, encoded.
    #[prost(bytes, tag = "7")]
    DefineCheck(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct RegisterRecord {
    /// Encoded.
    #[prost(bytes, tag = "1")]
    instance: Vec<u8>,
    /// Encoded, one by one.
    #[prost(bytes, repeated, tag = "2")]
    checks: Vec<Vec<u8>>,
    #[prost(bool, tag = "3")]
    replace: bool,
}

#[derive(Clone, PartialEq, Message)]
struct TtlRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, tag = "3")]
    output: String,
    #[prost(uint64, tag = "4")]
    expires_ms: u64,
}

/// Operations to bytes.
pub fn encode(operations: &[Operation]) -> Vec<u8> {
    Records { records: operations.iter().map(Record::from).collect() }.encode_to_vec()
}

/// Bytes to operations; `None`: this version does not know all that is in them.
pub fn decode(bytes: &[u8]) -> Option<Vec<Operation>> {
    let records = Records::decode(bytes).ok()?.records;
    records.into_iter().map(|record| record.kind.and_then(operation)).collect()
}

impl From<&Operation> for Record {
    fn from(operation: &Operation) -> Record {
        let kind = match operation {
            Operation::Register(registration, existing) => {
                Kind::Register(written(registration, *existing == ExistingChecks::Replace))
            }
            Operation::Define(registration) => Kind::Define(written(registration, false)),
            Operation::DefineCheck(check) => Kind::DefineCheck(encode_check(check)),
            Operation::Deregister(id) => Kind::Deregister(id.as_str().to_owned()),
            Operation::RegisterCheck(check) => Kind::RegisterCheck(encode_check(check)),
            Operation::DeregisterCheck(id) => Kind::DeregisterCheck(id.as_str().to_owned()),
            Operation::TtlState(state) => Kind::TtlState(TtlRecord {
                id: state.id.as_str().to_owned(),
                status: state.status.as_str().to_owned(),
                output: state.output.to_string(),
                expires_ms: state.expires.0,
            }),
        };
        Record { kind: Some(kind) }
    }
}

fn written(registration: &Registration, replace: bool) -> RegisterRecord {
    RegisterRecord {
        instance: encode_instance(&registration.instance),
        checks: registration.checks.iter().map(encode_check).collect(),
        replace,
    }
}

fn read(record: &RegisterRecord) -> Option<Registration> {
    let checks = record.checks.iter().map(|check| decode_check(check).ok());
    let instance = decode_instance(&record.instance).ok()?;
    Some(Registration { instance, checks: checks.collect::<Option<_>>()? })
}

fn operation(kind: Kind) -> Option<Operation> {
    Some(match kind {
        Kind::Register(record) => {
            let existing =
                if record.replace { ExistingChecks::Replace } else { ExistingChecks::Keep };
            Operation::Register(Box::new(read(&record)?), existing)
        }
        Kind::Define(record) => Operation::Define(Box::new(read(&record)?)),
        Kind::DefineCheck(check) => Operation::DefineCheck(Box::new(decode_check(&check).ok()?)),
        Kind::Deregister(id) => Operation::Deregister(InstanceId::new(id)),
        Kind::RegisterCheck(check) => {
            Operation::RegisterCheck(Box::new(decode_check(&check).ok()?))
        }
        Kind::DeregisterCheck(id) => Operation::DeregisterCheck(CheckId::new(id)),
        Kind::TtlState(record) => Operation::TtlState(TtlState {
            id: CheckId::new(record.id),
            status: Status::parse(&record.status),
            output: record.output.into(),
            expires: WallTime(record.expires_ms),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Check, Instance};

    #[test]
    fn what_files_define_is_told_from_what_clients_register() {
        let registration = || {
            let instance = Instance { id: "web".into(), ..Instance::default() };
            let check = Check { id: "c".into(), ..Check::default() };
            Box::new(Registration { instance, checks: vec![check] })
        };
        let check = || Box::new(Check { id: "node".into(), ..Check::default() });
        let operations = vec![
            Operation::Register(registration(), ExistingChecks::Keep),
            Operation::Define(registration()),
            Operation::RegisterCheck(check()),
            Operation::DefineCheck(check()),
        ];
        assert_eq!(decode(&encode(&operations)), Some(operations));
    }

    #[test]
    fn a_store_from_before_files_defined_anything_is_read() {
        // `deregister web`, as the first version wrote it.
        assert_eq!(decode(b"\x0a\x05\x12\x03web"), Some(vec![Operation::Deregister("web".into())]));
    }
}
