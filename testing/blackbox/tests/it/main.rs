//! Black-box tests: the real `rutter` in private directories on free ports, asked by `curl`, `dig` and by hand.

/// Runs each scenario against an agent in memory and against a durable server.
macro_rules! dev_and_durable {
    ($($scenario:ident)*) => {
        mod in_memory {
            $(#[test] fn $scenario() -> anyhow::Result<()> {
                crate::on_a_server(stringify!($scenario), blackbox::server::Launch::dev(), super::$scenario)
            })*
        }
        mod on_disk {
            $(#[test] fn $scenario() -> anyhow::Result<()> {
                crate::on_a_server(stringify!($scenario), blackbox::server::Launch::durable(), super::$scenario)
            })*
        }
    };
}

mod agent_checks;
mod agent_doors;
mod agent_operations;
mod bad_dns;
mod bad_http;
mod blocking;
mod catalog_doors;
mod cli_agent;
mod cli_catalog;
mod cli_connection;
mod cli_kv;
mod cli_lock;
mod cli_watch;
mod clients;
mod clock_jumps;
mod command_line;
mod config_definitions;
mod config_validate;
mod consul_template;
mod crowds;
mod dashboard;
mod dev_command;
mod distributed_app;
mod dns_doors;
mod flipped_bits;
mod forgetting_disk;
mod full_disk;
mod go_api;
mod haproxy;
mod kv_and_sessions;
mod large_writes;
mod logs;
mod manual;
mod metrics;
mod own_writes;
mod patroni;
mod prometheus_sd;
mod resolver;
mod shim_itself;
mod snapshots_under_load;
mod standing_still;
mod stories;
mod storm;
mod why;

fn on_a_server(
    name: &str,
    launch: blackbox::server::Launch,
    scenario: fn(&blackbox::server::Server) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if !blackbox::tools::present(name, &["curl", "dig"]) {
        return Ok(());
    }
    scenario(&launch.start()?)
}
