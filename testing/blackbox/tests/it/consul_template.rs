//! consul-template, installed from its source, writes a file that follows the registry.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use blackbox::golang;
use blackbox::http::Http;
use blackbox::server::{Launch, Process, Server};
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};

const PACKAGE: &str = "github.com/hashicorp/consul-template";
const VERSION: &str = "v0.41.1";

/// Everything that a template usually asks of Consul.
const TEMPLATE: &str = r#"{{ range datacenters }}datacenter {{ . }}
{{ end }}{{ range nodes }}node {{ .Node }}
{{ end }}{{ range services }}service {{ .Name }} {{ .Tags | join "," }}
{{ end }}{{ range service "web" }}passing {{ .ID }} {{ .Address }}:{{ .Port }} {{ .Tags | join "," }} {{ .ServiceMeta.slot }}
{{ end }}{{ range service "web|any" }}any {{ .ID }} {{ .Status }}
{{ end }}{{ range service "even.web" }}even {{ .ID }}
{{ end }}{{ range connect "web" }}mesh {{ .ID }}
{{ end }}limit {{ keyOrDefault "app/limit" "none" }}{{ if keyExists "app/flag" }} flagged{{ end }}
{{ range ls "app" }}ls {{ .Key }}={{ .Value }}
{{ end }}{{ range tree "app" }}tree {{ .Key }}={{ .Value }}
{{ end }}"#;

/// consul-template at work, and the file that it writes.
struct Template {
    process: Process,
    written: PathBuf,
}

impl Template {
    /// Starts it; nothing where it cannot be installed.
    fn start(test: &str, server: &Server, text: &str, words: &[&str]) -> Result<Option<Template>> {
        let Some(program) = golang::installed(test, PACKAGE, VERSION)? else { return Ok(None) };
        let address = server.http.to_string();
        let launch = Launch::bare(&["-consul-addr", &address, "-log-level=info"]).program(&program);
        let (read, written) = (launch.dir().join("in.tpl"), launch.dir().join("out"));
        std::fs::write(&read, text)?;
        let pair = format!("{}:{}", read.display(), written.display());
        let process = launch.args(&["-template", &pair]).args(words).spawn()?;
        Ok(Some(Template { process, written }))
    }

    fn comes_to(&self, what: &str, expected: &str) -> Result<()> {
        let come = until(what, SOON, || {
            let seen = std::fs::read_to_string(&self.written)?;
            ensure!(seen == expected, "\n{seen}instead of\n{expected}");
            Ok(())
        });
        come.with_context(|| format!("it said:\n{}", self.process.said()))
    }
}

