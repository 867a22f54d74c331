//! `/v1/session/`: what locks hang on.
//!
//! Source: Consul, "Session HTTP API"; stories 11 and 42.

use super::blocking::{Body, Found, MOST_HOLDS, Scene};
use super::error::{Problem, Stop};
use super::json::{Place, float, members};
use super::shapes::SessionShape;
use crate::answer::{Answer, json};
use crate::call::Call;
use catalog::{Command, NotHeld, Watch};
use lang::duration;
use lang::json::Json;
use model::{Behavior, CheckId, Nanos, NodeName, Row, ServiceCheck, Session, SessionId, Text};
use seams::{Consistency, Doors};
use serde_json::json as value;
use std::sync::Arc;
use uuid::Uuid;

/// The check that every agent's node has.
const LIVENESS: &str = "serfHealth";

const LONGEST_TTL: Nanos = Nanos::seconds(86_400);

type Sessions<'v> = Vec<&'v Arc<Row<Session>>>;

fn found(scene: &Scene, keep: impl Fn(&Session) -> bool) -> Result<Found, Stop> {
    let all = scene.view.sessions(scene.tenant())?;
    let rows: Sessions = all.value.into_iter().filter(|row| keep(row)).collect();
    let asked = rows.len();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| scene.auth.session_read(row.node.as_str()))
        .map(|row| SessionShape(row))
        .collect();
    let filtered = rows.len() < asked;
    let watches = vec![Watch::Sessions(scene.tenant())];
    Ok(Found { body: Body::Json(json(&rows)), index: all.index, watches, filtered })
}

/// `GET list`.
pub fn list(scene: &Scene) -> Result<Found, Stop> {
    found(scene, |_| true)
}

/// `GET node/:node`.
pub fn of_node(scene: &Scene) -> Result<Found, Stop> {
    let node = NodeName::new(scene.name("node name")?).fold();
    found(scene, |session| session.node.fold() == node)
}

/// `GET info/:id`; what is no session is an empty list.
pub fn info(scene: &Scene) -> Result<Found, Stop> {
    let id = scene.name("session")?.parse::<SessionId>().ok();
    found(scene, |session| Some(session.id) == id)
}

/// `PUT create`.
pub async fn create(mut call: Call) -> Result<Answer, Problem> {
    let body = call.body().await?;
    let mut session = Session {
        id: Uuid::new_v4(),
        node: call.context.identity.node_name.clone(),
        lock_delay: Nanos::seconds(15),
        node_checks: vec![CheckId::from(LIVENESS)],
        ..Session::default()
    };
    if !body.is_empty() {
        let json = lang::json::parse(&body).map_err(|error| Problem::Decode(error.to_string()))?;
        read(&json, &mut session)?;
    }
    let doors = call.doors()?;
    if session.node.is_empty() {
        return Err(Problem::invalid("Must provide Node"));
    }
    session.ttl_nanos = ttl(&session.ttl, call.context.settings.session_ttl_min)?;
    let authorizer = doors.reader.view().authorizer(&call.token);
    let node = session.node.as_str();
    Problem::unless(authorizer.session_write(node), "session:write", node)?;
    let id = session.id;
    let commands = vec![Command::CreateSession(Box::new(session))];
    call.write(&doors, &authorizer, commands, "apply failed: ").await?;
    Ok(Answer::json(&value!({ "ID": id.to_string() })))
}

const WHOLE: &str = "struct { LockDelay interface {}; *structs.Alias }";

