//! `/v1/status/`: who leads, and who the servers are; answered without a right.
//!
//! Source: Consul, "Status HTTP API"

use super::error::Problem;
use crate::answer::Answer;
use crate::call::Call;

/// `GET leader`: its address; empty where nobody leads.
pub async fn leader(call: Call) -> Result<Answer, Problem> {
    let leadership = call.doors()?.reader.leadership();
    Ok(Answer::json(&leadership.leader.unwrap_or_default()))
}

/// `GET peers`: the addresses of the servers.
pub async fn peers(call: Call) -> Result<Answer, Problem> {
    call.doors()?;
    Ok(Answer::json(&[call.context.identity.server_address.to_string()]))
}
