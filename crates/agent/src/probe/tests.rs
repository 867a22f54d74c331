//! Probes against servers of a few lines: what shows and what it says.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
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
    for header in [
        "User-Agent: Consul Health Check\r\n",
        "Accept: text/plain, text/*, */*\r\n",
        "Connection: close\r\n",
        &format!("Host: {address}\r\n"),
    ] {
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
    for header in ["Host: other\r\n", "X-A: 1\r\n", "X-A: 2\r\n", "User-Agent: mine\r\n"] {
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
async fn ten_requests_are_made_and_then_it_is_a_loop() {
    let (address, mut questions) = server(answer("302 Found", "Location: /again\r\n", "")).await;
    let observation = observe(http(&format!("http://{address}/"))).await;
    let output = "Get \"/again\": stopped after 10 redirects";
    assert_observed(&observation, Status::Critical, output);
    let mut asked = 0;
    while questions.try_recv().is_ok() {
        asked += 1;
    }
    assert_eq!(asked, 10);
}

#[tokio::test]
async fn a_redirect_turns_a_post_into_a_get_or_repeats_it() {
    for (code, verb, body) in [("302 Found", "GET", ""), ("307 Temporary Redirect", "POST", "b")] {
        let (target, mut questions) = server(answer("200 OK", "", "there")).await;
        let port = target.rsplit_once(':').unwrap().1;
        let location = format!("Location: http://localhost:{port}/x\r\n");
        let (address, _more) = server(answer(code, &location, "")).await;
        let definition = CheckDefinition {
            method: "POST".into(),
            body: "b".into(),
            header: [
                ("Host".into(), vec!["named".into()]),
                ("Authorization".into(), vec!["secret".into()]),
                ("X-A".into(), vec!["1".into()]),
            ]
            .into(),
            ..http(&format!("http://{address}/"))
        };
        let observation = observe(definition).await;
        assert_eq!(observation.status, Status::Passing, "{observation:?}");
        let asked = questions.recv().await.unwrap();
        let begins = format!("{verb} /x HTTP/1.1\r\n");
        assert!(
            asked.starts_with(&begins) && asked.ends_with(&format!("\r\n\r\n{body}")),
            "{asked}"
        );
        assert!(asked.contains(&format!("Host: localhost:{port}\r\n")), "{asked}");
        assert!(asked.contains("X-A: 1\r\n") && !asked.contains("secret"), "{asked}");
    }
}

#[tokio::test]
async fn of_a_long_body_the_last_bytes_are_shown() {
    let (address, _questions) = server(answer("200 Fine", "", "0123456789abcdef")).await;
    let definition = CheckDefinition { output_max_size: 6, ..http(&format!("http://{address}/")) };
    let output = format!("HTTP GET http://{address}/: 200 Fine Output: abcdef");
    assert_observed(&observe(definition).await, Status::Passing, &output);
}

#[tokio::test]
async fn an_endless_body_is_read_to_a_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
    });
    // Would it not stop, this test would not either.
    let timeout = model::Nanos::seconds(3600);
    let url = format!("http://{address}/");
    let definition = CheckDefinition { output_max_size: 10, timeout, ..http(&url) };
    let output = format!("HTTP GET {url}: 200 OK Output: xxxxxxxxxx");
    assert_observed(&observe(definition).await, Status::Passing, &output);
}

/// An address where nobody listens, as long as its socket lives.
fn dead() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    (socket.local_addr().unwrap().to_string(), socket)
}