fn read(json: &Json, session: &mut Session) -> Result<(), Problem> {
    let place = Place::root("").inside("Alias", "");
    let (mut node, mut behavior) = (None, Text::default());
    members(json, WHOLE, false, &mut |key, value| {
        match key {
            "name" => place.text("Name", value, &mut session.name)?,
            "node" => place.text("Node", value, node.get_or_insert_default())?,
            "ttl" => place.text("TTL", value, &mut session.ttl)?,
            "behavior" => place.text("Behavior", value, &mut behavior)?,
            "lockdelay" => lock_delay(value, &mut session.lock_delay)?,
            "nodechecks" | "checks" => {
                if let Some(checks) = ids(&place, value)? {
                    session.node_checks = checks;
                }
            }
            "servicechecks" => service_checks(&place, value, &mut session.service_checks)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if let Some(node) = node {
        session.node = NodeName::new(node);
    }
    session.behavior = match behavior.as_str() {
        "" | "release" => Behavior::Release,
        "delete" => Behavior::Delete,
        other => return Err(Problem::Invalid(format!("Invalid Behavior setting '{other}'"))),
    };
    Ok(())
}

/// A duration; a number below 1000 is seconds, else nanoseconds.
fn lock_delay(json: &Json, out: &mut Nanos) -> Result<(), Problem> {
    match json {
        Json::String(text) => {
            let nanos =
                duration::parse(text).map_err(|error| Problem::Decode(error.to_string()))?;
            *out = Nanos(nanos);
        }
        Json::Number(text) => {
            let number = float(text);
            *out = if number < 1000 {
                Nanos(number.saturating_mul(1_000_000_000))
            } else {
                Nanos(number)
            };
        }
        _ => {}
    }
    Ok(())
}

fn ids(place: &Place, json: &Json) -> Result<Option<Vec<CheckId>>, Problem> {
    if *json == Json::Null {
        return Ok(None);
    }
    let mut texts = Vec::new();
    place.texts("NodeChecks", json, &mut texts)?;
    Ok(Some(texts.into_iter().map(CheckId::new).collect()))
}

fn service_checks(
    place: &Place,
    json: &Json,
    out: &mut Option<Vec<ServiceCheck>>,
) -> Result<(), Problem> {
    let wanted = "[]structs.ServiceCheck";
    let Some(items) = place.items("ServiceChecks", json, wanted)? else { return Ok(()) };
    let inside = place.inside("ServiceChecks", "ServiceCheck");
    let mut checks = Vec::new();
    for item in items {
        let (mut id, mut namespace) = (Text::default(), Text::default());
        members(item, "structs.ServiceCheck", false, &mut |key, value| {
            match key {
                "id" => inside.text("ID", value, &mut id)?,
                "namespace" => inside.text("Namespace", value, &mut namespace)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        checks.push(ServiceCheck { id: CheckId::new(id), namespace });
    }
    *out = Some(checks);
    Ok(())
}

/// The time to live in nanoseconds; 0 for none.
fn ttl(text: &str, shortest: Nanos) -> Result<Nanos, Problem> {
    if text.is_empty() {
        return Ok(Nanos(0));
    }
    let nanos = duration::parse(text)
        .map_err(|error| Problem::Invalid(format!("Session TTL '{text}' invalid: {error}")))?;
    if nanos != 0 && (nanos < shortest.0 || nanos > LONGEST_TTL.0) {
        let bounds = (duration::format(shortest.0), duration::format(LONGEST_TTL.0));
        return Err(Problem::Invalid(format!(
            "Invalid Session TTL '{nanos}', must be between [{}={}]",
            bounds.0, bounds.1
        )));
    }
    Ok(Nanos(nanos))
}

fn named(call: &Call) -> Result<String, Problem> {
    match call.name() {
        id if id.is_empty() => Err(Problem::bad("Missing session")),
        id => Ok(id),
    }
}

/// The node of a session in a current view; what is not held here is obtained first, since nobody's
/// right can be asked for a row that is not seen.
async fn node_of(call: &Call, doors: &Doors, id: SessionId) -> Result<Option<NodeName>, Problem> {
    let tenant = call.authorizer().tenant();
    let mut view = doors.reader.current(Consistency::Default).await?;
    for _ in 0..MOST_HOLDS {
        let missing = match view.session(tenant, id) {
            Ok(found) => return Ok(found.value.map(|row| row.node.clone())),
            Err(NotHeld(interest)) => interest,
        };
        view = doors.reader.hold(missing, call.context.settings.hold_limit).await?;
    }
    Err(Problem::invalid("the session could not be read"))
}

/// `PUT destroy/:id`; true also where there is none, and then nothing is written.
pub async fn destroy(call: Call) -> Result<Answer, Problem> {
    let id = named(&call)?;
    let doors = call.doors()?;
    let Ok(id) = id.parse::<SessionId>() else { return Ok(Answer::json(&true)) };
    let Some(node) = node_of(&call, &doors, id).await? else { return Ok(Answer::json(&true)) };
    let authorizer = doors.reader.view().authorizer(&call.token);
    let node = node.as_str();
    Problem::unless(authorizer.session_write(node), "session:write", node)?;
    call.write(&doors, &authorizer, vec![Command::DestroySession(id)], "").await?;
    Ok(Answer::json(&true))
}

/// `PUT renew/:id`.
pub async fn renew(call: Call) -> Result<Answer, Problem> {
    let text = named(&call)?;
    let doors = call.doors()?;
    let absent = || Problem::Absent(format!("Session id '{text}' not found"));
    let id = text.parse::<SessionId>().map_err(|_| absent())?;
    let node = node_of(&call, &doors, id).await?.ok_or_else(absent)?;
    let authorizer = doors.reader.view().authorizer(&call.token);
    let node = node.as_str();
    Problem::unless(authorizer.session_write(node), "session:write", node)?;
    match doors.sessions.renew(id).await? {
        Some(row) => Ok(Answer::json(&[SessionShape(&row)])),
        None => Err(absent()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<i64, &str>) {
        let read = ttl(text, Nanos::seconds(10)).map(|nanos| nanos.0);
        let read = read.map_err(|problem| match problem {
            Problem::Invalid(text) => text,
            other => panic!("{other:?}"),
        });
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_time_to_live_is_within_bounds_or_none() {
        check("", Ok(0));
        check("0s", Ok(0));
        check("10s", Ok(10_000_000_000));
        check("24h", Ok(86_400_000_000_000));
        let bounds = "must be between [10s=24h0m0s]";
        check("5s", Err(&format!("Invalid Session TTL '5000000000', {bounds}")));
        check("-1s", Err(&format!("Invalid Session TTL '-1000000000', {bounds}")));
        check("24h1s", Err(&format!("Invalid Session TTL '86401000000000', {bounds}")));
        check("x", Err("Session TTL 'x' invalid: time: invalid duration \"x\""));
    }

    #[test]
    fn a_small_number_as_lock_delay_is_seconds() {
        for (text, nanos) in [("10", 10_000_000_000), ("999", 999_000_000_000), ("1000", 1000)] {
            let mut delay = Nanos(0);
            lock_delay(&Json::Number(text.to_owned()), &mut delay).unwrap();
            assert_eq!(delay.0, nanos, "{text}");
        }
    }
}
