//! Tables: what configuration is taken, what it becomes, what is refused.

use super::resolve::{Config, Use, resolve};
use super::*;

fn resolved(text: &str) -> anyhow::Result<(Config, Vec<String>)> {
    let mut read = parse(text, lang::hcl::parse, "file");
    read.complaints.extend(protection::refusals(&read.guards));
    anyhow::ensure!(read.complaints.is_empty(), "{}", read.complaints.join("\n"));
    let mut base = Raw::dev();
    base.merge(read.raw);
    Ok((resolve(base, Use::Dev)?, read.warnings))
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
fn how_checks_are_run_arrives() {
    use agent::Scripts;
    let scripts = |text, expected| check(text, |c| c.checks.scripts, expected);
    scripts("{}", Scripts::Off);
    scripts(r#"{"enable_script_checks": false}"#, Scripts::Off);
    scripts(r#"{"enable_script_checks": true}"#, Scripts::On);
    scripts(r#"{"enable_local_script_checks": true}"#, Scripts::Local);
    scripts(r#"{"enable_local_script_checks": false, "enable_script_checks": true}"#, Scripts::On);
    check("{}", |c| (c.checks.output_max_size, c.checks.update_interval.as_secs()), (4096, 300));
    check(r#"{"check_output_max_size": 7}"#, |c| c.checks.output_max_size, 7);
    check(r#"{"check_update_interval": "0s"}"#, |c| c.checks.update_interval.as_secs(), 0);
    check(r#"{"check_update_interval": "90s"}"#, |c| c.checks.update_interval.as_secs(), 90);
    check(r#"{"discard_check_output": true}"#, |c| c.checks.discard_output, true);
    refuse(
        r#"{"check_output_max_size": 0}"#,
        "check_output_max_size must be positive, to discard check output use the \
         discard_check_output flag",
    );
    refuse(r#"{"check_update_interval": "soon"}"#, "check_update_interval");
}

#[test]
fn the_times_of_reads_arrive() {
    let queries = |c: &Config| {
        let is = c.queries;
        [is.default_time, is.max_time, is.discovery_max_stale].map(|time| time.as_secs())
    };
    check("{}", queries, [300, 600, 0]);
    check(
        r#"{"default_query_time": "1m", "max_query_time": "2m", "discovery_max_stale": "3m"}"#,
        queries,
        [60, 120, 180],
    );
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
    check(r#"{"ports": {"grpc": -1, "grpc_tls": -1}}"#, |c| c.ports.xds, false);
    check(r#"{"ports": {"grpc": -1}}"#, |c| c.ports.xds, true);
    check("{}", |c| c.ports.xds, true);
    check(r#"{"session_ttl_min": "1s"}"#, |c| c.session_ttl_min.0, 1_000_000_000);
    check(r#"{"limits": {"kv_max_value_size": 100}}"#, |c| c.kv_max_value_size, 100);
    check(r#"{"limits": {"txn_max_req_len": 200}}"#, |c| c.txn_max_req_len, 200);
    check(r#"{"log_level": "ERR"}"#, |c| c.log_level, tracing::Level::ERROR);
    check(r#"{"dns_config": {"only_passing": true}}"#, |c| c.dns.only_passing, true);
    check(r#"{"dns_config": {"soa": {"retry": 7}}}"#, |c| c.dns.soa.retry, 7);
    check(r#"{"node_id": null, "data_dir": "/x"}"#, |c| c.data.clone(), None);
    check(r#"{"performance": {"raft_multiplier": 1}}"#, |c| c.dev, true);
    check(r#"{"disable_coordinates": true}"#, |c| c.coordinates, false);
}

#[test]
fn what_the_http_face_does_to_every_request_arrives() {
    check(
        r#"{"disable_http_unprintable_char_filter": true}"#,
        |c| c.http_face.printable_paths,
        false,
    );
    check(r#"{"http_config": {"use_cache": false}}"#, |c| c.http_face.use_cache, false);
    check(
        r#"{"http_config": {"max_header_bytes": 9000}}"#,
        |c| c.http_face.max_header_bytes,
        Some(9000),
    );
    check(
        r#"{"http_config": {"block_endpoints": ["/v1/kv"]}}"#,
        |c| c.http_face.block_endpoints.clone(),
        vec!["/v1/kv".to_owned()],
    );
    check(
        r#"{"http_config": {"allow_write_http_from": ["127.0.0.1/8"]}}"#,
        |c| c.http_face.allow_write_from[0].contains([127, 1, 2, 3].into()),
        true,
    );
    check(
        r#"{"http_config": {"response_headers": {"Access-Control-Allow-Origin": "*"}}}"#,
        |c| c.http_face.response_headers[0].1.clone(),
        "*".parse().unwrap(),
    );
}

#[test]
fn the_zone_is_as_configured() {
    check(r#"{"dns_config": {"disable_compression": true}}"#, |c| c.dns.disable_compression, true);
    check(r#"{"dns_config": {"udp_answer_limit": 0}}"#, |c| c.dns.udp_answer_limit, 0);
    check(
        r#"{"dns_config": {"node_ttl": "10s", "service_ttl": {"*": "5s", "web": "1m"}}}"#,
        |c| (c.dns.node_ttl.as_secs(), c.dns.service_ttl["web"].as_secs(), c.dns.service_ttl.len()),
        (10, 60, 2),
    );
    check(
        r#"{"domain": "corp.example.", "alt_domain": "alt.test"}"#,
        |c| (c.dns.domain.clone(), c.dns.alt_domain.clone()),
        ("corp.example.".to_owned(), Some("alt.test".to_owned())),
    );
    check(r#"{"domain": "", "alt_domain": ""}"#, |c| c.dns.domain.clone(), "consul.".to_owned());
}

#[test]
fn every_key_of_dns_config_is_taken() {
    let stale = r#"{"dns_config": {"allow_stale": false, "max_stale": "87600h", "use_cache": true,
                                   "cache_max_age": "10s"}}"#;
    check(stale, |c| c.dns.enable_truncate, false);
    let all = r#"{"dns_config": {"a_record_limit": 2, "enable_truncate": true, "only_passing": true,
        "udp_answer_limit": 5, "enable_additional_node_meta_txt": false, "node_ttl": "1s",
        "soa": {"refresh": 1, "retry": 2, "expire": 3, "min_ttl": 4}}}"#;
    check(
        all,
        |c| {
            let dns = &c.dns;
            let soa = [dns.soa.refresh, dns.soa.retry, dns.soa.expire, dns.soa.min_ttl];
            let limits = (dns.a_record_limit, dns.udp_answer_limit);
            (limits, dns.enable_truncate, dns.enable_additional_node_meta_txt, soa)
        },
        ((2, 5), true, false, [1, 2, 3, 4]),
    );
    for key in ["recursor_timeout", "recursor_strategy", "prefer_namespace"] {
        let text = format!(r#"{{"dns_config": {{"{key}": "2s"}}}}"#);
        let (_, warnings) = resolved(&text).expect(&text);
        assert!(warnings[0].starts_with(&format!("dns_config.{key} ")), "{warnings:?}");
    }
    for text in [r#"{"recursors": ["127.0.0.1"]}"#, r#"{"translate_wan_addrs": true}"#] {
        let (_, warnings) = resolved(text).expect(text);
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
    }
    for (text, reason) in [
        (r#"{"dns_config": {"a_record_limit": -1}}"#, "a_record_limit cannot be -1. Must be"),
        (r#"{"dns_config": {"udp_answer_limit": -1}}"#, "udp_answer_limit cannot be -1. Must be"),
        (r#"{"dns_config": {"max_stale": "soon"}}"#, "dns_config.max_stale"),
        (r#"{"dns_config": {"node_ttl": "x"}}"#, "dns_config.node_ttl"),
        (r#"{"alt_domain": "service.consul"}"#, "{service,connect,node,query,addr,dc1}"),
        (r#"{"alt_domain": "DC1.test"}"#, "alt_domain cannot start with"),
    ] {
        refuse(text, reason);
    }
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
        r#"{"ports": {"http": -1, "https": 8501}}"#,
    ] {
        refuse(text, "refuses to start");
    }
}

#[test]
fn a_protection_is_judged_by_all_that_is_said_of_it_and_named_by_its_path() {
    for (text, asking) in [
        (
            "acl { enabled = true tokens { agent = \"t\" } }",
            &["acl.enabled", "acl.tokens.agent"][..],
        ),
        ("ACL { Tokens { Agent = \"t\" } }", &["acl.tokens.agent"]),
        ("acl { default_policy = \"deny\" }", &["acl.default_policy"]),
        ("acl { default_policy = \"deny\" } acl { Enabled = false }", &[]),
        ("acl { enabled = true } acl { enabled = false }", &[]),
        ("acl { enabled = false } acl { enabled = true }", &["acl.enabled"]),
        ("acl { default_policy = \"allow\" down_policy = \"deny\" token_ttl = \"1s\" }", &[]),
        ("acl { enable_token_persistence = true policy_ttl = \"9s\" role_ttl = \"9s\" }", &[]),
        ("acl_default_policy = \"allow\"", &[]),
        ("acl_default_policy = \"deny\"", &["acl_default_policy"]),
        ("tls { defaults { tls_min_version = \"TLSv1_2\" tls_cipher_suites = \"x\" } }", &[]),
        ("tls { internal_rpc { server_name = \"x\" } }", &[]),
        (
            "tls { https { ca_file = \"x\" } grpc { use_auto_cert = true } }",
            &["tls.https.ca_file", "tls.grpc.use_auto_cert"],
        ),
        ("tls { https { verify_incoming = true } } tls { https { verify_incoming = false } }", &[]),
        (
            "serf_lan_allowed_cidrs = [\"10.0.0.0/8\"] serf_lan_allowed_cidrs = []",
            &["serf_lan_allowed_cidrs"],
        ),
        ("auto_encrypt { tls = true }", &["auto_encrypt.tls"]),
        ("auto_encrypt { tls = false dns_san = [\"x\"] }", &[]),
        ("auto_config { enabled = true intro_token = \"x\" }", &["auto_config.enabled"]),
        ("auto_config { enabled = false authorization { enabled = true } }", &[]),
        ("auto_config { intro_token = \"x\" server_addresses = [\"a\"] }", &[]),
    ] {
        let read = parse(text, lang::hcl::parse, "file");
        assert_eq!(read.complaints, Vec::<String>::new(), "{text}");
        let told = protection::refusals(&read.guards);
        let named: Vec<&str> = told
            .iter()
            .map(|is| {
                let is = is.strip_prefix("file:1: ").expect(text);
                is.split_once(" asks for protection").expect(text).0
            })
            .collect();
        assert_eq!(named, asking, "{text}");
        assert_eq!(read.warnings.len(), 1, "{text}: {:?}", read.warnings);
    }
}

#[test]
fn two_faces_at_one_address_and_port_are_refused_by_both_keys() {
    for (text, keys) in [
        ("ports { http = 9000 dns = 9000 }", Some(("ports.http=9000", "ports.dns"))),
        ("ports { dns = 8500 }", Some(("ports.http=8500", "ports.dns"))),
        ("ports { http = 8300 }", Some(("ports.http=8300", "ports.server"))),
        (
            "ports { server = 8600 } addresses { dns = \"0.0.0.0\" }",
            Some(("ports.dns=8600", "ports.server")),
        ),
        ("ports { http = 0 dns = 0 server = 0 }", None),
        ("ports { http = 9000 dns = 9000 } addresses { dns = \"127.0.0.2\" }", None),
        ("ports { http = 9000 dns = 9000 } addresses { dns = \"::\" }", None),
        ("ports { http = -1 dns = 8500 }", None),
    ] {
        match keys {
            Some((key, other)) => refuse(
                text,
                &format!("{key}: the address and port are already configured for {other}"),
            ),
            None => drop(resolved(text).expect(text)),
        }
    }
}

#[test]
fn every_key_that_consul_has_is_known() {
    for text in [
        "auto_encrypt {}",
        "auto_config { authorization { static { bound_issuer = \"x\" } } }",
        "acl_agent_master_token = \"\"",
        "acl_replication_token = \"\"",
        "enable_acl_replication = true",
        "server_name = \"x\"",
        "rpc { enable_streaming = true }",
        "default_intention_policy = \"allow\"",
        "snapshot_agent {}",
        "ports { proxy_min_port = 1 proxy_max_port = 2 }",
        "connect { enable_serverless_plugin = true }",
    ] {
        resolved(text).expect(text);
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
    refuse("[]", "file:1:1: expected a key, found `[`");
    refuse("{", "file:1:2: expected a key in double quotes");
    refuse(r#"{"ports": {"http": 65536}}"#, "ports.http=65536");
    refuse(r#"{"bind_addr": "x"}"#, "bind_addr");
    refuse(r#"{"client_addr": ""}"#, "client_addr");
    refuse(r#"{"addresses": {"http": "unix:///run/x"}}"#, "addresses.http");
    refuse(r#"{"limits": {"kv_max_value_size": 99999999}}"#, "limits.kv_max_value_size");
    refuse(r#"{"limits": {"txn_max_req_len": 0}}"#, "limits.txn_max_req_len");
    refuse(r#"{"limits": {"txn_max_req_len": 99999999}}"#, "limits.txn_max_req_len");
    refuse(r#"{"log_level": "loud"}"#, "log_level");
    refuse(
        r#"{"http_config": {"allow_write_http_from": ["127.0.0.1"]}}"#,
        "http_config.allow_write_http_from",
    );
    refuse(
        r#"{"http_config": {"response_headers": {"a b": "c"}}}"#,
        "http_config.response_headers.a b",
    );
    refuse(r#"{"node_id": "x"}"#, "node_id");
    refuse(r#"{"datacenter": "a b"}"#, "datacenter");
    refuse(r#"{"max_query_time": "soon"}"#, "max_query_time");
    refuse(r#"{"session_ttl_min": "soon"}"#, "session_ttl_min");
    refuse(r#"{"bootstrap_expect": 3}"#, "one server only");
}

#[test]
fn a_role_that_does_not_exist_yet_is_refused() {
    for (raw, reason) in [
        (Raw { data_dir: Some("/x".into()), ..Raw::default() }, "client agent"),
        (
            Raw { data_dir: Some("/x".into()), server: Some(true), ..Raw::default() },
            "-bootstrap-expect=1",
        ),
        (
            Raw { server: Some(true), bootstrap: Some(true), ..Raw::default() },
            "data_dir cannot be empty",
        ),
        (
            Raw { bootstrap: Some(true), ..Raw::default() },
            "'bootstrap = true' requires 'server = true'",
        ),
        (
            Raw { bootstrap_expect: Some(1), ..Raw::default() },
            "'bootstrap_expect > 0' requires 'server = true'",
        ),
        (
            Raw {
                server: Some(true),
                bootstrap: Some(true),
                bootstrap_expect: Some(1),
                ..Raw::default()
            },
            "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive",
        ),
        (
            Raw { server: Some(true), bootstrap_expect: Some(-1), ..Raw::default() },
            "bootstrap_expect cannot be -1. Must be greater than or equal to zero",
        ),
    ] {
        let error = resolve(raw, Use::Serve).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn hcl_says_the_same_as_json() {
    check("datacenter = \"DC-1\"", |c| c.datacenter.clone(), "dc-1".to_owned());
    check("ports { http = 0 dns = -1 }", |c| (c.ports.http, c.ports.dns), (Some(0), None));
    check(
        "ports { http = 0 }\nports { dns = 9 }",
        |c| (c.ports.http, c.ports.dns),
        (Some(0), Some(9)),
    );
    check("Server = true SERVER = true", |c| c.dev, true);
    check("datacenter = \"a\" datacenter = \"b\"", |c| c.datacenter.clone(), "b".to_owned());
    let ttl = "dns_config { service_ttl { \"*\" = \"5s\" web = \"1m\" } soa { retry = 7 } }";
    check(ttl, |c| (c.dns.service_ttl.len(), c.dns.soa.retry), (2, 7));
    check("dns_config = [{ soa = [{ retry = 7 }] }]", |c| c.dns.soa.retry, 7);
    check(
        "node_meta { a = \"b\" }\nnode_meta { c = \"d\" }",
        |c| c.node.meta.iter().flatten().filter(|(key, _)| key.len() == 1).count(),
        2,
    );
}

#[test]
fn everything_wrong_is_told_at_once_with_its_line() {
    let text =
        "server = true\ndatacentre = 1\nports {\n  http = \"x\"\n  htpp = 1\n}\nencrypt = \"x\"\n";
    let error = resolved(text).expect_err("it is wrong").to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert!(lines[0].starts_with("file:2: invalid config key datacentre"), "{error}");
    assert!(lines[1].starts_with("file:4: ports.http: invalid type: string"), "{error}");
    assert!(
        lines[2].starts_with("file:5: invalid config key ports.htpp; did you mean http?"),
        "{error}"
    );
    assert!(lines[3].starts_with("file:7: encrypt asks for protection"), "{error}");
}

/// What `sdk/testutil`, which many programs in Go start their Consul with, writes; it gives `ports.https` without
/// a certificate, and the version that the binary told.
#[test]
fn the_file_of_consuls_go_test_server_is_accepted() {
    let text = r#"{"node_name": "node-1", "node_id": "11111111-1111-1111-1111-111111111111",
        "performance": {"raft_multiplier": 1}, "bootstrap": true, "server": true, "data_dir": "/tmp/data",
        "segments": null, "disable_update_check": true, "log_level": "debug", "bind_addr": "127.0.0.1",
        "addresses": {}, "ports": {"dns": 1, "http": 2, "https": 3, "serf_lan": 4, "serf_wan": 5, "server": 6,
        "grpc": 7, "grpc_tls": 8}, "acl": {"tokens": {}}, "connect": {"enabled": true, "ca_config":
        {"cluster_id": "11111111-2222-3333-4444-555555555555"}}, "skip_leave_on_interrupt": true,
        "peering": {"enabled": true}, "autopilot": {"server_stabilization_time": "1ms"},
        "locality": {"region": "r", "zone": "z"}, "experiments": ["x"], "version": "1.22.0"}"#;
    let read = parse(text, lang::hcl::parse_json, "file");
    assert_eq!(read.complaints, Vec::<String>::new());
    let config = resolve(read.raw, Use::Serve).unwrap();
    assert_eq!((config.ports.http, config.ports.serf_lan), (Some(2), 4));
}

#[test]
fn an_empty_file_says_nothing() {
    let Read { raw, warnings, complaints, .. } = parse("", lang::hcl::parse_json, "file");
    assert_eq!(serde_json::to_value(raw).unwrap(), serde_json::to_value(Raw::default()).unwrap());
    assert_eq!((warnings, complaints), (vec![], vec![]));
}

#[test]
fn the_addresses_given_to_others_arrive() {
    let tagged = |c: &Config| {
        let all = c.node.tagged_addresses.iter().flatten();
        all.map(|(tag, ip)| format!("{tag}={ip}")).collect::<Vec<_>>().join(" ")
    };
    check(
        "advertise_addr = \"10.0.0.9\"",
        tagged,
        "lan=10.0.0.9 lan_ipv4=10.0.0.9 wan=10.0.0.9 wan_ipv4=10.0.0.9".to_owned(),
    );
    check(
        "advertise_addr_ipv4 = \"10.0.0.9\" advertise_addr_ipv6 = \"fd00::1\"
         advertise_addr_wan = \"203.0.113.1\" tagged_addresses { rack = \"10.9.9.9\" }",
        tagged,
        "lan=10.0.0.9 lan_ipv4=10.0.0.9 lan_ipv6=fd00::1 rack=10.9.9.9 wan=203.0.113.1 \
         wan_ipv4=203.0.113.1"
            .to_owned(),
    );
    check("advertise_addr = \"10.0.0.9\"", |c| c.advertise.to_string(), "10.0.0.9".to_owned());
    let template = "client_addr = \"{{ GetInterfaceIP \\\"lo\\\" }}\"";
    check(template, |c| c.http[0].is_loopback(), true);
    refuse("advertise_addr = \"0.0.0.0\"", "Advertise address cannot be 0.0.0.0, :: or [::]");
    refuse("advertise_addr_wan = \"::\"", "Advertise WAN address cannot be 0.0.0.0, :: or [::]");
    refuse("bind_addr = \"{{ GetNothing }}\"", "bind_addr: template {{GetNothing}}");
}

#[test]
fn what_is_about_the_process_arrives() {
    check("pid_file = \"/run/x\"", |c| c.pid_file.clone(), Some("/run/x".into()));
    check("pid_file = \"\"", |c| c.pid_file.clone(), None);
    check("log_json = true", |c| c.log.json, true);
    check("auto_reload_config = true", |c| c.auto_reload, true);
    check("node_meta { rack = \"7\" }", |c| c.node.meta.as_ref().map_or(0, |meta| meta.len()), 3);
    refuse("node_meta { \"a b\" = \"7\" }", "Key contains invalid characters");
    refuse("node_meta { consul-x = \"7\" }", "Key prefix 'consul-' is reserved for internal use");
}

#[test]
fn a_key_of_older_files_is_taken_with_what_to_use_instead() {
    for (text, told) in [
        (
            "start_join = [\"a\"]",
            "The 'start_join' field is deprecated. Use the 'retry_join' field instead; start_join is accepted but has no effect in this version",
        ),
        (
            "recursor = \"127.0.0.1\"",
            "The 'recursor' field is deprecated. Use the 'recursors' field instead; recursor is accepted but has no effect in this version",
        ),
        (
            "ui = true",
            "The 'ui' field is deprecated. Use the 'ui_config.enabled' field instead; ui is accepted but has no effect in this version",
        ),
        (
            "enable_ui = true",
            "The 'enable_ui' field is deprecated. Use the 'ui_config.enabled' field instead; enable_ui is accepted but has no effect in this version",
        ),
        ("ports { rpc = 8400 }", "ports.rpc is accepted but has no effect in this version"),
    ] {
        let (_, warnings) = resolved(text).expect(text);
        assert_eq!(warnings, [told], "{text}");
    }
}

#[test]
fn odd_forms_that_files_depend_on_are_taken() {
    for text in [
        r#"{"acl": [{"enabled": false, "tokens": [{"agent": null}]}]}"#,
        r#"{"segments": null, "watches": [], "telemetry": {}, "ports": [{"http": 0}]}"#,
        r#"{"service": [{"name": "a"}, {"Name": "b", "Check": {"TTL": "1s"}}], "Services": []}"#,
        "service { name = \"a\" }\nservice { name = \"b\" }\nservices = [{ name = \"c\" }]",
        "services { name = \"a\" }\nservices { name = \"b\" }\ncheck { id = \"c\" ttl = \"1s\" }",
    ] {
        resolved(text).expect(text);
    }
    let read = parse("service { name = \"a\" } service { name = \"b\" }", lang::hcl::parse, "f");
    assert_eq!(read.definitions.len(), 2);
}

#[test]
fn a_misspelt_key_is_found_in_blocks_inside_blocks_too() {
    for (text, told) in [
        (
            "telemetry {\n prefix_filer = [] }",
            "file:2: invalid config key telemetry.prefix_filer; did you mean prefix_filter?",
        ),
        (
            "acl { tokens {\n inital_management = \"x\" } }",
            "file:2: invalid config key acl.tokens.inital_management; did you mean initial_management?",
        ),
        (
            "tls { defaults { ca_fil = \"x\" } }",
            "file:1: invalid config key tls.defaults.ca_fil; did you mean ca_file?",
        ),
        (
            "ui_config { metrics_proxy { base = \"x\" } }",
            "file:1: invalid config key ui_config.metrics_proxy.base",
        ),
    ] {
        let error = resolved(text).map(|_| ()).expect_err(text).to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn what_is_only_checked_may_be_any_role() {
    let client = || Raw {
        data_dir: Some("/x".into()),
        bind_addr: Some("10.0.0.1".into()),
        ..Raw::default()
    };
    assert!(resolve(client(), Use::Check).is_ok());
    for (expected, warning) in [(2, "no failure tolerance"), (4, "even number"), (3, "")] {
        let raw = Raw { server: Some(true), bootstrap_expect: Some(expected), ..client() };
        let warnings = resolve(raw, Use::Check).expect("it is taken").warnings.join("");
        assert!(
            warnings.contains(warning) && warnings.is_empty() == warning.is_empty(),
            "{warnings}"
        );
    }
    let error = resolve(Raw::default(), Use::Check).expect_err("it is refused").to_string();
    assert_eq!(error, "data_dir cannot be empty");
}

#[test]
fn every_key_without_effect_is_taken_with_a_warning_or_refused_as_protection() {
    for key in keys::LATER {
        let (_, warnings) = resolved(&format!("{key} = \"x\"")).expect(key);
        let told = warnings.first().expect(key);
        let named = format!("{key} is accepted but has no effect in this version");
        assert!(warnings.len() == 1 && told.ends_with(&named), "{warnings:?}");
    }
    for (block, applied, later) in keys::BLOCKS {
        for key in later.iter().filter(|key| !applied.contains(key)) {
            let (_, warnings) = resolved(&format!("{block} {{ {key} = \"x\" }}")).expect(key);
            assert!(warnings[0].starts_with(&format!("{block}.{key} ")), "{warnings:?}");
        }
    }
    for key in keys::PROTECTION {
        refuse(&format!("{key} = \"x\""), &format!("file:1: {key} asks for protection"));
    }
}
