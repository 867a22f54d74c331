//! Requests that no client library sends, and clients that vanish.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail, ensure};
use blackbox::http::{Answer, read_answer};
use blackbox::memory::{returned_at_once, settles};
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use serde_json::json;

/// Sends bytes as they are; the answer, if one comes.
fn raw(server: &Server, bytes: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(server.http)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(bytes)?;
    read_answer(&mut BufReader::new(stream))
}

fn answers_still(server: &Server) -> Result<()> {
    let leader = server.client().patient(SOON).get("/v1/status/leader")?;
    ensure!(leader.status == 200, "{leader:?}");
    Ok(())
}

#[test]
fn wrong_json_is_refused_with_consuls_words_and_changes_nothing() -> Result<()> {
    let server = Launch::dev().start()?;
    let mut http = server.client();
    let before = http.get("/v1/catalog/nodes")?.index()?;
    let doors = [
        "/v1/agent/service/register",
        "/v1/catalog/register",
        "/v1/catalog/deregister",
        "/v1/session/create",
    ];
    let deep = "[".repeat(100_000);
    let bodies =
        ["{", "[]", "\"x\"", "{\"Node\":{}}", "{\"Name\":5,\"Node\":5}", "\u{0}", deep.as_str()];
    for door in doors {
        for body in bodies {
            let answer = http.put(door, body)?;
            let shown: String = body.chars().take(30).collect();
            // An unknown field is nothing to session/create, so `Node` of a wrong kind is all it can refuse.
            ensure!(
                answer.status == 400,
                "PUT {door} {shown}: {} {}",
                answer.status,
                answer.text()
            );
            ensure!(
                answer.text().starts_with("Request decode failed: "),
                "PUT {door} {shown}: {}",
                answer.text()
            );
        }
    }
    let odd =
        http.put("/v1/catalog/register", b"{\"Node\":\"\xff\xfe\",\"Address\":\"10.0.0.1\"}")?;
    ensure!(
        matches!(odd.status, 200 | 400),
        "bytes that are no UTF-8: {} {}",
        odd.status,
        odd.text()
    );
    answers_still(&server)?;
    let after = server.client().get("/v1/catalog/nodes")?.index()?;
    ensure!(after == before || odd.status == 200, "index {before} became {after}");
    Ok(())
}

