//! The `Proxy` block of a service: kept and shown, never understood.
//!
//! Nobody here runs proxies. Whoever does reads the block back under Consul's names of its members,
//! however they were spelt when it came; what is inside of them is left as it is.

use super::error::Problem;
use super::json::Place;
use super::shapes::NO_PROXY;
use lang::json::{Json, parse};
use model::Opaque;
use std::sync::Arc;

/// The members in Consul's spelling.
const NAMES: [&str; 14] = [
    "AccessLogs",
    "Config",
    "DestinationServiceID",
    "DestinationServiceName",
    "EnvoyExtensions",
    "Expose",
    "LocalServiceAddress",
    "LocalServicePort",
    "LocalServiceSocketPath",
    "MeshGateway",
    "Mode",
    "MutualTLSMode",
    "TransparentProxy",
    "Upstreams",
];

/// Reads a block; an empty one is none.
pub fn read(place: &Place, json: &Json) -> Result<Option<Opaque>, Problem> {
    let given = place.object("Proxy", json, "structs.ConnectProxyConfig")?.unwrap_or_default();
    if given.is_empty() {
        return Ok(None);
    }
    let named = given.iter().map(|(key, value)| (named(key), value.clone()));
    Ok(Some(Block(named.collect()).into_opaque()))
}

fn named(key: &str) -> String {
    let plain = key.replace('_', "");
    let known = NAMES.iter().find(|name| name.eq_ignore_ascii_case(&plain));
    known.map_or_else(|| key.to_owned(), |name| (*name).to_owned())
}

/// A block taken apart.
pub struct Block(Vec<(String, Json)>);

impl Block {
    /// The block of a service; an empty one where it has none.
    pub fn of(opaque: Option<&Opaque>) -> Block {
        match opaque.map(|opaque| parse(opaque.0.as_bytes())) {
            Some(Ok(Json::Object(members))) => Block(members),
            _ => Block(Vec::new()),
        }
    }

    /// A member that is a text and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.member(name)? {
            Json::String(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A member as it was given.
    pub fn member(&self, name: &str) -> Option<&Json> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Gives a member this value unless it says something already.
    pub fn default(&mut self, name: &str, value: Json) {
        let says = match self.member(name) {
            None | Some(Json::Null) => false,
            Some(Json::String(text)) => !text.is_empty(),
            Some(Json::Number(text)) => !(text.starts_with('-') || text == "0"),
            Some(_) => true,
        };
        if !says {
            self.0.retain(|(key, _)| key != name);
            self.0.push((name.to_owned(), value));
        }
    }

    /// The block as it is kept, with the members that Consul always shows.
    pub fn into_opaque(mut self) -> Opaque {
        if let Ok(Json::Object(always)) = parse(NO_PROXY.as_bytes()) {
            for (name, value) in always {
                if self.member(&name).is_none() {
                    self.0.push((name, value));
                }
            }
        }
        Opaque(Arc::from(Json::Object(self.0).canonical()))
    }

    /// The block as an agent shows it: a mode that says nothing is left out.
    pub fn for_agent(mut self) -> Opaque {
        self.0.retain(|(key, value)| key != "Mode" || *value != Json::String(String::new()));
        Opaque(Arc::from(Json::Object(self.0).canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, kept: Option<&str>) {
        let json = parse(given.as_bytes()).unwrap();
        let read = read(&Place::root(""), &json).unwrap();
        assert_eq!(read.as_ref().map(|opaque| &*opaque.0), kept, "{given}");
    }

    #[test]
    fn members_are_kept_under_consuls_names() {
        check("null", None);
        check("{}", None);
        check(
            r#"{"destination_service_name":"web","config":{"a_b":1},"own_word":2}"#,
            Some(
                r#"{"Config":{"a_b":1},"DestinationServiceName":"web","Expose":{},"MeshGateway":{},"Mode":"","own_word":2}"#,
            ),
        );
        check(
            r#"{"MODE":"transparent","Expose":{"Checks":true}}"#,
            Some(r#"{"Expose":{"Checks":true},"MeshGateway":{},"Mode":"transparent"}"#),
        );
    }

    #[test]
    fn an_agent_leaves_out_a_mode_that_says_nothing() {
        let shown = |text: &str| Block::of(Some(&Opaque(Arc::from(text)))).for_agent().0;
        assert_eq!(&*shown(r#"{"Expose":{},"Mode":""}"#), r#"{"Expose":{}}"#);
        assert_eq!(&*shown(r#"{"Mode":"direct"}"#), r#"{"Mode":"direct"}"#);
    }
}
