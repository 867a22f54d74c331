//! What a real Consul answered is what we answer.

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
            let dir = blackbox::binary::workspace().join("testing/fixtures/consul");
            for kind in ["http", "dns"] {
                for entry in std::fs::read_dir(dir.join(kind)).unwrap() {
                    let path = entry.unwrap().path();
                    let story = format!("{kind}/{}", path.file_stem().unwrap().to_str().unwrap());
                    assert!([$($story),*].contains(&story.as_str()), "{story} has no test here");
                }
            }
        }
    };
}

stories! {
    http_readiness = "http/01-readiness"
    http_kv_basic = "http/04-kv-basic"
    http_kv_lists = "http/05-kv-lists"
    http_kv_cas = "http/06-kv-cas"
    http_kv_locks = "http/07-kv-locks"
    http_kv_names_and_sizes = "http/08-kv-names-and-sizes"
    http_kv_indexes = "http/09-kv-indexes"
    http_kv_blocking = "http/10-kv-blocking"
    http_sessions = "http/11-sessions"
    http_catalog_register = "http/21-catalog-register"
    http_catalog_deregister = "http/22-catalog-deregister"
    http_catalog_reads = "http/23-catalog-reads"
    http_service_blocking = "http/25-service-blocking"
    http_session_ttl = "http/42-session-ttl"
    dns_nodes = "dns/01-nodes"
    dns_services = "dns/02-services"
    dns_tags_and_rfc2782 = "dns/03-tags-and-rfc2782"
    dns_addr = "dns/05-addr"
}
