//! The session behind a lock: made, renewed at half its time, destroyed at the end.

use crate::cli::client::{Client, ClientError, Query, path};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// How long it lives without a renewal.
const TTL: Duration = Duration::from_secs(15);

/// How long between a renewal that failed and the next try.
const RETRY: Duration = Duration::from_secs(1);

/// A session of this agent's node.
pub struct Session<'c> {
    /// Who asks.
    pub client: &'c Client,
    /// Its id.
    pub id: String,
    /// The datacenter, where one was named.
    pub query: Query,
}

impl<'c> Session<'c> {
    /// Makes one.
    pub async fn begin(
        client: &'c Client,
        name: &str,
        query: &Query,
    ) -> Result<Session<'c>, ClientError> {
        let body = json!({ "Name": name, "TTL": "15s" }).to_string();
        let made = client.put("/v1/session/create", query, body).await?.json()?;
        let id = made["ID"].as_str().unwrap_or_default().to_owned();
        Ok(Session { client, id, query: query.clone() })
    }

    /// Renews it for ever. That it is gone is noticed by who watches what it holds.
    pub async fn renew(&self) -> Infallible {
        let mut pause = TTL / 2;
        loop {
            tokio::time::sleep(pause).await;
            let door = path("/v1/session/renew/", &self.id);
            let renewed = self.client.put(&door, &self.query, "").await;
            pause = if renewed.is_ok() { TTL / 2 } else { RETRY };
        }
    }

    /// Destroys it; one that cannot be reached ends by its time.
    pub async fn end(&self) {
        let door = path("/v1/session/destroy/", &self.id);
        let _ = self.client.put(&door, &self.query, "").await;
    }
}
