//! Check definitions as clients give them to an agent.
//!
//! Two places take them, `agent/check/register` and the `Check` of a service, and they differ: in the
//! field of the id, in the aliases known, and in what an unset interval is shown as.

use super::error::Problem;
use super::json::{Place, members, nanos};
use lang::duration;
use lang::json::Json;
use model::{
    Check, CheckDefinition, CheckDetails, CheckId, InstanceId, Nanos, Status, Text, empty_tags,
};
use std::collections::BTreeMap;

/// Where a definition was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// In the body of `agent/check/register`.
    Alone,
    /// With a service.
    WithService,
}

/// A definition as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definition {
    /// The id; empty if not given.
    pub id: Text,
    /// The name; empty if not given.
    pub name: Text,
    /// The first status; empty if not given.
    pub status: Text,
    /// Notes for people.
    pub notes: Text,
    /// The instance it watches, where it is given alone.
    pub instance: Text,
    /// How it is run.
    pub run: CheckDefinition,
}

impl Definition {
    /// Reads a definition.
    pub fn read(json: &Json, given: Given, place: &Place) -> Result<Definition, Problem> {
        let mut definition = Definition::default();
        let mut says_tls = false;
        members(json, whole(given), true, &mut |key, value| {
            says_tls |= matches!(key, "h2pingusetls" | "h2ping_use_tls");
            definition.member(key, value, given, place)
        })?;
        // The one kind for which TLS is the default.
        definition.run.h2ping_use_tls |= !definition.run.h2ping.is_empty() && !says_tls;
        Ok(definition)
    }

    fn member(
        &mut self,
        key: &str,
        value: &Json,
        given: Given,
        place: &Place,
    ) -> Result<bool, Problem> {
        let alone = given == Given::Alone;
        match key {
            "id" if alone => place.text("ID", value, &mut self.id)?,
            "checkid" if !alone => place.text("CheckID", value, &mut self.id)?,
            "name" => place.text("Name", value, &mut self.name)?,
            "status" => place.text("Status", value, &mut self.status)?,
            "notes" => place.text("Notes", value, &mut self.notes)?,
            "serviceid" | "service_id" if alone => {
                place.text("ServiceID", value, &mut self.instance)?;
            }
            "token" if alone => place.text("Token", value, &mut Text::default())?,
            _ => return run_member(&mut self.run, key, value, given, place),
        }
        Ok(true)
    }

    /// Whether nothing was given, which is no check.
    pub fn is_empty(&self) -> bool {
        *self == Definition::default()
    }

    /// Why it cannot be registered by itself, in the order in which Consul looks.
    pub fn validate_alone(&self) -> Result<(), Problem> {
        if self.name.is_empty() {
            return Err(Problem::bad("Missing check name"));
        }
        if !self.has_known_status() {
            return Err(Problem::bad("Bad check status"));
        }
        self.validate()
    }

    /// The check of a definition that stands alone; its name is its id where it has none.
    pub fn into_check_alone(self) -> Check {
        let name = self.name.clone();
        let id = if self.id.is_empty() { name.clone() } else { self.id.clone() };
        self.into_check(id, name, Given::Alone)
    }

    /// Why the definition cannot be run.
    pub fn validate(&self) -> Result<(), Problem> {
        match self.complaint() {
            Some(complaint) => Err(Problem::Bad(format!("Invalid check: {complaint}"))),
            None => Ok(()),
        }
    }

