//! Flags of the agent that say what a key of a file says, and no more: they are taken as that key.
//!
//! Most belong to features to come; a script that gives them starts, with the warning of the key. One
//! that asks for protection is refused as its key is.
//!
//! Source: Consul, "Agents configuration flags".

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use lang::tree::{Member, Place, Tree, Value};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing, or `=true` and `=false`.
    Truth,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A text, and it may be given again.
    Texts,
}

use Takes::{Number, Text, Texts, Truth};

/// Flag, key, what it takes.
const FLAGS: &[(&str, &str, Takes)] = &[
    ("disable-host-node-id", "disable_host_node_id", Truth),
    ("disable-keyring-file", "disable_keyring_file", Truth),
    ("encrypt", "encrypt", Text),
    ("grpc-port", "ports.grpc", Number),
    ("grpc-tls-port", "ports.grpc_tls", Number),
    ("https-port", "ports.https", Number),
    ("join", "start_join", Texts),
    ("join-wan", "start_join_wan", Texts),
    ("non-voting-server", "non_voting_server", Truth),
    ("primary-gateway", "primary_gateways", Texts),
    ("protocol", "protocol", Number),
    ("raft-protocol", "raft_protocol", Number),
    ("read-replica", "read_replica", Truth),
    ("recursor", "recursors", Texts),
    ("rejoin", "rejoin_after_leave", Truth),
    ("retry-interval", "retry_interval", Text),
    ("retry-interval-wan", "retry_interval_wan", Text),
    ("retry-join", "retry_join", Texts),
    ("retry-join-wan", "retry_join_wan", Texts),
    ("retry-max", "retry_max", Number),
    ("retry-max-wan", "retry_max_wan", Number),
    ("segment", "segment", Text),
    ("serf-lan-allowed-cidrs", "serf_lan_allowed_cidrs", Texts),
    ("serf-lan-bind", "serf_lan", Text),
    ("serf-lan-port", "ports.serf_lan", Number),
    ("serf-wan-allowed-cidrs", "serf_wan_allowed_cidrs", Texts),
    ("serf-wan-bind", "serf_wan", Text),
    ("serf-wan-port", "ports.serf_wan", Number),
    ("ui", "ui_config.enabled", Truth),
    ("ui-content-path", "ui_config.content_path", Text),
    ("ui-dir", "ui_config.dir", Text),
];

/// The flags that were given, as members of a file.
#[derive(Default)]
pub struct Accepted(Vec<Member>);

impl Accepted {
    /// The file that says the same; `None` where nothing is said.
    pub fn tree(&self) -> Option<Tree> {
        let members = self.0.clone();
        (!members.is_empty()).then(|| tree(Value::Object(members)))
    }
}

fn tree(value: Value) -> Tree {
    Tree { place: Place { line: 1, column: 1 }, value }
}

fn member(key: &str, value: Value) -> Member {
    let place = Place { line: 1, column: 1 };
    match key.split_once('.') {
        Some((block, key)) => {
            let inner = Value::Object(vec![member(key, value)]);
            Member { key: block.to_owned(), place, tree: tree(inner) }
        }
        None => Member { key: key.to_owned(), place, tree: tree(value) },
    }
}

impl Args for Accepted {
    fn augment_args(command: Command) -> Command {
        FLAGS.iter().fold(command, |command, (flag, key, takes)| {
            let arg = Arg::new(*flag).long(*flag).help(format!("The key {key} of a file"));
            let arg = arg.hide_short_help(true);
            command.arg(match takes {
                Truth => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_parser(super::go_bool),
                Number => arg.allow_hyphen_values(true).value_parser(clap::value_parser!(i64)),
                Text => arg,
                Texts => arg.action(ArgAction::Append),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Accepted::augment_args(command)
    }
}

impl FromArgMatches for Accepted {
    fn from_arg_matches(given: &ArgMatches) -> Result<Accepted, Error> {
        let value = |flag: &str, takes: Takes| match takes {
            Truth => given.get_one::<bool>(flag).map(|is| Value::Bool(*is)),
            Number => given.get_one::<i64>(flag).map(|is| Value::Number(is.to_string())),
            Text => given.get_one::<String>(flag).map(|is| Value::Text(is.clone())),
            Texts => given
                .get_many::<String>(flag)
                .map(|all| Value::List(all.map(|is| tree(Value::Text(is.clone()))).collect())),
        };
        let all = FLAGS.iter();
        let members = all.filter_map(|(flag, key, takes)| Some(member(key, value(flag, *takes)?)));
        Ok(Accepted(members.collect()))
    }

    fn update_from_arg_matches(&mut self, given: &ArgMatches) -> Result<(), Error> {
        *self = Accepted::from_arg_matches(given)?;
        Ok(())
    }
}
