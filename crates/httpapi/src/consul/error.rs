//! The one table from what went wrong to Consul's status and text.
//!
//! Clients match on these texts, so they are Consul's to the letter where they were observed.

use crate::answer::Answer;
use catalog::{NotHeld, Refusal};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use lang::quote;
use net::http::BodyError;
use seams::{ReadError, RegisterError, WriteError};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Something in the request is wrong or lacking; the text says what.
    Bad(String),
    /// The body is not what it should be.
    Decode(String),
    /// The request is well-formed, and Consul answers 500 to what it says.
    Invalid(String),
    /// What the request is about is not there.
    Absent(String),
    /// The feature is switched off, or not there to be switched on.
    Disabled(&'static str),
    /// Consul has it and this version does not.
    Unsupported(String),
    /// The token does not suffice: the right and the name it was asked for.
    Denied {
        /// The right, such as `key:write`.
        right: &'static str,
        /// On what.
        name: String,
    },
    /// A body is larger than this setting allows.
    OverLimit {
        /// Its size.
        size: u64,
        /// The limit.
        limit: usize,
        /// The setting's name within `limits`.
        setting: &'static str,
    },
    /// Something else is too large; the text says what.
    TooLarge(String),
    /// So many large answers are wanted that this one is not made.
    Crowded(Crowded),
    /// No such datacenter.
    NoPathToDatacenter,
    /// The body could not be read.
    Body(BodyError),
    /// The catalog could not be read.
    Read(ReadError),
    /// The catalog could not be written.
    Write(WriteError),
    /// The catalog refused.
    Refused {
        /// What Consul puts before it: nothing, `raft apply failed: ` or `apply failed: `.
        prefix: &'static str,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// The agent refused.
    Register(RegisterError),
}

/// Why a large answer was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// Too many wait for one already.
    TooMany,
    /// It waited too long.
    TooLong,
}

/// Why the evaluation of a read stopped.
pub enum Stop {
    /// Something is not held here; obtain it and evaluate again.
    NotHeld(NotHeld),
    /// The request is refused.
    Problem(Problem),
}