    /// Why it cannot be run, in Consul's words.
    pub fn complaint(&self) -> Option<&'static str> {
        let run = &self.run;
        let by_interval = [&run.http, &run.tcp, &run.udp, &run.grpc, &run.h2ping, &run.os_service];
        let by_interval =
            by_interval.iter().any(|text| !text.is_empty()) || !run.script_args.is_empty();
        let alias = !run.alias_node.is_empty() || !run.alias_service.is_empty();
        if run.interval.0 > 0 && run.ttl.0 > 0 {
            return Some("Interval and TTL cannot both be specified");
        }
        if by_interval && run.interval.0 <= 0 {
            return Some(
                "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
            );
        }
        if by_interval && alias {
            return Some("Interval cannot be set for Alias checks");
        }
        if alias && run.ttl.0 > 0 {
            return Some("TTL must be not be set for Alias checks");
        }
        if !by_interval && !alias && run.ttl.0 <= 0 {
            return Some("TTL must be > 0 for TTL checks");
        }
        if run.output_max_size < 0 {
            return Some("MaxOutputMaxSize must be positive");
        }
        if run.failures_before_warning > run.failures_before_critical {
            return Some("FailuresBeforeWarning can't be higher than FailuresBeforeCritical");
        }
        None
    }

    /// Whether the status is one that a definition may begin with.
    pub fn has_known_status(&self) -> bool {
        matches!(self.status.as_str(), "" | "passing" | "warning" | "critical")
    }

    /// The check, named and numbered by its caller.
    pub fn into_check(self, id: Text, name: Text, given: Given) -> Check {
        let status = if self.status.is_empty() { "critical" } else { &self.status };
        let shown = |nanos: Nanos| match given {
            Given::WithService if nanos.0 == 0 => Text::default(),
            _ => Text::from(duration::format(nanos.0)),
        };
        Check {
            id: CheckId::new(id),
            name,
            status: Status::parse(status),
            instance: InstanceId::new(self.instance),
            service_tags: empty_tags(),
            details: CheckDetails {
                notes: self.notes,
                kind: Text::new(kind(&self.run)),
                interval: shown(self.run.interval),
                timeout: shown(self.run.timeout),
                ..CheckDetails::default()
            }
            .into(),
            definition: Some(Box::new(self.run)),
            ..Check::default()
        }
    }
}

/// Consul's word for how a check is run; empty for none of its kinds.
pub fn kind(run: &CheckDefinition) -> &'static str {
    let kinds = [
        (!run.grpc.is_empty(), "grpc"),
        (!run.http.is_empty(), "http"),
        (run.ttl.0 > 0, "ttl"),
        (!run.tcp.is_empty(), "tcp"),
        (!run.udp.is_empty(), "udp"),
        (!run.alias_node.is_empty() || !run.alias_service.is_empty(), "alias"),
        (!run.docker_container_id.is_empty(), "docker"),
        (!run.script_args.is_empty(), "script"),
        (!run.h2ping.is_empty(), "h2ping"),
        (!run.os_service.is_empty(), "os_service"),
    ];
    kinds.into_iter().find(|(is, _)| *is).map_or("", |(_, kind)| kind)
}

/// A member of a kind: its keys in lower case, Go's name for it, and where it is kept.
type Member<T> = (&'static [&'static str], &'static str, fn(&mut CheckDefinition) -> &mut T);

const TEXTS: [Member<Text>; 13] = [
    (&["http"], "HTTP", |run| &mut run.http),
    (&["tlsservername", "tls_server_name"], "TLSServerName", |run| &mut run.tls_server_name),
    (&["method"], "Method", |run| &mut run.method),
    (&["body"], "Body", |run| &mut run.body),
    (&["tcp"], "TCP", |run| &mut run.tcp),
    (&["udp"], "UDP", |run| &mut run.udp),
    (&["h2ping"], "H2PING", |run| &mut run.h2ping),
    (&["osservice", "os_service"], "OSService", |run| &mut run.os_service),
    (&["dockercontainerid", "docker_container_id"], "DockerContainerID", |run| {
        &mut run.docker_container_id
    }),
    (&["shell"], "Shell", |run| &mut run.shell),
    (&["grpc"], "GRPC", |run| &mut run.grpc),
    (&["aliasnode", "alias_node"], "AliasNode", |run| &mut run.alias_node),
    (&["aliasservice", "alias_service"], "AliasService", |run| &mut run.alias_service),
];

