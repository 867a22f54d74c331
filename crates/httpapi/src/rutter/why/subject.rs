//! What a name stands for: a service, a node, a name of the zone.

use super::OfService;
use super::asked::Asked;
use crate::consul::blocking::Scene;
use crate::consul::error::Stop;
use catalog::{NodeKey, ServiceKey};
use model::{NodeName, ServiceName};
use seams::Meaning;

/// What is explained.
pub enum Subject {
    /// A service; perhaps one that is not there.
    Service(OfService),
    /// A node.
    Node {
        /// Its name.
        node: String,
        /// The name that was typed, where it was one of DNS.
        name: Option<String>,
    },
    /// Another name of the zone.
    Name(String),
}

/// What the name stands for: a name of DNS, a service, `SERVICE@NODE`, `@NODE`, a node. What is none
/// of these is a service that is not there.
pub fn of(scene: &Scene, asked: &Asked) -> Result<Subject, Stop> {
    let names = scene.call.context.names.as_ref();
    if let Some(meaning) = names.and_then(|names| names.meaning(&asked.name)) {
        return Ok(of_meaning(meaning, asked));
    }
    let service = |name: &str, node: Option<String>| {
        Subject::Service(OfService {
            service: name.to_owned(),
            tag: asked.tag.clone(),
            node,
            name: None,
        })
    };
    let node = |name: &str| Subject::Node { node: name.to_owned(), name: None };
    if is_service(scene, &asked.name)? {
        return Ok(service(&asked.name, asked.node.clone()));
    }
    match asked.name.rsplit_once('@') {
        Some(("", on)) => return Ok(node(on)),
        Some((name, on)) => return Ok(service(name, Some(on.to_owned()))),
        None => {}
    }
    let key = NodeKey::new(scene.tenant(), &NodeName::new(asked.name.as_str()));
    if asked.node.is_none() && asked.tag.is_none() && scene.view.node(&key)?.value.is_some() {
        return Ok(node(&asked.name));
    }
    Ok(service(&asked.name, asked.node.clone()))
}

fn of_meaning(meaning: Meaning, asked: &Asked) -> Subject {
    let name = Some(asked.name.clone());
    match meaning {
        Meaning::Service { service, tag, .. } => {
            let tag = Some(tag).filter(|tag| !tag.is_empty());
            Subject::Service(OfService { service, tag, node: asked.node.clone(), name })
        }
        Meaning::Node { node, .. } => Subject::Node { node, name },
        Meaning::Other => Subject::Name(asked.name.clone()),
    }
}

fn is_service(scene: &Scene, name: &str) -> Result<bool, Stop> {
    let key = ServiceKey::new(scene.tenant(), &ServiceName::new(name));
    Ok(scene.view.service_mark(&key)?.count > 0)
}
