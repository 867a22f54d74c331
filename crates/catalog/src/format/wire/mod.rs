//! What stands in the bytes: messages with numbered fields, and the small conversions they share.
//!
//! Numbers are for ever: a field that goes leaves a hole, a new one takes the next number and must
//! mean "not given" when it is absent. Absent and empty are told apart only where the model does.
//! Maps are B-trees, so that the same value is the same bytes on every server.

mod log;
mod rows;
mod tables;
mod transaction;

pub(super) use log::*;
pub(super) use rows::*;
pub(super) use tables::*;
pub(super) use transaction::*;

use super::error::Fault;
use model::{Text, TextMap};
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn texts(map: &TextMap) -> Texts {
    Texts {
        entries: map.iter().map(|(k, v)| (k.as_str().to_owned(), v.as_str().to_owned())).collect(),
    }
}

pub(super) fn text_map(map: Texts) -> TextMap {
    map.entries.into_iter().map(|(k, v)| (Text::from(k), Text::from(v))).collect()
}

pub(super) fn strings(list: &[Text]) -> Vec<String> {
    list.iter().map(|text| text.as_str().to_owned()).collect()
}

pub(super) fn text_list(list: Vec<String>) -> Vec<Text> {
    list.into_iter().map(Text::from).collect()
}

/// Tags; no tags cost nothing.
pub(super) fn shared_tags(list: Vec<String>) -> Arc<[Text]> {
    match list.is_empty() {
        true => model::empty_tags(),
        false => text_list(list).into(),
    }
}

pub(super) fn uuid_bytes(id: &Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::Damaged(format!("an id of {} bytes", bytes.len())))
}

pub(super) fn optional_uuid(bytes: Option<&Vec<u8>>) -> Result<Option<Uuid>, Fault> {
    bytes.map(|bytes| uuid(bytes)).transpose()
}
