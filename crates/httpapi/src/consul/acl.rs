//! `/v1/acl/`: there are no ACLs, and every path of theirs says so before it looks at anything else.
//!
//! Clients take the status and the text for "not enabled" and go on without tokens.
//! Source: Consul, "ACL HTTP API"; story 32.

use super::error::Problem;
use crate::answer::Answer;
use crate::call::Call;

/// Every endpoint.
pub async fn disabled(_: Call) -> Result<Answer, Problem> {
    Err(Problem::Disabled("ACL"))
}
