//! The bodies of writes, from the door to DNS: what is taken can be applied, logged, kept and asked for.

use crate::{log, world};
use catalog::{Command, Outcome, View};
use dns::{Channel, Config, Fate, Responder};
use domain::base::Message;
use httpapi::bodies;
use lang::json;
use model::{Author, Registration};
use seams::fakes::entry;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static VIEW: LazyLock<View> = LazyLock::new(world::view);

/// A body after a byte that says of which endpoint.
pub fn registration(bytes: &[u8]) {
    let Some((&choice, body)) = bytes.split_first() else { return };
    let read = match choice % 4 {
        0 => json::parse(body).ok().and_then(|json| service(&json)),
        1 => json::parse(body).ok().and_then(|json| check(&json)),
        2 => json::parse(body).ok().and_then(|json| said(bodies::catalog(&json))),
        _ => said(bodies::transaction(body, &VIEW)).map(|command| vec![command]),
    };
    if let Some(commands) = read {
        carry_out(commands);
    }
}

/// What was taken; a refusal says why.
fn said<T>(read: Result<T, String>) -> Option<T> {
    read.map_err(|why| assert!(!why.is_empty(), "a refusal without a word")).ok()
}

fn service(json: &json::Json) -> Option<Vec<Command>> {
    let service = said(httpapi::definitions::service(json))?;
    let sidecar = said(service.sidecar(&[])).flatten();
    Some([Some(service.registration), sidecar].into_iter().flatten().flat_map(on_node).collect())
}

fn on_node(mut registration: Registration) -> Vec<Command> {
    registration.instance.node = "n1".into();
    let checks = registration.checks.into_iter().map(|mut check| {
        check.node = "n1".into();
        Command::PutCheck(Box::new(check))
    });
    std::iter::once(Command::PutInstance(Box::new(registration.instance))).chain(checks).collect()
}

fn check(json: &json::Json) -> Option<Vec<Command>> {
    let mut check = said(httpapi::definitions::check(json))?;
    check.node = "n1".into();
    Some(vec![Command::PutCheck(Box::new(check))])
}

fn carry_out(commands: Vec<Command>) {
    let names: Vec<String> = commands.iter().filter_map(name_of).collect();
    let repeatable = is_repeatable(&commands);
    let entry = catalog::Entry { author: Author::default(), ..entry(commands) };
    log::entry_survives(&entry);
    let first = world::write(&VIEW, entry.clone());
    if let [Outcome::Done(_)] = first.outcomes[..] {
        log::view_survives(&first.view);
        if repeatable {
            let second = world::write(&first.view, entry);
            assert!(second.touched.is_empty(), "the same once more is a change");
        }
        ask(&first.view, &names);
    } else {
        assert!(first.touched.is_empty(), "what was refused is a change");
    }
}

/// Whether the same once more changes nothing: not where a row is written twice, each time otherwise.
fn is_repeatable(commands: &[Command]) -> bool {
    let mut seen = BTreeSet::new();
    commands.iter().all(|command| match command {
        Command::PutCheck(check) => seen.insert(check.id.fold()),
        Command::Transact(_) => false,
        _ => true,
    })
}

/// The service or node that a command writes.
fn name_of(command: &Command) -> Option<String> {
    match command {
        Command::PutInstance(instance) => Some(format!("{}.service", instance.service)),
        Command::PutNode(node) => Some(format!("{}.node", node.name)),
        _ => None,
    }
}

/// Asks DNS for all that was written: there is a sound answer, whatever the rows hold.
fn ask(view: &View, names: &[String]) {
    let config = Config::default();
    let table = world::table(&config, view);
    let mut responder = Responder::new(&config, &table).expect("the domain is one");
    let mut out = vec![0; 1 << 16];
    for name in names {
        for (qtype, channel) in [(33, Channel::Udp), (255, Channel::Tcp)] {
            let Some(packet) = question(name, qtype) else { continue };
            let fate = responder.round().answer(channel, &packet, &mut out);
            let Fate::Reply(reply) = fate else { continue };
            let message = Message::from_octets(&out[..reply.length]).expect("a header");
            for record in message.iter() {
                record.expect("a record can be read");
            }
        }
    }
}

/// A question for a name in the zone, if it can be asked at all.
fn question(name: &str, qtype: u8) -> Option<Vec<u8>> {
    let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').chain(["consul"]) {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        packet.push(length);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, qtype, 0, 1]);
    (packet.len() <= 12 + 255 + 4).then_some(packet)
}
