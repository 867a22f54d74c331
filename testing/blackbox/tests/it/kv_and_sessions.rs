//! Keys by `curl`; sessions that expire, delay and delete.

use std::time::Duration;

use anyhow::{Result, ensure};
use blackbox::http::Http;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use serde_json::json;

dev_and_durable! {
    keys_are_written_read_listed_and_removed_by_curl
    a_lock_is_held_by_one_session
    destroying_a_session_does_what_its_behaviour_says
}

fn keys_are_written_read_listed_and_removed_by_curl(server: &Server) -> Result<()> {
    let put = |path: &str, body: &str| server.curl(path, &["-X", "PUT", "--data-binary", body]);
    ensure!(put("/v1/kv/app/one?flags=42", "hello")?.trim() == "true", "put");
    ensure!(put("/v1/kv/app/two", "")?.trim() == "true", "put an empty value");
    ensure!(server.curl("/v1/kv/app/one?raw", &[])? == "hello", "raw");
    let row = server.client().get_json("/v1/kv/app/one")?;
    ensure!(
        row[0]["Value"] == "aGVsbG8=" && row[0]["Flags"] == 42 && row[0]["LockIndex"] == 0,
        "{row}"
    );
    ensure!(
        server.client().get_json("/v1/kv/app/two")?[0]["Value"].is_null(),
        "an empty value is null"
    );
    ensure!(server.client().get_json("/v1/kv/?keys&separator=/")? == json!(["app/"]), "keys");
    ensure!(
        server.client().get_json("/v1/kv/app?recurse")?.as_array().is_some_and(|r| r.len() == 2),
        "recurse"
    );
    let index = row[0]["ModifyIndex"].as_u64().unwrap_or_default();
    ensure!(put("/v1/kv/app/one?cas=1", "no")?.trim() == "false", "a stale swap");
    ensure!(put(&format!("/v1/kv/app/one?cas={index}"), "yes")?.trim() == "true", "a swap");
    ensure!(server.curl("/v1/kv/app?recurse", &["-X", "DELETE"])?.trim() == "true", "delete");
    let gone = server.client().get("/v1/kv/app/one")?;
    ensure!(gone.status == 404 && gone.body.is_empty() && gone.index()? > index, "{gone:?}");
    let large = server.client().put("/v1/kv/large", vec![b'x'; 512 * 1024 + 1])?;
    ensure!(large.status == 413, "{}: {}", large.status, large.text());
    ensure!(
        server.client().put("/v1/kv/large", vec![b'x'; 512 * 1024])?.status == 200,
        "the largest value"
    );
    Ok(())
}

fn session(http: &mut Http, body: &serde_json::Value) -> Result<String> {
    let made = http.put_ok("/v1/session/create", body.to_string())?.json()?;
    Ok(made["ID"].as_str().unwrap_or_default().to_owned())
}

fn did(http: &mut Http, path: &str) -> Result<bool> {
    Ok(http.put_ok(path, "")?.text().trim() == "true")
}

fn a_lock_is_held_by_one_session(server: &Server) -> Result<()> {
    let http = &mut server.client();
    let (one, two) =
        (session(http, &json!({ "Name": "one" }))?, session(http, &json!({ "Name": "two" }))?);
    ensure!(did(http, &format!("/v1/kv/lock?acquire={one}"))?, "free");
    ensure!(did(http, &format!("/v1/kv/lock?acquire={one}"))?, "again by its holder");
    ensure!(!did(http, &format!("/v1/kv/lock?acquire={two}"))?, "held");
    ensure!(!did(http, &format!("/v1/kv/lock?release={two}"))?, "not the holder");
    let row = http.get_json("/v1/kv/lock")?;
    ensure!(row[0]["Session"] == one.as_str() && row[0]["LockIndex"] == 1, "{row}");
    ensure!(did(http, &format!("/v1/kv/lock?release={one}"))?, "released");
    ensure!(did(http, &format!("/v1/kv/lock?acquire={two}"))?, "free again");
    let unknown = http.put("/v1/kv/lock?acquire=11111111-2222-3333-4444-555555555555", "")?;
    let text = "invalid session \"11111111-2222-3333-4444-555555555555\"";
    ensure!(
        unknown.status == 500 && unknown.text().contains(text),
        "{} {}",
        unknown.status,
        unknown.text()
    );
    let list = http.get_json("/v1/session/list")?;
    ensure!(list.as_array().is_some_and(|l| l.len() == 2), "{list}");
    ensure!(http.get_json(&format!("/v1/session/info/{one}"))?[0]["Name"] == "one", "info");
    Ok(())
}

fn destroying_a_session_does_what_its_behaviour_says(server: &Server) -> Result<()> {
    let http = &mut server.client();
    for (behaviour, stays) in [("release", true), ("delete", false)] {
        let id = session(http, &json!({ "Behavior": behaviour, "LockDelay": "0s" }))?;
        ensure!(did(http, &format!("/v1/kv/{behaviour}?acquire={id}"))?, "acquire");
        ensure!(did(http, &format!("/v1/session/destroy/{id}"))?, "destroy");
        let key = http.get(&format!("/v1/kv/{behaviour}"))?;
        ensure!((key.status == 200) == stays, "{behaviour}: {} {}", key.status, key.text());
        ensure!(!key.text().contains("Session"), "{behaviour}: still held: {}", key.text());
    }
    Ok(())
}

#[test]
fn a_session_that_is_not_renewed_ends_and_its_lock_is_delayed() -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        let server = launch.config(&json!({ "session_ttl_min": "1s" })).start()?;
        let http = &mut server.client();
        let refused = http.put("/v1/session/create", r#"{"TTL":"900ms"}"#)?;
        ensure!(
            refused
                .text()
                .starts_with("Invalid Session TTL '900000000', must be between [1s=24h0m0s]"),
            "{}",
            refused.text()
        );
        let short = session(http, &json!({ "TTL": "1s", "LockDelay": "2s" }))?;
        let next = session(http, &json!({ "LockDelay": "0s" }))?;
        ensure!(did(http, &format!("/v1/kv/lock?acquire={short}"))?, "acquire");
        ensure!(http.put(&format!("/v1/session/renew/{short}"), "")?.status == 200, "renew");
        until("the session to end", SOON, || {
            ensure!(http.get_json(&format!("/v1/session/info/{short}"))? == json!([]), "it lives");
            Ok(())
        })?;
        ensure!(
            http.put(&format!("/v1/session/renew/{short}"), "")?.status == 404,
            "renewing what has ended"
        );
        ensure!(
            !did(http, &format!("/v1/kv/lock?acquire={next}"))?,
            "the lock-delay has not passed"
        );
        until("the lock-delay to pass", Duration::from_secs(10), || {
            ensure!(did(http, &format!("/v1/kv/lock?acquire={next}"))?, "not yet");
            Ok(())
        })?;
    }
    Ok(())
}