#[tokio::test]
async fn where_nobody_listens_is_critical_in_the_words_operators_know() {
    let (address, _held) = dead();
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
async fn tls_is_verified_unless_it_is_not_to_be_and_names_the_server() {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let (port, mut names) = tls::tests::server(page).await;
    let unknown =
        "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let https = http(&format!("https://localhost:{port}/"));
    let tcp = CheckDefinition {
        tcp: format!("localhost:{port}").into(),
        tcp_use_tls: true,
        ..CheckDefinition::default()
    };
    let output = format!("Get \"https://localhost:{port}/\": {unknown}");
    assert_observed(&observe(https.clone()).await, Status::Critical, &output);
    assert_observed(&observe(tcp.clone()).await, Status::Critical, unknown);

    let blind =
        |given: &CheckDefinition| CheckDefinition { tls_skip_verify: true, ..given.clone() };
    let output = format!("HTTP GET https://localhost:{port}/: 200 OK Output: ok");
    assert_observed(&observe(blind(&https)).await, Status::Passing, &output);
    assert_eq!(names.recv().await.unwrap().as_deref(), Some("localhost"));
    let output = format!("TCP+TLS connect localhost:{port}: Success");
    assert_observed(&observe(blind(&tcp)).await, Status::Passing, &output);
    assert_eq!(names.recv().await.unwrap().as_deref(), Some("localhost"));

    for definition in [blind(&https), blind(&tcp)] {
        let named = CheckDefinition { tls_server_name: "inner.example".into(), ..definition };
        assert_eq!(observe(named).await.status, Status::Passing);
        assert_eq!(names.recv().await.unwrap().as_deref(), Some("inner.example"));
    }
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_offers_it() {
    let port = tls::tests::http2_server().await;
    let url = format!("https://localhost:{port}/p?q=1");
    let named = [("Host".into(), vec!["named".into()])];
    for (header, host) in
        [([].into(), format!("localhost:{port}")), (named.into(), "named".to_owned())]
    {
        let definition = CheckDefinition { header, tls_skip_verify: true, ..http(&url) };
        let said = format!("GET https://{host}/p?q=1 Consul Health Check");
        let output = format!("HTTP GET {url}: 200 OK Output: {said}");
        assert_observed(&observe(definition).await, Status::Passing, &output);
    }
    let target = format!("localhost:{port}");
    let definition = CheckDefinition {
        h2ping: target.into(),
        h2ping_use_tls: true,
        tls_skip_verify: true,
        ..CheckDefinition::default()
    };
    assert_observed(&observe(definition).await, Status::Passing, "HTTP2 ping was successful");
}

#[tokio::test]
async fn silence_over_udp_is_health_and_a_refusal_is_not() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let udp = |timeout| CheckDefinition {
        udp: address.as_str().into(),
        timeout: model::Nanos(timeout),
        ..CheckDefinition::default()
    };
    let output = format!("UDP connect {address}: Success");
    assert_observed(&observe(udp(50_000_000)).await, Status::Passing, &output);
    drop(socket);
    let observation = observe(udp(60_000_000_000)).await;
    assert_eq!(observation.status, Status::Critical);
    let said = &observation.output;
    let refused = format!("->{address}: read: connection refused");
    assert!(said.starts_with("read udp 127.0.0.1:") && said.ends_with(&refused), "{said}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_critical_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let timeout = Duration::from_secs(3600);
    let definition = CheckDefinition { timeout: model::Nanos::seconds(3600), ..http(&url) };
    let probing = tokio::spawn(observe(definition));
    let (mut asked, _) = listener.accept().await.unwrap();
    assert!(asked.read(&mut [0; 1024]).await.unwrap() > 0, "it asks");
    // From here on it only waits, so this clock jumps to the end of that.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let observation = probing.await.unwrap();
    let waited = began.elapsed();
    assert!(waited > timeout / 2 && waited <= timeout + Duration::from_secs(1), "{waited:?}");
    let output = format!(
        "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
    assert_observed(&observation, Status::Critical, &output);
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
        CheckDefinition { tcp: "127.0.0.1:70000".into(), ..CheckDefinition::default() },
        http("ftp://x/"),
        CheckDefinition {
            header: [("X-A".into(), vec!["a\nb".into()])].into(),
            ..http("http://127.0.0.1:1/")
        },
    ];
    let texts = [
        "parse \"::bad\": missing protocol scheme",
        "Get \"nothing\": unsupported protocol scheme \"\"",
        "net/http: invalid method \"A B\"",
        "dial tcp: address no-port: missing port in address",
        "dial tcp: lookup tcp/70000: unknown port",
        "Get \"ftp://x/\": unsupported protocol scheme \"ftp\"",
        "Get \"http://127.0.0.1:1/\": net/http: invalid header field value for \"X-A\"",
    ];
    for (definition, text) in odd.into_iter().zip(texts) {
        assert_observed(&observe(definition).await, Status::Critical, text);
    }
}

/// A server of HTTP/2 that answers one call with a status of `grpc.health.v1`.
async fn health_server(status: u8, trailer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut connection) = h2::server::handshake(stream).await else { continue };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let mut body = respond.send_response(::http::Response::new(()), false).unwrap();
                body.send_data(vec![0, 0, 0, 0, 2, 8, status].into(), false).unwrap();
                let trailers = [("grpc-status", trailer)].map(|(name, value)| {
                    (name.parse::<::http::HeaderName>().unwrap(), value.parse().unwrap())
                });
                body.send_trailers(trailers.into_iter().collect()).unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_grpc_server_says_itself_how_it_is() {
    let grpc = |target: String| CheckDefinition { grpc: target.into(), ..Default::default() };
    let address = health_server(1, "0").await;
    let output = format!("gRPC check {address}/web: success");
    assert_observed(&observe(grpc(format!("{address}/web"))).await, Status::Passing, &output);
    let address = health_server(2, "0").await;
    let output = format!("gRPC {address} serving status: NOT_SERVING");
    assert_observed(&observe(grpc(address)).await, Status::Critical, &output);
    let address = health_server(1, "12").await;
    let output = "rpc error: code = Unimplemented desc = ";
    assert_observed(&observe(grpc(address)).await, Status::Critical, output);
    let (address, _held) = dead();
    let output = format!(
        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while \
         dialing: dial tcp {address}: connect: connection refused\""
    );
    assert_observed(&observe(grpc(address)).await, Status::Critical, &output);
}

#[tokio::test]
async fn a_ping_of_http2_is_answered_or_not() {
    let h2ping = |target: &str| CheckDefinition { h2ping: target.into(), ..Default::default() };
    let address = health_server(1, "0").await;
    assert_observed(&observe(h2ping(&address)).await, Status::Passing, "HTTP2 ping was successful");
    let (address, _held) = dead();
    let output =
        format!("Failed to dial to {address}: dial tcp {address}: connect: connection refused");
    assert_observed(&observe(h2ping(&address)).await, Status::Critical, &output);
    let (address, _questions) = server(answer("400 Bad Request", "", "")).await;
    let observation = observe(h2ping(&address)).await;
    assert_eq!(observation.status, Status::Critical);
    assert!(observation.output.starts_with("HTTP2 ping failed: "), "{observation:?}");
}

#[test]
fn what_cannot_be_run_is_named() {
    let none = CheckDefinition::default();
    let rows = [
        (http("http://x/"), None),
        (CheckDefinition { tcp: "x:1".into(), ..none.clone() }, None),
        (none.clone(), None),
        (CheckDefinition { tcp: "x:1".into(), ..http("http://x/") }, None),
        (CheckDefinition { tls_server_name: "y".into(), ..http("https://x/") }, None),
        (CheckDefinition { tcp: "x:1".into(), tcp_use_tls: true, ..none.clone() }, None),
        (CheckDefinition { udp: "x:1".into(), ..none.clone() }, None),
        (CheckDefinition { grpc: "x:1".into(), ..none.clone() }, None),
        (CheckDefinition { h2ping: "x:1".into(), ..none.clone() }, None),
        (CheckDefinition { os_service: "x".into(), ..none.clone() }, Some("OSService")),
        (CheckDefinition { alias_service: "x".into(), ..none.clone() }, None),
        (CheckDefinition { script_args: vec!["x".into()], ..none.clone() }, None),
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
