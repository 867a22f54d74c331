//! `/v1/event/`: firing user events, and listing those that reached this agent.
//!
//! Whom an event is meant for is told by regular expressions, which each agent tries on itself. They
//! are compiled before the event is told, since Consul's texts about them are what scripts see.
//! Source: Consul, "Event HTTP API"; story 27.

use super::error::Problem;
use super::{blocking, params};
use crate::answer::Answer;
use crate::aside::Insists;
use crate::call::Call;
use crate::events::{Event, Events, index};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderName, HeaderValue};
use lang::filter::Pattern;
use model::Instance;
use seams::ReadError;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// The version of events, which never changed.
const VERSION: u64 = 1;

/// The most bytes of an event as it would be told, filters included; Serf's limit.
const LARGEST: usize = 512;

/// `PUT fire/:name`; POST too, which Spring sends.
pub async fn fire(mut call: Call) -> Result<Answer, Problem> {
    let name = call.name();
    if name.is_empty() {
        return Err(Problem::bad("Missing name"));
    }
    let given = |name: &str| call.query.first(name).unwrap_or_default().to_owned();
    let (node, service, tag) = (given("node"), given("service"), given("tag"));
    let payload = call.body().await?;
    let event = Event { id: Uuid::new_v4(), name, payload, node, service, tag, time: 0 };
    let filters = Filters::of(&event)?;
    let doors = call.doors()?;
    let authorizer = doors.reader.view().authorizer(&call.token);
    Problem::unless(authorizer.event_write(&event.name), "event:write", &event.name)?;
    check_size(&event)?;
    let node = call.context.identity.node_name.as_str();
    let meant_for_us = filters.match_node(node, &call.context.registrar.instances());
    let shown = shape(&event);
    call.events.fire(event, meant_for_us);
    Ok(Answer::json(&shown))
}

/// `GET list`: the newest events, oldest first; blocks while the newest is the one of the index.
pub async fn list(call: Call) -> Result<Answer, Problem> {
    let (known, wait) = params::blocking(&call.query)?;
    let settings = &call.context.settings;
    let wait = wait.map_or(settings.default_query_time, |wait| wait.min(settings.max_query_time));
    let deadline = Instant::now() + wait + blocking::jitter(wait);
    let mut changes = call.events.subscribe();
    let mut insists = Insists::No;
    loop {
        changes.borrow_and_update();
        let events = seen(&call, &call.events);
        let index = index(events.last().map(|event| &**event));
        if known == 0 || index != known || Instant::now() >= deadline {
            let size = events.iter().map(|event| told_size(event)).sum();
            return call.aside.make(call.class, size, insists, || listed(&events, index)).await;
        }
        insists = Insists::AWhile;
        tokio::select! {
            changed = changes.changed() => changed.map_err(|_| ReadError::Stopped)?,
            () = sleep_until(deadline) => {}
            () = call.ending.cancelled() => return Err(ReadError::Stopped.into()),
        }
    }
}

/// The events of the name asked for that the caller may see.
fn seen(call: &Call, events: &Events) -> Vec<Arc<Event>> {
    let authorizer = call.authorizer();
    let mut events = events.list(call.query.given("name"));
    events.retain(|event| authorizer.event_read(&event.name));
    events
}

fn listed(events: &[Arc<Event>], index: u64) -> Answer {
    let shown: Vec<Value> = events.iter().map(|event| shape(event)).collect();
    let name = HeaderName::from_static("x-consul-index");
    Answer::json(&shown).with(name, HeaderValue::from(index))
}

/// The bytes that an event is told in, about.
fn told_size(event: &Event) -> usize {
    const FRAME: usize = 192;
    let filters = event.node.len() + event.service.len() + event.tag.len();
    FRAME + event.name.len() + event.payload.len() / 3 * 4 + filters
}

fn shape(event: &Event) -> Value {
    let payload = (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload));
    json!({
        "ID": event.id.to_string(),
        "Name": event.name,
        "Payload": payload,
        "NodeFilter": event.node,
        "ServiceFilter": event.service,
        "TagFilter": event.tag,
        "Version": VERSION,
        "LTime": event.time,
    })
}

/// Refuses what gossip would not carry, counted as Consul packs it.
fn check_size(event: &Event) -> Result<(), Problem> {
    let size = packed(event);
    let told = |when: &str| {
        Err(Problem::Invalid(format!(
            "error broadcasting event: user event exceeds configured limit of {LARGEST} bytes \
             {when} encoding"
        )))
    };
    if size > LARGEST {
        return told("before");
    }
    if size + ENVELOPE > LARGEST {
        return told("after");
    }
    Ok(())
}

/// What Serf's own message has besides the name and what is in it.
const ENVELOPE: usize = 30;

