//! What a real Consul answered is what we answer.

use blackbox::stories::{on_purpose, recorded};

macro_rules! stories {
    ($($name:ident = $story:literal)*) => {
        $(#[test] fn $name() -> anyhow::Result<()> {
            if !blackbox::tools::present($story, &["python3"]) {
                return Ok(());
            }
            blackbox::stories::replay($story)
        })*

        #[test]
        fn every_recorded_story_is_replayed() {
            for story in recorded().unwrap() {
                assert!([$($story),*].contains(&story.as_str()), "{story} has no test here");
            }
        }
    };
}

stories! {
    http_readiness = "http/01-readiness"
    http_methods_and_paths = "http/02-methods-and-paths"
    http_common_parameters = "http/03-common-parameters"
    http_kv_basic = "http/04-kv-basic"
    http_kv_lists = "http/05-kv-lists"
    http_kv_cas = "http/06-kv-cas"
    http_kv_locks = "http/07-kv-locks"
    http_kv_names_and_sizes = "http/08-kv-names-and-sizes"
    http_kv_indexes = "http/09-kv-indexes"
    http_kv_blocking = "http/10-kv-blocking"
    http_sessions = "http/11-sessions"
    http_txn_kv = "http/13-txn-kv"
    http_agent_services = "http/15-agent-services"
    http_agent_checks = "http/16-agent-checks"
    http_agent_check_updates = "http/17-agent-check-updates"
    http_agent_reregister = "http/18-agent-reregister"
    http_maintenance = "http/20-maintenance"
    http_catalog_register = "http/21-catalog-register"
    http_catalog_deregister = "http/22-catalog-deregister"
    http_catalog_reads = "http/23-catalog-reads"
    http_health_reads = "http/24-health-reads"
    http_service_blocking = "http/25-service-blocking"
    http_filters = "http/26-filters"
    http_events = "http/27-events"
    http_coordinates_off = "http/29-coordinates-off"
    http_acl_disabled = "http/32-acl-disabled"
    http_operator = "http/33-operator"
    http_pitfalls = "http/36-pitfalls"
    http_encoding = "http/37-encoding"
    http_http_config = "http/41-http-config"
    http_session_ttl = "http/42-session-ttl"
    http_restart = "http/45-restart"
    dns_nodes = "dns/01-nodes"
    dns_services = "dns/02-services"
    dns_tags_and_rfc2782 = "dns/03-tags-and-rfc2782"
    dns_addr = "dns/05-addr"
    dns_only_passing = "dns/07-only-passing"
    dns_ttl = "dns/09-ttl"
    dns_limits = "dns/10-limits"
    dns_truncate = "dns/11-truncate"
    dns_hostnames = "dns/13-hostnames"
    dns_odd_packets = "dns/16-odd-packets"
    dns_domains = "dns/17-domains"
    dns_a_record_limit = "dns/19-a-record-limit"
}

#[test]
fn few_steps_differ_on_purpose_and_the_documents_say_why() {
    let (steps, rows) = on_purpose().unwrap();
    assert!(steps <= 40, "{steps} steps differ on purpose");
    let docs = blackbox::binary::workspace().join("docs/protocols");
    let texts = ["consul-http.md", "consul-dns.md"].map(|file| docs.join(file));
    let texts = texts.map(|file| std::fs::read_to_string(file).unwrap()).concat();
    for row in rows {
        assert!(texts.contains(&format!("`{row}`")), "no row of docs/protocols says `{row}`");
    }
}
