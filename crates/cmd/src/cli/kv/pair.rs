//! A key and what stands under it, as the agent tells it.

use crate::cli::client::{Answer, ClientError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A key with all that is known of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// A number of the client's.
    pub flags: u64,
    /// Who holds it; empty for nobody.
    pub session: String,
    /// How often it was held.
    pub lock_index: u64,
    /// When it was made.
    pub create_index: u64,
    /// When it was last written.
    pub modify_index: u64,
}

impl Pair {
    /// All pairs of an answer.
    pub fn all(answer: &Answer) -> Result<Vec<Pair>, ClientError> {
        let json = answer.json()?;
        let rows = json.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(Pair::of).collect()
    }

    fn of(row: &Value) -> Result<Pair, ClientError> {
        let number = |name: &str| row[name].as_u64().unwrap_or(0);
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let value = STANDARD.decode(row["Value"].as_str().unwrap_or_default());
        let value = value.map_err(|error| {
            ClientError::Unreadable(format!("the value of {} is no base 64: {error}", text("Key")))
        })?;
        Ok(Pair {
            key: text("Key"),
            value,
            flags: number("Flags"),
            session: text("Session"),
            lock_index: number("LockIndex"),
            create_index: number("CreateIndex"),
            modify_index: number("ModifyIndex"),
        })
    }

    /// The value as it is, or in base 64.
    pub fn shown(&self, base64: bool) -> Vec<u8> {
        if base64 { STANDARD.encode(&self.value).into_bytes() } else { self.value.clone() }
    }
}