/// The bytes of an event in msgpack, and of the name that Consul tells it by.
fn packed(event: &Event) -> usize {
    let text = |len: usize| len + if len < 32 { 1 } else { 3 };
    let field = |name: &str, len: usize| match len {
        0 => 0,
        len => text(name.len()) + text(len),
    };
    let id = field("ID", 36);
    let fields = [
        ("n", event.name.len()),
        ("p", event.payload.len()),
        ("nf", event.node.len()),
        ("sf", event.service.len()),
        ("tf", event.tag.len()),
    ];
    let fields: usize = fields.iter().map(|(name, len)| field(name, *len)).sum();
    let map_and_version = 1 + text(1) + 1;
    "consul:event:".len() + event.name.len() + map_and_version + id + fields
}

/// Whom an event is meant for.
struct Filters {
    node: Option<Pattern>,
    service: Option<Pattern>,
    tag: Option<Pattern>,
}

impl Filters {
    fn of(event: &Event) -> Result<Filters, Problem> {
        if !event.tag.is_empty() && event.service.is_empty() {
            return Err(Problem::invalid("Cannot provide tag filter without service filter"));
        }
        Ok(Filters {
            node: filter("node", &event.node)?,
            service: filter("service", &event.service)?,
            tag: filter("tag", &event.tag)?,
        })
    }

    /// Whether they match a node with these instances. Consul tries the instance's id only and
    /// documents the service's name; here either will do.
    fn match_node(&self, node: &str, instances: &[Instance]) -> bool {
        let matches = |filter: &Option<Pattern>, text: &str| {
            filter.as_ref().is_none_or(|filter| filter.is_match(text))
        };
        let offers = |instance: &Instance| {
            let named = [instance.id.as_str(), instance.service.as_str()];
            named.iter().any(|name| matches(&self.service, name))
                && (self.tag.is_none() || instance.tags.iter().any(|tag| matches(&self.tag, tag)))
        };
        matches(&self.node, node) && (self.service.is_none() || instances.iter().any(offers))
    }
}

fn filter(what: &str, pattern: &str) -> Result<Option<Pattern>, Problem> {
    if pattern.is_empty() {
        return Ok(None);
    }
    let refused = |why| Problem::Invalid(format!("Invalid {what} filter: {why}"));
    Pattern::compile(pattern).map(Some).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn event(payload: usize, node: &str, service: &str, tag: &str) -> Event {
        Event {
            id: Uuid::nil(),
            name: "big".to_owned(),
            payload: Bytes::from(vec![b'x'; payload]),
            node: node.to_owned(),
            service: service.to_owned(),
            tag: tag.to_owned(),
            time: 0,
        }
    }

    #[track_caller]
    fn refused<T>(done: Result<T, Problem>, text: &str) {
        assert_eq!(done.err(), Some(Problem::invalid(text)), "{text}");
    }

    #[test]
    fn a_filter_that_is_none_is_refused_in_gos_words() {
        for (pattern, why) in [("[", "missing closing ]: `[`"), ("a(b", "missing closing ): `a(b`")]
        {
            let text = format!("Invalid node filter: error parsing regexp: {why}");
            refused(Filters::of(&event(0, pattern, "", "")), &text);
        }
        refused(
            Filters::of(&event(0, "", "", "x")),
            "Cannot provide tag filter without service filter",
        );
    }

    #[test]
    fn an_event_is_meant_for_whom_all_its_filters_match() {
        let web = Instance {
            id: "w1".into(),
            service: "web".into(),
            tags: Arc::from(["v1".into(), "prod".into()]),
            ..Instance::default()
        };
        for (node, service, tag, expected) in [
            ("", "", "", true),
            ("n", "", "", true),
            ("^n$", "", "", false),
            ("n1", "we", "", true),
            ("", "^w1$", "", true),
            ("", "db", "", false),
            ("", "web", "^v\\d", true),
            ("", "web", "v2", false),
            ("n2", "web", "v1", false),
        ] {
            let filters = Filters::of(&event(0, node, service, tag)).unwrap();
            let meant = filters.match_node("n1", std::slice::from_ref(&web));
            assert_eq!(meant, expected, "{node} {service} {tag}");
        }
    }

    #[test]
    fn an_event_has_a_size_that_its_filters_count_to() {
        let text = |when| {
            format!(
                "error broadcasting event: user event exceeds configured limit of 512 bytes \
                 {when} encoding"
            )
        };
        check_size(&event(300, "", "", "")).unwrap();
        refused(check_size(&event(600, "", "", "")), &text("before"));
        refused(check_size(&event(300, &"n".repeat(200), "", "")), &text("before"));
        refused(check_size(&event(425, "", "", "")), &text("after"));
    }
}
