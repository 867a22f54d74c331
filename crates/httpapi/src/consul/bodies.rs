//! The bodies of writes to the catalog, read without a request: what the endpoints' handlers write.
//!
//! For whoever has such a body from elsewhere; the fuzzer is the first of them.

use super::definitions::text;
use super::{register, txn};
use catalog::{Command, Token, View};
use lang::json::Json;

/// What the body of `catalog/register` writes; the error is Consul's text.
pub fn catalog(json: &Json) -> Result<Vec<Command>, String> {
    register::commands_of(json).map_err(text)
}

/// What the body of `txn` does to this view; the error is Consul's text, or its complaints.
pub fn transaction(body: &[u8], view: &View) -> Result<Command, String> {
    txn::command_of(body, view, &view.authorizer(&Token::default()))
}
