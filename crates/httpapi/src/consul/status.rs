//! `/v1/status/` and what else tells of the servers; answered without a right.
//!
//! Source: Consul, "Status HTTP API"

use super::error::Problem;
use crate::answer::Answer;
use crate::call::Call;
use serde_json::json;

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

/// `GET /v1/operator/raft/configuration`: the voters of the log.
pub async fn raft_configuration(call: Call) -> Result<Answer, Problem> {
    let doors = call.doors()?;
    let view = doors.reader.view();
    Problem::unless(view.authorizer(&call.token).operator_read(), "operator:read", "")?;
    let identity = &call.context.identity;
    Ok(Answer::json(&json!({
        "Servers": [{
            "ID": identity.node_id.to_string(),
            "Node": identity.node_name.as_str(),
            "Address": identity.server_address.to_string(),
            "Leader": doors.reader.leadership().is_leader,
            "ProtocolVersion": "3",
            "Voter": true,
            "LastIndex": view.index().0,
        }],
        "Index": 0,
    })))
}