const TRUTHS: [Member<bool>; 5] = [
    (&["tlsskipverify", "tls_skip_verify"], "TLSSkipVerify", |run| &mut run.tls_skip_verify),
    (&["disableredirects", "disable_redirects"], "DisableRedirects", |run| {
        &mut run.disable_redirects
    }),
    (&["tcpusetls", "tcp_use_tls"], "TCPUseTLS", |run| &mut run.tcp_use_tls),
    (&["h2pingusetls", "h2ping_use_tls"], "H2PingUseTLS", |run| &mut run.h2ping_use_tls),
    (&["grpcusetls", "grpc_use_tls"], "GRPCUseTLS", |run| &mut run.grpc_use_tls),
];

const DURATIONS: [Member<Nanos>; 4] = [
    (&["interval"], "Interval", |run| &mut run.interval),
    (&["timeout"], "Timeout", |run| &mut run.timeout),
    (&["ttl"], "TTL", |run| &mut run.ttl),
    (
        &["deregistercriticalserviceafter", "deregister_critical_service_after"],
        "DeregisterCriticalServiceAfter",
        |run| &mut run.deregister_critical_service_after,
    ),
];

/// The second key of each is taken only with a service.
const NUMBERS: [Member<i64>; 4] = [
    (&["outputmaxsize", "output_max_size"], "OutputMaxSize", |run| &mut run.output_max_size),
    (&["successbeforepassing", "success_before_passing"], "SuccessBeforePassing", |run| {
        &mut run.success_before_passing
    }),
    (&["failuresbeforewarning", "failures_before_warning"], "FailuresBeforeWarning", |run| {
        &mut run.failures_before_warning
    }),
    (&["failuresbeforecritical", "failures_before_critical"], "FailuresBeforeCritical", |run| {
        &mut run.failures_before_critical
    }),
];

fn find<'t, T>(members: &'t [Member<T>], key: &str) -> Option<&'t Member<T>> {
    members.iter().find(|(keys, _, _)| keys.contains(&key))
}

