//! Tables: what configuration is taken, what it becomes, what is refused.

use super::*;

fn resolved(text: &str) -> anyhow::Result<(Config, Vec<String>)> {
    let (raw, warnings) = parse(text)?;
    let mut base = Raw::dev();
    base.merge(raw);
    Ok((resolve(base, true)?, warnings))
}

#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(text: &str, pick: impl Fn(&Config) -> T, expected: T) {
    let (config, warnings) = resolved(text).expect(text);
    assert_eq!(pick(&config), expected, "{text}");
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
}

#[track_caller]
fn refuse(text: &str, reason: &str) {
    let error = match resolved(text) {
        Ok(_) => panic!("{text} is taken"),
        Err(error) => format!("{error:#}"),
    };
    assert!(error.contains(reason), "{text}: {error}");
}

#[test]
fn what_is_applied_arrives() {
    check(r#"{"datacenter": "DC-1"}"#, |c| c.datacenter.clone(), "dc-1".to_owned());
    check(r#"{"node_name": "n1"}"#, |c| c.node.name.as_str().to_owned(), "n1".to_owned());
    check(r#"{"client_addr": "127.0.0.1 ::1"}"#, |c| c.http.len(), 2);
    check(
        r#"{"client_addr": "0.0.0.0", "addresses": {"http": "127.0.0.1"}}"#,
        |c| (c.http[0].is_loopback(), c.dns_addresses[0].is_unspecified()),
        (true, true),
    );
    check(r#"{"ports": {"http": 0, "dns": -1}}"#, |c| (c.ports.http, c.ports.dns), (Some(0), None));
    check(r#"{"ports": [{"http": 7}]}"#, |c| c.ports.http, Some(7));
    check(r#"{"ports": {"grpc": -1, "grpc_tls": -1}}"#, |c| c.ports.server, 8300);
    check(r#"{"session_ttl_min": "1s"}"#, |c| c.session_ttl_min.0, 1_000_000_000);
    check(r#"{"limits": {"kv_max_value_size": 100}}"#, |c| c.kv_max_value_size, 100);
    check(r#"{"log_level": "ERR"}"#, |c| c.log_level, tracing::Level::ERROR);
    check(r#"{"dns_config": {"only_passing": true}}"#, |c| c.dns.only_passing, true);
    check(r#"{"dns_config": {"soa": {"retry": 7}}}"#, |c| c.dns.soa.retry, 7);
    check(r#"{"node_id": null, "data_dir": "/x"}"#, |c| c.data.clone(), None);
    check(r#"{"performance": {"raft_multiplier": 1}}"#, |c| c.dev, true);
}

#[test]
fn a_feature_to_come_is_accepted_with_one_warning_that_names_it() {
    for (text, key) in [
        (r#"{"retry_join": ["a"]}"#, "retry_join"),
        (r#"{"ui_config": {"enabled": true}}"#, "ui_config"),
        (r#"{"ports": {"grpc": 8502}}"#, "ports.grpc"),
        (r#"{"acl": {"enabled": false, "default_policy": "deny"}}"#, "acl"),
    ] {
        let (_, warnings) = resolved(text).expect(text);
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        assert!(warnings[0].starts_with(&format!("{key} ")), "{text}: {warnings:?}");
    }
}

#[test]
fn what_asks_for_protection_is_refused() {
    for text in [
        r#"{"acl": {"enabled": true}}"#,
        r#"{"acl": [{"tokens": {"default": "x"}}]}"#,
        r#"{"encrypt": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}"#,
        r#"{"tls": {"defaults": {"verify_incoming": true}}}"#,
        r#"{"verify_outgoing": true}"#,
        r#"{"serf_lan_allowed_cidrs": ["10.0.0.0/8"]}"#,
        r#"{"http_config": {"block_endpoints": ["/v1/kv"]}}"#,
        r#"{"http_config": {"allow_write_http_from": ["127.0.0.1/8"]}}"#,
        r#"{"ports": {"https": 8501}}"#,
    ] {
        refuse(text, "refuses to start");
    }
}

#[test]
fn what_nobody_knows_is_refused_with_the_nearest_spelling() {
    refuse(r#"{"datacentre": "x"}"#, "did you mean datacenter?");
    refuse(r#"{"ports": {"htpp": 1}}"#, "did you mean http?");
    refuse(r#"{"qqqqqqqqqqqq": 1}"#, "invalid config key qqqqqqqqqqqq");
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    refuse("[]", "one JSON object");
    refuse("{", "EOF");
    refuse(r#"{"ports": {"http": 65536}}"#, "ports.http=65536");
    refuse(r#"{"bind_addr": "x"}"#, "bind_addr");
    refuse(r#"{"client_addr": ""}"#, "client_addr");
    refuse(r#"{"addresses": {"http": "unix:///run/x"}}"#, "addresses.http");
    refuse(r#"{"limits": {"kv_max_value_size": 99999999}}"#, "limits.kv_max_value_size");
    refuse(r#"{"log_level": "loud"}"#, "log_level");
    refuse(r#"{"node_id": "x"}"#, "node_id");
    refuse(r#"{"datacenter": "a b"}"#, "datacenter");
    refuse(r#"{"session_ttl_min": "soon"}"#, "session_ttl_min");
    refuse(r#"{"bootstrap_expect": 3}"#, "one server only");
}

#[test]
fn a_role_that_does_not_exist_yet_is_refused() {
    for (raw, reason) in [
        (Raw::default(), "client agent"),
        (Raw { server: Some(true), ..Raw::default() }, "-bootstrap-expect=1"),
        (Raw { server: Some(true), bootstrap: Some(true), ..Raw::default() }, "data_dir"),
    ] {
        let error = resolve(raw, false).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}
