//! `GET /v1/agent/service/:id`, and waiting for its definition to change.
//!
//! An agent's own state has no index, so what a client saw is named by a hash of it. Proxies wait here
//! for their configuration. Source: Consul, "HTTP API: features", hash-based blocking queries.

use super::blocking::jitter;
use super::error::Problem;
use super::params;
use super::shapes::AgentService;
use crate::answer::{Answer, json};
use crate::call::Call;
use http::header::{HeaderName, HeaderValue};
use model::{Instance, InstanceId};
use seams::ReadError;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");

/// How long a waiter rests that was woken for nothing. An agent whose checks report all the time
/// would wake everybody each time; whoever is woken by his own change does not rest.
const REST: Duration = Duration::from_millis(20);

/// `GET service/:id`; with `hash` it waits while the definition has that hash.
pub async fn service(call: Call) -> Result<Answer, Problem> {
    let wait = params::wait(&call)?;
    let deadline = Instant::now() + wait + jitter(wait);
    let mut seen = None;
    loop {
        let changed = call.context.registrar.changed();
        if let Some(answer) = news(&call, &mut seen)? {
            return Ok(answer);
        }
        tokio::select! {
            () = changed => {}
            () = sleep_until(deadline) => {
                let instance = allowed(&call)?;
                return Ok(answer(&call, &instance, &hash_of(&call, &instance)));
            }
            () = call.ending.cancelled() => return Err(ReadError::Stopped.into()),
        }
        if let Some(answer) = news(&call, &mut seen)? {
            return Ok(answer);
        }
        sleep(REST).await;
    }
}

/// The answer, if the definition has another hash than the client knows. What was seen to have that
/// hash is compared first: an agent changes often, one definition does not.
fn news(call: &Call, seen: &mut Option<Instance>) -> Result<Option<Answer>, Problem> {
    let instance = allowed(call)?;
    if seen.as_ref() == Some(&instance) {
        return Ok(None);
    }
    let hash = hash_of(call, &instance);
    if call.query.given("hash") != Some(hash.as_str()) {
        return Ok(Some(answer(call, &instance, &hash)));
    }
    *seen = Some(instance);
    Ok(None)
}

/// The instance that the call names, if the caller may see it.
fn allowed(call: &Call) -> Result<Instance, Problem> {
    let id = call.name();
    let instance = call.context.registrar.instance(&InstanceId::from(id.as_str()));
    let name = instance.as_ref().map_or(id.as_str(), |instance| instance.service.as_str());
    Problem::unless(call.authorizer().service_read(name), "service:read", name)?;
    instance.ok_or_else(|| Problem::Absent(format!("unknown service ID: {id}")))
}

fn shape<'c>(call: &'c Call, instance: &'c Instance, hash: Option<&'c str>) -> AgentService<'c> {
    AgentService { instance, datacenter: &call.context.identity.datacenter, hash }
}

fn answer(call: &Call, instance: &Instance, hash: &str) -> Answer {
    let header = HeaderValue::from_str(hash).expect("hexadecimal digits are a header");
    Answer::json(&shape(call, instance, Some(hash))).with(CONTENT_HASH, header)
}

/// A short hash that differs when the answer does: FNV-1a. Whoever forges one fools only himself.
fn hash_of(call: &Call, instance: &Instance) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let shown = json(&shape(call, instance, None));
    format!("{:016x}", shown.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
