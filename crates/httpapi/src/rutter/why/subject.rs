//! What a name stands for: a service, a node, a name of the zone.

use super::OfService;
use super::asked::Asked;
use crate::consul::blocking::Scene;
use crate::consul::error::{Problem, Stop};
use catalog::{NodeKey, ServiceKey};
use lang::quote;
use model::{Folded, NodeName, ServiceName};
use seams::{Meaning, Names};

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
    /// Another name of the zone, or an address backwards.
    Name {
        /// The name.
        name: String,
        /// The record type that DNS is usually asked for.
        usual: &'static str,
    },
}

/// What the name stands for: a name of DNS, a service, `SERVICE@NODE`, `@NODE`, a node. What is none
/// of these is a service that is not there.
///
/// What a name of DNS means depends on the type that is asked for; an SRV question, the usual one,
/// understands the most names.
pub fn of(scene: &Scene, asked: &Asked) -> Result<Subject, Stop> {
    let qtype = asked.qtype("SRV").1;
    let names = scene.call.context.names.as_deref();
    let meant = names.and_then(|names| Some((names, names.meaning(&asked.name, qtype)?)));
    match meant {
        None => plain(scene, asked),
        Some((names, Meaning::Service { service, tag, datacenter })) => {
            Ok(Subject::Service(of_dns(names, asked, service, tag, datacenter)?))
        }
        Some((_, Meaning::Node { node, .. })) => {
            one_node(asked, &node)?;
            Ok(Subject::Node { node, name: Some(asked.name.clone()) })
        }
        // The domain's own name may be that of a service, as `consul` is.
        Some((_, Meaning::Other)) if is_registered(scene, asked)? => plain(scene, asked),
        Some((_, other)) => {
            if asked.tag.is_some() || asked.node.is_some() {
                let text = "Invalid tag or node: the name is neither a service's nor a node's";
                return Err(Problem::bad(text).into());
            }
            let usual = if other == Meaning::Reverse { "PTR" } else { "ANY" };
            Ok(Subject::Name { name: asked.name.clone(), usual })
        }
    }
}

/// What a name stands for that is not one of DNS.
fn plain(scene: &Scene, asked: &Asked) -> Result<Subject, Stop> {
    let service = |name: &str, node: Option<String>| {
        let (service, tag) = (name.to_owned(), asked.tag.clone());
        Subject::Service(OfService { service, tag, node, name: None })
    };
    let node = |name: &str| Subject::Node { node: name.to_owned(), name: None };
    if is_service(scene, &asked.name)? {
        return Ok(service(&asked.name, asked.node.clone()));
    }
    if let Some((name, on)) = asked.name.rsplit_once('@') {
        one_node(asked, on)?;
        return Ok(if name.is_empty() { node(on) } else { service(name, Some(on.to_owned())) });
    }
    if asked.node.is_none() && is_node(scene, &asked.name)? {
        return Ok(node(&asked.name));
    }
    Ok(service(&asked.name, asked.node.clone()))
}

/// Refuses to look at two nodes.
fn one_node(asked: &Asked, named: &str) -> Result<(), Problem> {
    match &asked.node {
        Some(node) if Folded::new(node) != Folded::new(named) => Err(Problem::Bad(format!(
            "Invalid node: the name asks for node {} already",
            quote(named)
        ))),
        _ => Ok(()),
    }
}

/// The service that a name of DNS asks for. A tag that is asked for beside it goes into its name.
fn of_dns(
    names: &dyn Names,
    asked: &Asked,
    service: String,
    own: String,
    datacenter: Option<String>,
) -> Result<OfService, Problem> {
    let (tag, name) = match asked.tag.as_deref() {
        Some(tag) if Folded::new(tag) != Folded::new(&own) => {
            if !own.is_empty() {
                let own = quote(&own);
                let text = format!("Invalid tag: the name asks for the tag {own} already");
                return Err(Problem::Bad(text));
            }
            let (service, folded) = (service.clone(), tag.to_lowercase());
            let wanted = Meaning::Service { service, tag: folded, datacenter };
            (tag.to_owned(), tagged(names, asked, tag, &wanted)?)
        }
        _ => (own, asked.name.clone()),
    };
    let tag = Some(tag).filter(|tag| !tag.is_empty());
    Ok(OfService { service, tag, node: asked.node.clone(), name: Some(name) })
}

/// The name of DNS that asks for a tag besides, and else for the same.
fn tagged(
    names: &dyn Names,
    asked: &Asked,
    tag: &str,
    wanted: &Meaning,
) -> Result<String, Problem> {
    let short = match wanted {
        Meaning::Service { service, .. } => names.of_service(service, Some(tag)),
        _ => None,
    };
    let forms = [Some(format!("{tag}.{}", asked.name)), short];
    let qtype = asked.qtype("SRV").1;
    let mut forms = forms.into_iter().flatten();
    forms
        .find(|name| names.meaning(name, qtype).as_ref() == Some(wanted))
        .ok_or_else(|| Problem::bad("Invalid tag: DNS cannot be asked for it by this form of name"))
}

fn is_registered(scene: &Scene, asked: &Asked) -> Result<bool, Stop> {
    Ok(is_service(scene, &asked.name)? || is_node(scene, &asked.name)?)
}

fn is_node(scene: &Scene, name: &str) -> Result<bool, Stop> {
    let key = NodeKey::new(scene.tenant(), &NodeName::new(name));
    Ok(scene.view.node(&key)?.value.is_some())
}

fn is_service(scene: &Scene, name: &str) -> Result<bool, Stop> {
    let key = ServiceKey::new(scene.tenant(), &ServiceName::new(name));
    Ok(scene.view.service_mark(&key)?.count > 0)
}
