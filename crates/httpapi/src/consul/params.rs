//! The parameters that many endpoints share.
//!
//! Source: Consul, "HTTP API: features"; the order of the refusals is the order in which Consul looks.

use super::error::Problem;
use crate::call::Call;
use crate::target::Query;
use catalog::Token;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use lang::{duration, number, quote};
use model::{Folded, TextMap};
use seams::Consistency;
use std::time::Duration;

/// Which of the parameters that only Consul Enterprise has an endpoint reads, to refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enterprise {
    /// Neither is read.
    Unread,
    /// `partition` is refused, `ns` is not read.
    Partition,
    /// Both are refused.
    Both,
}

impl Enterprise {
    /// Refuses what is given and cannot be honoured; an empty value passes.
    pub fn check(self, query: &Query) -> Result<(), Problem> {
        let refused = |name: &str, what: &str| {
            let text = format!(
                "Invalid query parameter: \"{name}\" - {what} are a Consul Enterprise feature"
            );
            Err(Problem::Bad(text))
        };
        if self != Enterprise::Unread && query.given("partition").is_some() {
            return refused("partition", "Partitions");
        }
        if self == Enterprise::Both && query.given("ns").is_some() {
            return refused("ns", "Namespaces");
        }
        Ok(())
    }
}

/// How a read is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// How fresh; `None` for whatever this node holds.
    pub consistency: Option<Consistency>,
    /// How far behind the leader this node may be, if whatever it holds will do; further behind, the
    /// leader is asked. `None` for no limit.
    pub most_behind: Option<Duration>,
    /// Wait for something newer than this; 0 does not wait.
    pub index: u64,
    /// How long to wait at most.
    pub wait: Duration,
    /// Whether an answer from a cache would do.
    pub cached: bool,
}

impl ReadOptions {
    /// Reads the options of a call.
    pub fn parse(call: &Call) -> Result<ReadOptions, Problem> {
        let query = &call.query;
        let (index, wait) = blocking(query)?;
        check_cache_control(&call.request.head.headers)?;
        let mut stale = query.has("stale");
        let consistent = query.has("consistent");
        let cached = query.has("cached") && call.context.settings.use_cache;
        let mut most_behind = max_stale(query)?;
        stale |= most_behind.is_some();
        let conflict =
            |what| format!("Cannot specify ?{what} with ?consistent, conflicting semantics.");
        if stale && consistent {
            return Err(Problem::Bad(conflict("stale")));
        }
        if cached && consistent {
            return Err(Problem::Bad(conflict("cached")));
        }
        if !(stale || consistent || cached || query.has("leader")) {
            most_behind = discovery_max_stale(call);
            stale = most_behind.is_some();
        }
        let consistency = match (stale, consistent) {
            (true, _) => None,
            (false, true) => Some(Consistency::Consistent),
            (false, false) => Some(Consistency::Default),
        };
        let wait = limited(call, wait);
        Ok(ReadOptions { consistency, most_behind, index, wait, cached })
    }

    /// Consul's word for the consistency.
    pub fn word(&self) -> &'static str {
        match self.consistency {
            None => "stale",
            Some(Consistency::Consistent) => "consistent",
            Some(Consistency::Default) => "leader",
        }
    }
}

/// `max_stale`; what is not positive is none.
fn max_stale(query: &Query) -> Result<Option<Duration>, Problem> {
    let Some(text) = query.given("max_stale") else { return Ok(None) };
    let bad = |_| Problem::Bad(format!("Invalid max_stale value {}", quote(text)));
    let nanos = u64::try_from(duration::parse(text).map_err(bad)?).unwrap_or_default();
    Ok(Some(Duration::from_nanos(nanos)).filter(|most| !most.is_zero()))
}

/// The same for reads of the catalog and of health that do not say, where it is configured.
fn discovery_max_stale(call: &Call) -> Option<Duration> {
    let path = call.request.head.uri.path();
    let discovers = path.starts_with("/v1/catalog/") || path.starts_with("/v1/health/");
    let most = call.context.settings.discovery_max_stale;
    (discovers && !most.is_zero()).then_some(most)
}

/// How long a call waits that has no index to wait for; one that is given is read all the same.
pub fn wait(call: &Call) -> Result<Duration, Problem> {
    let (_, wait) = blocking(&call.query)?;
    Ok(limited(call, wait))
}

fn limited(call: &Call, wait: Option<Duration>) -> Duration {
    let settings = &call.context.settings;
    match wait {
        Some(wait) => wait.min(settings.max_query_time),
        None => settings.default_query_time,
    }
}

/// `index` and `wait`; a wait that is not positive counts as none.
pub fn blocking(query: &Query) -> Result<(u64, Option<Duration>), Problem> {
    let wait = match query.given("wait") {
        None => None,
        Some(text) => {
            let nanos = duration::parse(text).map_err(|_| Problem::bad("Invalid wait time"))?;
            u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
        }
    };
    let index = match query.given("index") {
        None => 0,
        Some(text) => number::parse_uint(text).map_err(|_| Problem::bad("Invalid index"))?,
    };
    Ok((index, wait))
}

fn check_cache_control(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    for part in value.to_ascii_lowercase().split(',') {
        let (name, seconds) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        if matches!(name, "max-age" | "stale-if-error") && seconds.parse::<i64>().is_err() {
            return Err(Problem::bad("Invalid Cache-Control header."));
        }
    }
    Ok(())
}

/// The token of a request: `?token`, then `X-Consul-Token`, then a bearer.
pub fn token(query: &Query, headers: &HeaderMap) -> Token {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = query.given("token") {
        return Token::new(token);
    }
    if let Some(token) = header("x-consul-token").filter(|token| !token.is_empty()) {
        return Token::new(token);
    }
    let bearer = header(AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Token::new(token.trim()),
        _ => Token::default(),
    }
}

/// The pairs of `node-meta`: all must match; of one key given twice the last counts.
pub fn node_meta(query: &Query) -> TextMap {
    let pairs = query.all("node-meta").filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once(':').unwrap_or((pair, "")))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// Whether a node has all of these pairs.
pub fn has_meta(meta: Option<&TextMap>, wanted: &TextMap) -> bool {
    wanted.iter().all(|(key, value)| meta.and_then(|meta| meta.get(key)) == Some(value))
}

/// The tags of `tag`, folded; all must match, and an empty one matches nothing.
pub fn tags(query: &Query) -> Vec<Folded> {
    query.all("tag").map(Folded::new).collect()
}

/// `passing`: true by presence and when empty, else a boolean.
pub fn passing(query: &Query) -> Result<bool, Problem> {
    match query.first("passing") {
        None => Ok(false),
        Some("") => Ok(true),
        Some(text) => {
            number::parse_bool(text).map_err(|_| Problem::bad("Invalid value for ?passing"))
        }
    }
}