impl From<NotHeld> for Stop {
    fn from(not_held: NotHeld) -> Stop {
        Stop::NotHeld(not_held)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Stop {
        Stop::Problem(problem)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        Problem::Body(error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        Problem::Read(error)
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Problem {
        Problem::Write(error)
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Problem {
        Problem::Register(error)
    }
}

impl Problem {
    /// 400 with this text.
    pub fn bad(text: impl Into<String>) -> Problem {
        Problem::Bad(text.into())
    }

    /// 500 with this text.
    pub fn invalid(text: impl Into<String>) -> Problem {
        Problem::Invalid(text.into())
    }

    /// The token lacks a right.
    pub fn denied(right: &'static str, name: &str) -> Problem {
        Problem::Denied { right, name: name.to_owned() }
    }

    /// Passes if the right is there.
    pub fn unless(allowed: bool, right: &'static str, name: &str) -> Result<(), Problem> {
        if allowed { Ok(()) } else { Err(Problem::denied(right, name)) }
    }

    /// The text alone.
    pub fn text(&self) -> String {
        self.status_and_text().1
    }

    /// The status and text.
    pub fn answer(&self) -> Answer {
        let (status, text) = self.status_and_text();
        let answer = Answer::text(status, text);
        match self.passes() {
            true => answer.with(RETRY_AFTER, HeaderValue::from_static("1")),
            false => answer,
        }
    }

    /// Whether it is for a moment only: there is too much to do just now.
    fn passes(&self) -> bool {
        let write = matches!(self, Problem::Write(WriteError::Busy));
        write || matches!(self, Problem::Crowded(_) | Problem::Body(BodyError::Busy))
    }

    fn status_and_text(&self) -> (StatusCode, String) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
        match self {
            Problem::Bad(text) => (BAD, text.clone()),
            Problem::Decode(why) => (BAD, format!("Request decode failed: {why}")),
            Problem::Invalid(text) => (FAILED, text.clone()),
            Problem::Absent(text) => (StatusCode::NOT_FOUND, text.clone()),
            Problem::Disabled(what) => {
                (StatusCode::UNAUTHORIZED, format!("{what} support disabled"))
            }
            Problem::Unsupported(text) => (StatusCode::NOT_IMPLEMENTED, text.clone()),
            Problem::Denied { right, name } => (
                StatusCode::FORBIDDEN,
                format!("Permission denied: token lacks permission '{right}' on {}", quote(name)),
            ),
            Problem::TooLarge(text) => (StatusCode::PAYLOAD_TOO_LARGE, text.clone()),
            Problem::OverLimit { size, limit, setting } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "Request body({size} bytes) too large, max size: {limit} bytes. See \
                     https://www.consul.io/docs/agent/config/config-files#{setting}."
                ),
            ),
            Problem::Crowded(why) => {
                let why = match why {
                    Crowded::TooMany => "too many requests wait",
                    Crowded::TooLong => "this one waited too long",
                };
                let text = format!("too many large answers are wanted ({why}), try again later");
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Problem::Write(error @ WriteError::Busy) => {
                (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            Problem::NoPathToDatacenter => (FAILED, "No path to datacenter".to_owned()),
            Problem::Body(error) => body_error(error),
            Problem::Read(ReadError::NoLeader) | Problem::Write(WriteError::NoLeader) => {
                (FAILED, "No cluster leader".to_owned())
            }
            Problem::Read(error) => (FAILED, error.to_string()),
            Problem::Write(error @ WriteError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            Problem::Write(error) => (FAILED, error.to_string()),
            Problem::Refused { prefix, refusal } => {
                (FAILED, format!("{prefix}{}", refusal_text(refusal)))
            }
            Problem::Register(error) => register_error(error),
        }
    }
}

/// Complaints as Go's libraries list several errors.
pub fn several(complaints: &[String]) -> String {
    let count = match complaints.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    let lines: String = complaints.iter().map(|line| format!("\t* {line}\n")).collect();
    format!("{count} occurred:\n{lines}\n")
}

fn body_error(error: &BodyError) -> (StatusCode, String) {
    let status = match error {
        BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Busy => StatusCode::TOO_MANY_REQUESTS,
        BodyError::Cut => StatusCode::BAD_REQUEST,
    };
    (status, error.to_string())
}

fn register_error(error: &RegisterError) -> (StatusCode, String) {
    const ABSENT: StatusCode = StatusCode::NOT_FOUND;
    const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    match error {
        RegisterError::UnknownInstance(id) => (
            ABSENT,
            format!(
                "Unknown service ID {}. Ensure that the service ID is passed, not the service \
                 name.",
                quote(id)
            ),
        ),
        RegisterError::UnknownCheck(id) => (
            ABSENT,
            format!(
                "Unknown check ID {}. Ensure that the check ID is passed, not the check name.",
                quote(id)
            ),
        ),
        RegisterError::NotTtl(id) => {
            (FAILED, format!("CheckID {} does not have associated TTL", quote(id)))
        }
        RegisterError::ScriptsDisabled => (
            FAILED,
            "Scripts are disabled on this agent from remote calls; to enable, configure \
             'enable_script_checks' to true"
                .to_owned(),
        ),
        RegisterError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        RegisterError::UnsupportedCheck("OSService") => (FAILED, "not implemented".to_owned()),
        RegisterError::UnsupportedCheck(_)
        | RegisterError::Store(_)
        | RegisterError::Unknown(_) => (FAILED, error.to_string()),
    }
}

/// What Consul says where the catalog refuses.
pub fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NodeNameReserved { id, name, renames, holder, holder_name, address } => {
            let renamed = renames.as_ref().map(|to| format!(" ({to})")).unwrap_or_default();
            let holder = holder.map(|id| id.to_string()).unwrap_or_default();
            format!(
                "failed inserting node: Error while renaming Node ID: \"{id}\"{renamed}: Node name \
                 {name} is reserved by node {holder} with name {holder_name} ({address})"
            )
        }
        Refusal::MissingNode(_) => "failed inserting service: missing node registration".to_owned(),
        Refusal::MissingInstance { instance, check } => {
            format!("Unknown service ID '{instance}' for check ID '{check}'")
        }
        Refusal::SessionWithoutNode => "Missing node registration".to_owned(),
        Refusal::SessionWithoutCheck(check) => format!("Missing check '{check}' registration"),
        Refusal::SessionCheckCritical(check) => format!("Check '{check}' is in critical state"),
        Refusal::InvalidSession(id) => format!("invalid session \"{id}\""),
        Refusal::OwnedByOther { .. } | Refusal::TooLateToKnow | Refusal::Failed(_) => {
            refusal.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CheckId, NodeName};
    use uuid::Uuid;

    #[track_caller]
    fn check(problem: impl Into<Problem>, status: u16, text: &str) {
        let (got, said) = problem.into().status_and_text();
        assert_eq!((got.as_u16(), said.as_str()), (status, text));
    }

    fn refused(prefix: &'static str, refusal: Refusal) -> Problem {
        Problem::Refused { prefix, refusal: Box::new(refusal) }
    }

    #[test]
    fn every_problem_has_consuls_status_and_text() {
        let id = Uuid::nil();
        check(Problem::Decode("EOF".into()), 400, "Request decode failed: EOF");
        check(
            Problem::denied("key:read", "a\"b"),
            403,
            r#"Permission denied: token lacks permission 'key:read' on "a\"b""#,
        );
        check(Problem::Disabled("ACL"), 401, "ACL support disabled");
        check(Problem::Unsupported("x".into()), 501, "x");
        check(ReadError::NoLeader, 500, "No cluster leader");
        check(WriteError::NoLeader, 500, "No cluster leader");
        check(Problem::NoPathToDatacenter, 500, "No path to datacenter");
        check(
            Problem::Crowded(Crowded::TooMany),
            503,
            "too many large answers are wanted (too many requests wait), try again later",
        );
        check(BodyError::TooSlow, 408, "request body did not come in time");
        check(
            refused("raft apply failed: ", Refusal::InvalidSession(id)),
            500,
            "raft apply failed: invalid session \"00000000-0000-0000-0000-000000000000\"",
        );
        check(
            refused("apply failed: ", Refusal::SessionCheckCritical(CheckId::from("c"))),
            500,
            "apply failed: Check 'c' is in critical state",
        );
        check(
            refused("", Refusal::TooLateToKnow),
            500,
            "whether this request was applied is not known any more; read before repeating it",
        );
        check(
            refused(
                "",
                Refusal::NodeNameReserved {
                    id,
                    name: NodeName::from("n1"),
                    renames: Some("10.0.0.2".into()),
                    holder: None,
                    holder_name: NodeName::from("N1"),
                    address: "10.0.0.1".into(),
                },
            ),
            500,
            "failed inserting node: Error while renaming Node ID: \
             \"00000000-0000-0000-0000-000000000000\" (10.0.0.2): Node name n1 is reserved by node  \
             with name N1 (10.0.0.1)",
        );
        check(
            RegisterError::UnknownCheck("x".into()),
            404,
            "Unknown check ID \"x\". Ensure that the check ID is passed, not the check name.",
        );
        check(
            RegisterError::TooLarge { size: 9, limit: 8 },
            413,
            "registration of 9 bytes is larger than the 8 bytes that one may have",
        );
        check(
            RegisterError::ScriptsDisabled,
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure \
             'enable_script_checks' to true",
        );
        check(RegisterError::UnsupportedCheck("OSService"), 500, "not implemented");
        check(RegisterError::NotTtl("x".into()), 500, "CheckID \"x\" does not have associated TTL");
    }

    #[test]
    fn several_errors_are_listed_as_go_does() {
        let one = several(&["a".to_owned()]);
        assert_eq!(one, "1 error occurred:\n\t* a\n\n");
        let two = several(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(two, "2 errors occurred:\n\t* a\n\t* b\n\n");
    }
}