#[test]
fn wrong_methods_paths_and_heads_are_refused() -> Result<()> {
    let server = Launch::dev().start()?;
    let cases: &[(&str, u16, &str)] = &[
        (
            "POST /v1/catalog/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            405,
            "method POST not allowed",
        ),
        ("GET /v1/catalog/register HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method GET not allowed"),
        (
            "GET /v1/nope HTTP/1.1\r\nHost: x\r\n\r\n",
            404,
            "Invalid URL path: not a recognized HTTP API endpoint",
        ),
        (
            "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n",
            404,
            "Invalid URL path: if attempting to use the HTTP API",
        ),
        ("GET /v1/kv/%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, ""),
        (
            "GET /v1/health/service/a?passing=x HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "Invalid value for ?passing",
        ),
        ("GET /v1/catalog/nodes?dc=far HTTP/1.1\r\nHost: x\r\n\r\n", 500, "No path to datacenter"),
        ("nonsense\r\n\r\n", 400, ""),
        ("GET / HTTP/9.9\r\n\r\n", 400, ""),
        ("PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, ""),
    ];
    for (request, status, text) in cases {
        let answer = raw(&server, request.as_bytes()).with_context(|| request.to_string())?;
        ensure!(answer.status == *status, "{request:?}: {} {}", answer.status, answer.text());
        ensure!(answer.text().contains(text), "{request:?}: {}", answer.text());
    }
    let long =
        format!("GET /v1/kv/x HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(4 << 20));
    if let Ok(answer) = raw(&server, long.as_bytes()) {
        ensure!(matches!(answer.status, 400 | 431), "4 MiB of head: {}", answer.status);
    }
    answers_still(&server)
}

#[test]
fn oversized_bodies_are_refused_without_being_kept() -> Result<()> {
    let server = returned_at_once(Launch::dev()).start()?;
    answers_still(&server)?;
    settles(&server.process, || send_oversized(&server))?;
    ensure!(server.client().get("/v1/kv/huge")?.status == 404, "a refused value was kept");
    Ok(())
}

/// Sends up to 64 MiB to each kind of door, with honest and dishonest lengths and with none.
fn send_oversized(server: &Server) -> Result<()> {
    for (path, text) in [
        ("/v1/kv/huge", "too large"),
        ("/v1/catalog/register", ""),
        ("/v1/agent/service/register", ""),
    ] {
        for length in [64 << 20, 10u64 << 30] {
            let mut stream = TcpStream::connect(server.http)?;
            stream.set_read_timeout(Some(SOON))?;
            stream.set_write_timeout(Some(SOON))?;
            write!(stream, "PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")?;
            for _ in 0..64 {
                if stream.write_all(&vec![b' '; 1 << 20]).is_err() {
                    break; // refused and closed, as it may be
                }
            }
            if let Ok(answer) = read_answer(&mut BufReader::new(stream)) {
                ensure!(
                    matches!(answer.status, 400 | 413),
                    "{path} {length}: {} {}",
                    answer.status,
                    answer.text()
                );
                ensure!(answer.text().contains(text), "{path} {length}: {}", answer.text());
            }
            answers_still(server)?;
        }
    }
    let chunked = "PUT /v1/kv/huge HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let mut stream = TcpStream::connect(server.http)?;
    stream.write_all(chunked.as_bytes())?;
    for _ in 0..64 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    Ok(())
}

#[test]
fn half_a_request_is_no_write_and_holds_nobody_up() -> Result<()> {
    let server = Launch::dev().start()?;
    let mut slow = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(server.http)?;
        let request = match n % 3 {
            0 => "PUT /v1/kv/half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal",
            1 => "PUT /v1/kv/half HTTP/1.1\r\nHo",
            _ => {
                "PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"Node\":\"half\",\"Address\":\"10.0.0.1\"}"
            }
        };
        stream.write_all(request.as_bytes())?;
        slow.push(stream);
    }
    answers_still(&server)?;
    drop(slow);
    answers_still(&server)?;
    ensure!(server.client().get("/v1/kv/half")?.status == 404, "half a value was written");
    ensure!(
        server.client().get_json("/v1/catalog/node/half")?.is_null(),
        "half a registration was applied"
    );
    Ok(())
}

#[test]
fn clients_that_vanish_while_blocked_leave_nothing_behind() -> Result<()> {
    let server = returned_at_once(Launch::dev()).start()?;
    let index = server.client().get("/v1/kv/nope")?.index()?;
    // Connections of the client above may still count among the files, so a few less are enough.
    let open = || -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", server.process.pid()))?.count())
    };
    let files = open()?;
    settles(&server.process, || {
        let mut blocked = Vec::new();
        for n in 0..100 {
            let mut stream = TcpStream::connect(server.http)?;
            write!(
                stream,
                "GET /v1/kv/nope{n}?index={index}&wait=600s HTTP/1.1\r\nHost: x\r\n\r\n"
            )?;
            blocked.push(stream);
        }
        until("the server to have taken them", SOON, || {
            ensure!(open()? >= files + 90, "{} files open", open()?);
            Ok(())
        })?;
        drop(blocked);
        until("their files to be closed", SOON, || {
            ensure!(open()? <= files + 5, "{} files open, {files} before", open()?);
            Ok(())
        })
    })?;
    answers_still(&server)
}

#[test]
fn one_client_may_hold_only_so_many_connections() -> Result<()> {
    let server =
        Launch::dev().config(&json!({ "limits": { "http_max_conns_per_client": 20 } })).start()?;
    let mut held = Vec::new();
    for n in 1..=20 {
        let (stream, answer) = ask_from_afar(&server)?;
        ensure!(answer.status == 200, "connection {n}: {answer:?}");
        held.push(stream);
    }
    let text = "Your IP is issuing too many concurrent connections, please rate limit your calls";
    for n in 21..=22 {
        let (_, refused) = ask_from_afar(&server)?;
        ensure!(refused.status == 429 && refused.text().contains(text), "{n}: {refused:?}");
    }
    answers_still(&server)?; // another client
    drop(held);
    until("connections to be taken again", SOON, || {
        let (_, answer) = ask_from_afar(&server)?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
}

/// Asks from another address than all who wait for a server to start, so that every connection that counts is known:
/// theirs may be open still. The connection stays.
fn ask_from_afar(server: &Server) -> Result<(TcpStream, Answer)> {
    let SocketAddr::V4(to) = server.http else { bail!("{} is not IPv4", server.http) };
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 2, 0))?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(to))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let answer = read_answer(&mut BufReader::new(stream.try_clone()?))?;
    Ok((stream, answer))
}
