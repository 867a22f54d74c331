//! The system's resolver finds services by name: through dnsmasq, which forwards `consul.` to us, and by a list of
//! servers of which we are the first.

use anyhow::{Result, ensure};
use blackbox::netns::Host;
use blackbox::server::{Launch, Process};
use blackbox::tools::{find, present, skip};
use blackbox::wait::{SOON, until};

const TOOLS: &[&str] = &["dnsmasq", "getent", "curl", "dig", "ip", "unshare", "nsenter"];

fn host(test: &str) -> Result<Option<Host>> {
    if !present(test, TOOLS) {
        return Ok(None);
    }
    match Host::alone("host1") {
        Ok(host) => Ok(Some(host)),
        Err(error) => Ok(skip(test, &format!("no namespace: {error:#}")).then_some(()).and(None)),
    }
}

/// An agent in memory on the ports that everybody knows, with two instances of `web` and one of `data_base`.
fn rutter(host: &Host, words: &[&str]) -> Result<Process> {
    let launch = Launch::bare(&["agent", "-dev", "-node", "n1"]).args(words).under(&host.enter());
    let agent = launch.spawn()?;
    until("an agent that answers", SOON, || register(host, "web", "web-1", "10.0.0.1"))?;
    register(host, "web", "web-2", "10.0.0.2")?;
    register(host, "data_base", "db", "10.0.0.3")?;
    Ok(agent)
}

fn register(host: &Host, name: &str, id: &str, address: &str) -> Result<()> {
    let body = format!(r#"{{"Name":"{name}","ID":"{id}","Address":"{address}","Port":80}}"#);
    put(host, "/v1/agent/service/register", &body)
}

fn put(host: &Host, path: &str, body: &str) -> Result<()> {
    let url = format!("http://127.0.0.1:8500{path}");
    host.curl(&["--request", "PUT", "--data", body, &url]).map(drop)
}

/// dnsmasq at this address, with no configuration but these words.
fn dnsmasq(host: &Host, address: &str, words: &[&str]) -> Result<Process> {
    let listen = format!("--listen-address={address}");
    let common =
        ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"];
    let program = find("dnsmasq").unwrap_or_default();
    let launch = Launch::bare(&common).args(&[&listen]).args(words).program(&program);
    let process = launch.under(&host.enter()).spawn()?;
    until("dnsmasq to answer", SOON, || {
        host.run(&["dig", &format!("@{address}"), "+tries=1", "+time=1", "known.example"])
    })?;
    Ok(process)
}

/// The addresses that the system's resolver finds, sorted; none when it finds nothing.
fn addresses(host: &Host, name: &str) -> Result<Vec<String>> {
    let output = host.command(&["getent", "ahosts", name]).output()?;
    // 2 is getent's word for "not found".
    ensure!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let mut found: Vec<_> =
        text.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn finds(host: &Host, name: &str, expected: &[&str]) -> Result<()> {
    let found = addresses(host, name)?;
    ensure!(found == expected, "{name}: {found:?} instead of {expected:?}");
    Ok(())
}

#[test]
fn getent_finds_a_service_through_dnsmasq() -> Result<()> {
    let Some(host) = host("getent_finds_a_service_through_dnsmasq")? else { return Ok(()) };
    let _rutter = rutter(&host, &[])?;
    let forward = [
        "--server=/consul/127.0.0.1#8600",
        "--rev-server=10.0.0.0/8,127.0.0.1#8600",
        "--host-record=known.example,192.0.2.7",
    ];
    let _dnsmasq = dnsmasq(&host, "127.0.0.1", &forward)?;
    host.resolv_conf("nameserver 127.0.0.1\n")?;

    let line = host.run(&["getent", "hosts", "web.service.consul"])?;
    ensure!(line.starts_with("10.0.0.") && line.contains("web.service.consul"), "{line}");
    finds(&host, "web.service.consul", &["10.0.0.1", "10.0.0.2"])?;
    finds(&host, "data_base.service.consul", &["10.0.0.3"])?;
    finds(&host, "nothing.service.consul", &[])?;
    finds(&host, "known.example", &["192.0.2.7"])?;
    let line = host.run(&["getent", "hosts", "10.0.0.3"])?;
    ensure!(line.contains("data_base.service.dc1.consul"), "{line}");
    let srv = host.run(&["dig", "@127.0.0.1", "+short", "web.service.consul", "SRV"])?;
    ensure!(srv.lines().count() == 2 && srv.contains("0a000001.addr.dc1.consul."), "{srv}");

    put(&host, "/v1/agent/service/deregister/web-1", "")?;
    finds(&host, "web.service.consul", &["10.0.0.2"])?;
    put(&host, "/v1/agent/service/maintenance/web-2?enable=true", "")?;
    finds(&host, "web.service.consul", &[])?;
    put(&host, "/v1/agent/service/maintenance/web-2?enable=false", "")?;
    finds(&host, "web.service.consul", &["10.0.0.2"])?;

    // A service's own name is enough where `service.consul` is searched.
    finds(&host, "web", &[])?;
    host.resolv_conf("nameserver 127.0.0.1\nsearch service.consul\n")?;
    finds(&host, "web", &["10.0.0.2"])?;
    finds(&host, "data_base", &["10.0.0.3"])?;
    finds(&host, "known.example", &["192.0.2.7"])
}

#[test]
fn a_resolver_asks_its_next_server_for_names_outside() -> Result<()> {
    let test = "a_resolver_asks_its_next_server_for_names_outside";
    let Some(host) = host(test)? else { return Ok(()) };
    let _rutter = rutter(&host, &["-dns-port", "53"])?;
    // This one knows nothing of `consul.`, as a provider's would not.
    let outside = ["--host-record=known.example,192.0.2.7", "--address=/consul/"];
    let _dnsmasq = dnsmasq(&host, "127.0.0.2", &outside)?;
    host.resolv_conf("nameserver 127.0.0.1\nnameserver 127.0.0.2\nsearch service.consul\n")?;

    let dug = host.run(&["dig", "@127.0.0.1", "known.example"])?;
    ensure!(dug.contains("status: REFUSED"), "{dug}");
    let line = host.run(&["getent", "hosts", "known.example"])?;
    ensure!(line.split_whitespace().eq(["192.0.2.7", "known.example"]), "{line}");
    finds(&host, "web", &["10.0.0.1", "10.0.0.2"])?;
    finds(&host, "web.service.consul", &["10.0.0.1", "10.0.0.2"])?;
    finds(&host, "nothing.service.consul", &[])?;
    finds(&host, "nothing.example", &[])
}
