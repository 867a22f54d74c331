//! Probes against servers of a few lines: what shows and what it says.

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Answers every connection with these bytes and passes on what it was asked.
async fn server(answer: String) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, questions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = vec![0; 4096];
            let length = stream.read(&mut question).await.unwrap_or(0);
            let _ = asked.send(String::from_utf8_lossy(&question[..length]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, questions)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    )
}

async fn observe(definition: CheckDefinition) -> Observation {
    let probe = find(&definition).expect("there is a probe for it");
    let limits = Limits::of(&definition, 4096);
    (probe.run)(Arc::new(definition), limits).await
}

fn http(url: &str) -> CheckDefinition {
    CheckDefinition { http: url.into(), ..CheckDefinition::default() }
}

#[track_caller]
fn assert_observed(observation: &Observation, status: Status, output: &str) {
    assert_eq!(observation, &Observation { status, output: output.to_owned() });
}

#[tokio::test]
async fn the_code_of_an_answer_is_the_status() {
    for (code, status) in [
        ("200 OK", Status::Passing),
        ("204 No Content", Status::Passing),
        ("429 Too Many Requests", Status::Warning),
        ("404 Not Found", Status::Critical),
        ("503 Service Unavailable", Status::Critical),
    ] {
        let body = if code.starts_with("204") { "" } else { "hello\n" };
        let (address, _questions) = server(answer(code, "", body)).await;
        let url = format!("http://{address}/health");
        let output = format!("HTTP GET {url}: {code} Output: {body}");
        assert_observed(&observe(http(&url)).await, status, &output);
    }
}

#[tokio::test]
async fn the_request_is_as_the_check_says() {
    let (address, mut questions) = server(answer("200 OK", "", "")).await;
    let url = format!("http://{address}/p?q=1");
    observe(http(&url)).await;
    let asked = questions.recv().await.unwrap();
    assert!(asked.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{asked}");
    for header in
        ["user-agent: Consul Health Check\r\n", "accept: text/plain, text/*, */*\r\n", &address]
    {
        assert!(asked.contains(header), "{header} in {asked}");
    }
    let definition = CheckDefinition {
        method: "POST".into(),
        body: "b".into(),
        header: [
            ("Host".into(), vec!["other".into()]),
            ("X-A".into(), vec!["1".into(), "2".into()]),
            ("User-Agent".into(), vec!["mine".into()]),
        ]
        .into(),
        ..http(&url)
    };
    let observation = observe(definition).await;
    assert_eq!(observation.output, format!("HTTP POST {url}: 200 OK Output: "));
    let asked = questions.recv().await.unwrap();
    assert!(
        asked.starts_with("POST /p?q=1 HTTP/1.1\r\n") && asked.ends_with("\r\n\r\nb"),
        "{asked}"
    );
    for header in ["host: other\r\n", "x-a: 1\r\n", "x-a: 2\r\n", "user-agent: mine\r\n"] {
        assert_eq!(asked.matches(header).count(), 1, "{header} in {asked}");
    }
}

#[tokio::test]
async fn redirects_are_followed_unless_they_are_not_to_be() {
    let (target, _questions) = server(answer("200 OK", "", "there")).await;
    let location = format!("Location: http://{target}/\r\n");
    let (address, _more) = server(answer("302 Found", &location, "")).await;
    let url = format!("http://{address}/");
    let output = format!("HTTP GET {url}: 200 OK Output: there");
    assert_observed(&observe(http(&url)).await, Status::Passing, &output);
    let output = format!("HTTP GET {url}: 302 Found Output: ");
    let definition = CheckDefinition { disable_redirects: true, ..http(&url) };
    assert_observed(&observe(definition).await, Status::Critical, &output);
}

#[tokio::test]
async fn no_more_of_a_body_is_read_than_is_kept() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000));
    let (address, _questions) = server(endless).await;
    let definition = CheckDefinition { output_max_size: 10, ..http(&format!("http://{address}/")) };
    let output = format!("HTTP GET http://{address}/: 200 OK Output: xxxxxxxxxx");
    assert_observed(&observe(definition).await, Status::Passing, &output);
}

/// An address where nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn where_nobody_listens_is_critical_in_the_words_operators_know() {
    let address = dead().await;
    let refused = format!("dial tcp {address}: connect: connection refused");
    let output = format!("Get \"http://{address}/\": {refused}");
    let observation = observe(http(&format!("http://{address}/"))).await;
    assert_observed(&observation, Status::Critical, &output);
    let definition = CheckDefinition { tcp: address.as_str().into(), ..CheckDefinition::default() };
    assert_observed(&observe(definition).await, Status::Critical, &refused);
}

#[tokio::test]
async fn an_open_port_passes() {
    let (address, _questions) = server(String::new()).await;
    let definition = CheckDefinition { tcp: address.as_str().into(), ..CheckDefinition::default() };
    let output = format!("TCP connect {address}: Success");
    assert_observed(&observe(definition).await, Status::Passing, &output);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_critical_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let began = Instant::now();
    let timeout = model::Nanos(50_000_000);
    let observation = observe(CheckDefinition { timeout, ..http(&url) }).await;
    let output = format!(
        "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
    assert_observed(&observation, Status::Critical, &output);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_body_that_does_not_end_does_not_undo_the_code() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let _serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let timeout = model::Nanos(300_000_000);
    let observation = observe(CheckDefinition { timeout, ..http(&url) }).await;
    let output = format!("HTTP GET {url}: 200 OK Output: some");
    assert_observed(&observation, Status::Passing, &output);
}

#[tokio::test]
async fn nonsense_is_critical() {
    let odd = [
        http("::bad"),
        http("nothing"),
        CheckDefinition { method: "A B".into(), ..http("http://127.0.0.1:1/") },
        CheckDefinition { tcp: "no-port".into(), ..CheckDefinition::default() },
    ];
    for definition in odd {
        let observation = observe(definition).await;
        assert_eq!(observation.status, Status::Critical);
        assert!(!observation.output.is_empty());
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    let none = CheckDefinition::default();
    let rows = [
        (http("http://x/"), None),
        (CheckDefinition { tcp: "x:1".into(), ..none.clone() }, None),
        (none.clone(), None),
        (CheckDefinition { tcp: "x:1".into(), ..http("http://x/") }, None),
        (
            CheckDefinition { tls_server_name: "y".into(), ..http("https://x/") },
            Some("HTTP with TLSServerName"),
        ),
        (
            CheckDefinition { tcp: "x:1".into(), tcp_use_tls: true, ..none.clone() },
            Some("TCP with TLS"),
        ),
        (CheckDefinition { udp: "x:1".into(), ..none.clone() }, Some("UDP")),
        (CheckDefinition { grpc: "x:1".into(), ..none.clone() }, Some("GRPC")),
        (CheckDefinition { h2ping: "x:1".into(), ..none.clone() }, Some("H2PING")),
        (CheckDefinition { os_service: "x".into(), ..none.clone() }, Some("OSService")),
        (CheckDefinition { alias_service: "x".into(), ..none.clone() }, None),
        (CheckDefinition { script_args: vec!["x".into()], ..none.clone() }, Some("script")),
        (
            CheckDefinition {
                docker_container_id: "x".into(),
                script_args: vec!["x".into()],
                ..none
            },
            Some("Docker"),
        ),
    ];
    for (definition, expected) in rows {
        assert_eq!(unsupported(&definition), expected, "{definition:?}");
    }
}
