//! `/v1/agent/health/service/`: how this node's own instances are, for whoever asks beside them.
//!
//! Load balancers and systemd units look at the status alone: 200, 429, 503, or 404 for what is not
//! registered here. Source: Consul, "Service HTTP API", local service health; recorded answers.

use super::error::Problem;
use super::shapes::{AgentService, LocalCheck};
use crate::answer::{Answer, Content, json};
use crate::call::Call;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use model::{Check, Instance, InstanceId, Status};
use serde::Serialize;

/// Checks of this id and of ids that begin like this mean that a person took something out.
pub const NODE_MAINTENANCE: &str = "_node_maintenance";
/// Followed by the id of the instance.
pub const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// What the checks of an instance and of its node amount to; the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aggregate {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Aggregate {
    fn of(checks: &[Check]) -> Aggregate {
        let each = checks.iter().map(|check| {
            let id = check.id.as_str();
            match check.status {
                _ if id == NODE_MAINTENANCE || id.starts_with(SERVICE_MAINTENANCE) => {
                    Aggregate::Maintenance
                }
                Status::Passing => Aggregate::Passing,
                Status::Warning => Aggregate::Warning,
                Status::Critical | Status::Other(_) => Aggregate::Critical,
            }
        });
        each.max().unwrap_or(Aggregate::Passing)
    }

    fn word(self) -> &'static str {
        match self {
            Aggregate::Passing => "passing",
            Aggregate::Warning => "warning",
            Aggregate::Critical => "critical",
            Aggregate::Maintenance => "maintenance",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Aggregate::Passing => StatusCode::OK,
            Aggregate::Warning => StatusCode::TOO_MANY_REQUESTS,
            Aggregate::Critical | Aggregate::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An instance with what counts for it.
struct Standing {
    instance: Instance,
    checks: Vec<Check>,
    aggregate: Aggregate,
}

impl Standing {
    fn of(call: &Call, instance: Instance) -> Standing {
        let registrar = &call.context.registrar;
        let mut checks = registrar.checks_of(&InstanceId::default());
        checks.extend(registrar.checks_of(&instance.id));
        let aggregate = Aggregate::of(&checks);
        Standing { instance, checks, aggregate }
    }

    fn shape<'s>(&'s self, call: &'s Call) -> Shape<'s> {
        let datacenter = &call.context.identity.datacenter;
        Shape {
            aggregated_status: self.aggregate.word(),
            service: Some(AgentService { instance: &self.instance, datacenter, hash: None }),
            checks: Some(self.checks.iter().map(LocalCheck).collect()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shape<'s> {
    aggregated_status: &'static str,
    service: Option<AgentService<'s>>,
    checks: Option<Vec<LocalCheck<'s>>>,
}

/// `GET id/:id`.
pub async fn by_id(call: Call) -> Result<Answer, Problem> {
    let id = call.name();
    if id.is_empty() {
        return Err(Problem::invalid("Missing serviceID"));
    }
    let instance = call.context.registrar.instance(&InstanceId::from(id.as_str()));
    let name = instance.as_ref().map_or(id.as_str(), |instance| instance.service.as_str());
    Problem::unless(call.authorizer().service_read(name), "service:read", name)?;
    let Some(instance) = instance else {
        let absent = Shape { aggregated_status: "critical", service: None, checks: None };
        let reason = format!("ServiceId {id} not found");
        return Ok(answer(&call, StatusCode::NOT_FOUND, &reason, &absent));
    };
    let standing = Standing::of(&call, instance);
    let is = standing.aggregate;
    Ok(answer(&call, is.code(), is.word(), &standing.shape(&call)))
}

/// `GET name/:name`: the instances of a service; the worst of them gives the status.
pub async fn by_name(call: Call) -> Result<Answer, Problem> {
    let name = call.name();
    if name.is_empty() {
        return Err(Problem::invalid("Missing service Name"));
    }
    Problem::unless(call.authorizer().service_read(&name), "service:read", &name)?;
    let instances = call.context.registrar.instances_of(&name).into_iter();
    let standings: Vec<Standing> = instances.map(|is| Standing::of(&call, is)).collect();
    let Some(worst) = standings.iter().map(|standing| standing.aggregate).max() else {
        let none: [Shape<'_>; 0] = [];
        let reason = format!("ServiceName {name} Not Found");
        return Ok(answer(&call, StatusCode::NOT_FOUND, &reason, &none[..]));
    };
    let shapes: Vec<Shape<'_>> = standings.iter().map(|standing| standing.shape(&call)).collect();
    Ok(answer(&call, worst.code(), worst.word(), &shapes))
}

/// The reason as text if that is asked, else the shape; in both cases the reason as a header.
fn answer<T: Serialize + ?Sized>(call: &Call, code: StatusCode, reason: &str, shape: &T) -> Answer {
    let content = match wants_text(call.query.given("format"), &call.request.head.headers) {
        true => Content::Typed("text/plain", reason.to_owned().into()),
        false => Content::Json(json(shape)),
    };
    let answer = Answer::new(code, content);
    // An id may hold what no header can.
    match HeaderValue::from_str(reason) {
        Ok(reason) => answer.with(HeaderName::from_static("x-consul-reason"), reason),
        Err(_) => answer,
    }
}

fn wants_text(format: Option<&str>, headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("text/plain")) || format == Some("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(checks: &[(&str, Status)], word: &str, code: u16) {
        let check = |(id, status): &(&str, Status)| Check {
            id: (*id).into(),
            status: status.clone(),
            ..Check::default()
        };
        let is = Aggregate::of(&checks.iter().map(check).collect::<Vec<_>>());
        assert_eq!((is.word(), is.code().as_u16()), (word, code), "{checks:?}");
    }

    #[test]
    fn the_worst_check_counts_and_a_person_before_all() {
        use Status::{Critical, Other, Passing, Warning};
        check(&[], "passing", 200);
        check(&[("a", Passing)], "passing", 200);
        check(&[("a", Passing), ("b", Warning)], "warning", 429);
        check(&[("a", Critical), ("b", Warning)], "critical", 503);
        check(&[("a", Other("odd".into()))], "critical", 503);
        check(&[("a", Critical), (NODE_MAINTENANCE, Critical)], "maintenance", 503);
        check(&[("_service_maintenance:web", Critical), ("a", Passing)], "maintenance", 503);
        check(&[("_node_maintenance_of_mine", Passing)], "passing", 200);
    }
}