/// What is registered, and how the file should look then.
#[derive(Default)]
struct State {
    /// Instances of `web` with their statuses.
    web: Vec<(usize, &'static str)>,
    keys: Vec<(&'static str, &'static str)>,
}

impl State {
    fn file(&self) -> String {
        let mut lines =
            vec!["datacenter dc1".to_owned(), "node n1".to_owned(), "service consul ".to_owned()];
        let tags = |number: usize| if number.is_multiple_of(2) { "even" } else { "odd" };
        let mut all: Vec<_> = self.web.iter().map(|(number, _)| tags(*number)).collect();
        all.sort_unstable();
        all.dedup();
        if !all.is_empty() {
            lines.push(format!("service web {}", all.join(",")));
        }
        let passing = self.web.iter().filter(|(_, status)| *status == "passing");
        for (n, _) in passing.clone() {
            lines.push(format!("passing web-{n} 10.4.0.{n}:{} {} s{n}", 8000 + n, tags(*n)));
        }
        lines.extend(self.web.iter().map(|(n, status)| format!("any web-{n} {status}")));
        lines.extend(
            passing.filter(|(n, _)| n.is_multiple_of(2)).map(|(n, _)| format!("even web-{n}")),
        );
        let value = |key| self.keys.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let flag = value("app/flag").map_or("", |_| " flagged");
        lines.push(format!("limit {}{flag}", value("app/limit").unwrap_or("none")));
        let below = || self.keys.iter().filter_map(|(key, v)| Some((key.strip_prefix("app/")?, v)));
        lines.extend(
            below().filter(|(key, _)| !key.contains('/')).map(|(k, v)| format!("ls {k}={v}")),
        );
        lines.extend(below().map(|(key, value)| format!("tree {key}={value}")));
        lines.join("\n") + "\n"
    }
}

fn instance(number: usize) -> Value {
    json!({ "ID": format!("web-{number}"), "Name": "web", "Address": format!("10.4.0.{number}"),
            "Port": 8000 + number, "Tags": [if number.is_multiple_of(2) { "even" } else { "odd" }],
            "Meta": { "slot": format!("s{number}") },
            "Check": { "CheckID": format!("beat-{number}"), "TTL": "1h", "Status": "passing" } })
}

fn register(http: &mut Http, number: usize) -> Result<()> {
    http.put_ok("/v1/agent/service/register", instance(number).to_string()).map(drop)
}

fn follow(test: &str, launch: Launch) -> Result<()> {
    let server = launch.start()?;
    let Some(template) = Template::start(test, &server, TEMPLATE, &[])? else { return Ok(()) };
    let mut http = server.client();
    let mut state = State::default();
    template.comes_to("nothing registered", &state.file())?;

    for number in 1..=5 {
        register(&mut http, number)?;
        state.web.push((number, "passing"));
        if [2, 5].contains(&number) {
            template.comes_to("scaled up", &state.file())?;
        }
    }
    for (report, status) in [("fail", "critical"), ("warn", "warning"), ("pass", "passing")] {
        http.put_ok(&format!("/v1/agent/check/{report}/beat-2"), "")?;
        state.web[1].1 = status;
        template.comes_to(report, &state.file())?;
    }
    for (key, value) in
        [("app/a/deep", "3"), ("app/flag", "on"), ("app/limit", "10"), ("app/limit", "20")]
    {
        http.put_ok(&format!("/v1/kv/{key}"), value)?;
        state.keys.retain(|(name, _)| *name != key);
        state.keys.push((key, value));
        template.comes_to(key, &state.file())?;
    }
    ensure!(http.delete("/v1/kv/app/?recurse")?.status == 200, "the keys go");
    state.keys.clear();
    template.comes_to("without keys", &state.file())?;
    for number in (2..=5).rev() {
        http.put_ok(&format!("/v1/agent/service/deregister/web-{number}"), "")?;
        state.web.pop();
    }
    template.comes_to("scaled down", &state.file())?;
    http.put_ok("/v1/agent/service/deregister/web-1", "")?;
    state.web.clear();
    template.comes_to("the last goes", &state.file())
}

#[test]
fn a_template_follows_an_agent_in_memory() -> Result<()> {
    follow("a_template_follows_an_agent_in_memory", Launch::dev())
}

#[test]
fn a_template_follows_a_durable_server() -> Result<()> {
    follow("a_template_follows_a_durable_server", Launch::durable())
}

#[test]
fn a_template_waits_for_its_key_and_is_written_once() -> Result<()> {
    let test = "a_template_waits_for_its_key_and_is_written_once";
    let server = Launch::dev().start()?;
    let text =
        "{{ key \"needed\" }}\n{{ with node }}{{ .Node.Node }} {{ len .Services }}{{ end }}\n";
    let Some(mut template) = Template::start(test, &server, text, &["-once"])? else {
        return Ok(());
    };
    let mut http = server.client();
    until("it runs", SOON, || {
        let said = template.process.said();
        ensure!(said.contains("(runner) starting"), "{said}");
        Ok(())
    })?;
    ensure!(!template.written.exists(), "nothing is written before the key is there");
    http.put_ok("/v1/kv/needed", "here")?;
    let status = template.process.wait_end(SOON)?;
    ensure!(status.success(), "{status}: {}", template.process.said());
    template.comes_to("it is written", "here\nn1 1\n")
}

#[test]
fn of_templates_that_share_their_work_one_asks_and_both_write() -> Result<()> {
    let test = "of_templates_that_share_their_work_one_asks_and_both_write";
    let server = Launch::dev().start()?;
    let text = "{{ range service \"web\" }}{{ .ID }}\n{{ end }}end\n";
    let Some(first) = Template::start(test, &server, text, &["-dedup"])? else { return Ok(()) };
    let Some(second) = Template::start(test, &server, text, &["-dedup"])? else { return Ok(()) };
    let mut http = server.client();
    for (number, expected) in [(1, "web-1\nend\n"), (2, "web-1\nweb-2\nend\n")] {
        register(&mut http, number)?;
        for template in [&first, &second] {
            template.comes_to("both write", expected)?;
        }
    }
    Ok(())
}
