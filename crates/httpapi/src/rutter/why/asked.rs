//! What is asked about a name: the door, the tag, the kind of question.

use crate::consul::blocking::Scene;
use crate::consul::error::Problem;
use crate::consul::params;
use catalog::why::{path_segment, url_word};

/// A door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// DNS.
    Dns,
    /// HTTP.
    Http,
}

/// The parameters.
#[derive(Debug)]
pub struct Asked {
    /// The name.
    pub name: String,
    /// `node`: only what is on it.
    pub node: Option<String>,
    /// `tag`.
    pub tag: Option<String>,
    /// `passing`: only what passes.
    pub passing: bool,
    /// `edns`: the size that a DNS question offers; `None` for none.
    pub edns: Option<u16>,
    /// `tcp`.
    pub tcp: bool,
    only: Option<Which>,
    qtype: Option<(&'static str, u16)>,
}

/// What `dig` offers unless it is told otherwise.
const USUAL_SIZE: u16 = 1232;

const TYPES: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("ANY", 255),
];

impl Asked {
    /// Reads the parameters.
    pub fn of(scene: &Scene) -> Result<Asked, Problem> {
        let query = &scene.call.query;
        let has_dns = scene.call.context.names.is_some();
        let only = match query.given("as") {
            None if !has_dns => Some(Which::Http),
            None => None,
            Some("dns") if !has_dns => {
                return Err(Problem::bad("Invalid as: this agent does not answer DNS"));
            }
            Some("dns") => Some(Which::Dns),
            Some("http") => Some(Which::Http),
            Some(_) => return Err(Problem::bad("Invalid as: dns or http")),
        };
        let qtype = match query.given("type") {
            None => None,
            Some(name) => {
                let mut known = TYPES.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
                let found = known.next().ok_or_else(|| {
                    let names = TYPES.map(|(known, _)| known).join(", ");
                    Problem::bad(format!("Invalid type: one of {names}"))
                })?;
                Some(*found)
            }
        };
        let edns = match query.given("edns") {
            None => Some(USUAL_SIZE),
            Some(size) => match size.parse() {
                Ok(0) => None,
                Ok(size) => Some(size),
                Err(_) => return Err(Problem::bad("Invalid edns: a number of bytes")),
            },
        };
        let tag = query.given("tag");
        if query.all("tag").any(|other| Some(other) != tag && !other.is_empty()) {
            return Err(Problem::bad("Invalid tag: one at a time"));
        }
        Ok(Asked {
            name: scene.name("name")?,
            node: query.given("node").map(str::to_owned),
            tag: tag.map(str::to_owned),
            passing: params::passing(query)?,
            edns,
            tcp: query.has("tcp"),
            only,
            qtype,
        })
    }

    /// Whether a door is looked at.
    pub fn looks_at(&self, which: Which) -> bool {
        self.only.is_none_or(|only| only == which)
    }

    /// The type that DNS is asked for, by name and number.
    pub fn qtype(&self, usual: &'static str) -> (&'static str, u16) {
        let known = TYPES.iter().find(|(known, _)| *known == usual);
        self.qtype.or(known.copied()).unwrap_or(("ANY", 255))
    }

    /// The request that HTTP would be asked; `None` where no path carries the name.
    pub fn request(&self, service: &str, tag: Option<&str>) -> Option<String> {
        let passing = self.passing.then(|| "passing".to_owned());
        let tag = tag.map(|tag| format!("tag={}", url_word(tag)));
        let query: Vec<String> = passing.into_iter().chain(tag).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let service = path_segment(service)?;
        Some(format!("GET /v1/health/service/{service}{mark}{}", query.join("&")))
    }
}