/// Reads a member that says how a check is run; says whether it knows the key.
pub fn run_member(
    run: &mut CheckDefinition,
    key: &str,
    value: &Json,
    given: Given,
    place: &Place,
) -> Result<bool, Problem> {
    let with_service = given == Given::WithService;
    if let Some((_, name, out)) = find(&TEXTS, key) {
        place.text(name, value, out(run))?;
    } else if let Some((_, name, out)) = find(&TRUTHS, key) {
        place.truth(name, value, out(run))?;
    } else if let Some((_, _, out)) = find(&DURATIONS, key) {
        nanos(value, out(run))?;
    } else if let Some((keys, name, out)) = find(&NUMBERS, key) {
        if key != keys[0] && !with_service {
            return Ok(false);
        }
        place.number(name, value, out(run))?;
    } else {
        match key {
            "scriptargs" | "script_args" | "args" => {
                place.texts("ScriptArgs", value, &mut run.script_args)?;
            }
            "header" => header(place, value, &mut run.header)?,
            // Where a proxy would expose the check; there is none that does.
            "proxyhttp" if with_service => place.text("ProxyHTTP", value, &mut Text::default())?,
            "proxygrpc" if with_service => place.text("ProxyGRPC", value, &mut Text::default())?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn header(place: &Place, value: &Json, out: &mut BTreeMap<Text, Vec<Text>>) -> Result<(), Problem> {
    let members = place.object("Header", value, "map[string][]string")?;
    for (name, values) in members.unwrap_or_default() {
        let mut texts = Vec::new();
        place.texts("Header", values, &mut texts)?;
        out.insert(Text::new(name), texts);
    }
    Ok(())
}

/// Go's name for the type, as it is printed where the body is no object.
fn whole(given: Given) -> &'static str {
    match given {
        Given::WithService => "structs.CheckType",
        Given::Alone => concat!(
            "struct { Interval interface {}; Timeout interface {}; TTL interface {}; ",
            "DeregisterCriticalServiceAfter interface {}; Args []string \"json:\\\"args\\\"\"; ",
            "ScriptArgsSnake []string \"json:\\\"script_args\\\"\"; ",
            "DeregisterCriticalServiceAfterSnake interface {} ",
            "\"json:\\\"deregister_critical_service_after\\\"\"; ",
            "DockerContainerIDSnake string \"json:\\\"docker_container_id\\\"\"; ",
            "TLSServerNameSnake string \"json:\\\"tls_server_name\\\"\"; ",
            "TLSSkipVerifySnake bool \"json:\\\"tls_skip_verify\\\"\"; ",
            "TCPUseTLSSnake bool \"json:\\\"tcp_use_tls\\\"\"; ",
            "GRPCUseTLSSnake bool \"json:\\\"grpc_use_tls\\\"\"; ",
            "ServiceIDSnake string \"json:\\\"service_id\\\"\"; ",
            "H2PingUseTLSSnake bool \"json:\\\"h2ping_use_tls\\\"\"; ",
            "DisableRedirectsSnake bool \"json:\\\"disable_redirects\\\"\"; *structs.Alias }"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, given: Given, expected: Result<&str, &str>) {
        let json = lang::json::parse(body.as_bytes()).unwrap();
        let place = Place::root("").inside("Alias", "");
        let read = Definition::read(&json, given, &place);
        let read = read.and_then(|definition| definition.validate().map(|()| definition));
        let said = match &read {
            Ok(definition) => Ok(kind(&definition.run)),
            Err(Problem::Bad(text) | Problem::Decode(text)) => Err(text.as_str()),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(said, expected, "{body}");
    }

    #[test]
    fn a_ping_of_http2_goes_over_tls_unless_it_says_otherwise() {
        for (body, tls) in [
            (r#"{"H2PING":"a:1"}"#, true),
            (r#"{"H2PingUseTLS":false,"H2PING":"a:1"}"#, false),
            (r#"{"h2ping":"a:1","h2ping_use_tls":false}"#, false),
            (r#"{"TCP":"a:1"}"#, false),
        ] {
            let json = lang::json::parse(body.as_bytes()).unwrap();
            let place = Place::root("").inside("Alias", "");
            let read = Definition::read(&json, Given::Alone, &place).unwrap();
            assert_eq!(read.run.h2ping_use_tls, tls, "{body}");
        }
    }

    #[test]
    fn a_definition_is_of_one_kind_and_can_be_run() {
        let alone = Given::Alone;
        let no_ttl = Err("Invalid check: TTL must be > 0 for TTL checks");
        let no_interval = Err(
            "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService \
             checks",
        );
        check(r#"{"ttl":"10s"}"#, alone, Ok("ttl"));
        check(r#"{"TTL":10}"#, alone, Ok("ttl"));
        check(r#"{"HTTP":"http://x","TCP":"a:1","Interval":"10s"}"#, alone, Ok("http"));
        check(r#"{"AliasService":"web","Interval":"10s"}"#, alone, Ok("alias"));
        check(r#"{"Args":["true"],"Interval":"10s"}"#, alone, Ok("script"));
        check("{}", alone, no_ttl);
        check(r#"{"Interval":"10s"}"#, alone, no_ttl);
        check(r#"{"TTL":"-1s"}"#, alone, no_ttl);
        check(r#"{"HTTP":"http://x"}"#, alone, no_interval);
        check(r#"{"TTL":"10s","HTTP":"http://x"}"#, alone, no_interval);
        check(
            r#"{"TTL":"10s","Interval":"10s"}"#,
            alone,
            Err("Invalid check: Interval and TTL cannot both be specified"),
        );
        check(
            r#"{"AliasService":"web","TTL":"10s"}"#,
            alone,
            Err("Invalid check: TTL must be not be set for Alias checks"),
        );
        check(
            r#"{"AliasService":"web","TCP":"a:1","Interval":"10s"}"#,
            alone,
            Err("Invalid check: Interval cannot be set for Alias checks"),
        );
        check(r#"{"CheckID":"a"}"#, alone, Err("json: unknown field \"CheckID\""));
        check(r#"{"CheckID":"a","TTL":"1s"}"#, Given::WithService, Ok("ttl"));
        check(
            r#"{"ttl":"1s","success_before_passing":2}"#,
            alone,
            Err("json: unknown field \"success_before_passing\""),
        );
        check(r#"{"TTL":"10"}"#, alone, Err("time: missing unit in duration \"10\""));
    }
}
