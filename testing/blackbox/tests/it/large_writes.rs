//! Writes larger than anything takes them: refused in Consul's words, and nothing changes, not even by a restart.

use anyhow::{Context, Result, ensure};
use blackbox::server::{Launch, Server};
use serde_json::{Value, json};

/// What it is, the door, the body, and what the refusal says.
type Case = (&'static str, &'static str, String, &'static str);

fn cases() -> Vec<Case> {
    let kib = |kib: usize| "x".repeat(kib << 10);
    let put =
        |n: usize| json!({ "KV": { "Verb": "set", "Key": format!("t{n}"), "Value": kib(40) } });
    let meta = |kib_each: usize, keys: usize| -> Value {
        (0..keys)
            .map(|n| (format!("k{n}"), json!(kib(kib_each))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let node = |meta: Value| json!({ "Node": "big", "Address": "10.0.0.1", "NodeMeta": meta });
    let text = "Request body(";
    vec![
        ("a value", "/v1/kv/big", kib(513), text),
        ("a transaction", "/v1/txn", json!((0..20).map(put).collect::<Vec<_>>()).to_string(), text),
        ("an entry", "/v1/catalog/register", node(meta(500, 9)).to_string(), "write of "),
        ("a body", "/v1/catalog/register", node(meta(500, 12)).to_string(), "request body of "),
        (
            "a registration",
            "/v1/agent/service/register",
            json!({ "Name": "big", "Tags": [kib(2000)] }).to_string(),
            "registration of ",
        ),
    ]
}

/// All that a write could have changed.
fn state(server: &Server) -> Result<Vec<Value>> {
    let mut http = server.client();
    let mut state = Vec::new();
    for path in ["/v1/catalog/nodes", "/v1/catalog/services", "/v1/agent/services"] {
        let answer = http.get(path)?.expect_status(200)?;
        state.push(json!([answer.index().unwrap_or_default(), answer.json()?]));
    }
    let keys = http.get("/v1/kv/?recurse")?;
    state.push(json!([keys.status, keys.index()?]));
    Ok(state)
}

#[test]
fn a_write_larger_than_is_taken_changes_nothing() -> Result<()> {
    let launch = Launch::durable();
    let server = launch.start()?;
    server.client().put_ok("/v1/kv/small", "x")?;
    let before = state(&server)?;
    for (what, path, body, text) in cases() {
        let answer = server.client().put(path, &body)?;
        ensure!(answer.status == 413, "{what}: {} {}", answer.status, answer.text());
        ensure!(answer.text().starts_with(text), "{what}: {}", answer.text());
        ensure!(state(&server)? == before, "{what} left something");
    }
    let value = server.client().put("/v1/kv/big", "x".repeat((512 << 10) + 1))?.text();
    ensure!(
        value.starts_with(
            "Request body(524289 bytes) too large, max size: 524288 bytes. See https://"
        ),
        "{value}"
    );
    server.client().put_ok("/v1/kv/largest", "x".repeat(512 << 10))?;
    server.client().delete("/v1/kv/largest")?.expect_status(200)?;
    server.kill()?;
    let server = launch.start().context("started again")?;
    ensure!(server.client().get("/v1/kv/big")?.status == 404, "a refused value is there");
    ensure!(server.client().get_json("/v1/catalog/node/big")?.is_null(), "a refused node is there");
    server.stop()
}
