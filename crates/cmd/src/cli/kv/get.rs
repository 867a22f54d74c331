//! `rutter kv get`.

use super::one_word;
use super::pair::Pair;
use crate::cli::client::{self, Answer, Client, ClientError, Query, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use clap::Args;

/// Prints the value of a key, or lists keys.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter kv get redis/config/connections\n  $ rutter kv get -detailed redis/config/connections\n  \
                        $ rutter kv get -recurse redis/\n  $ rutter kv get -keys redis/"
)]
pub struct Get {
    /// Print values in base 64
    #[arg(long)]
    base64: bool,
    /// Print all that is known of a key
    #[arg(long)]
    detailed: bool,
    /// List the keys that begin so, as far as the next separator
    #[arg(long)]
    keys: bool,
    /// Print all keys that begin so, with their values
    #[arg(long)]
    recurse: bool,
    /// Where -keys ends a name
    #[arg(long, value_name = "TEXT", default_value = "/")]
    separator: String,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// The key, or how keys begin
    #[arg(value_name = "KEY")]
    words: Vec<String>,
}

impl Get {
    /// Prints what is there; a key that is not there is a failure.
    pub fn run(self) -> Outcome {
        let key = one_word(&self.words)?;
        if key.is_empty() && !self.recurse && !self.keys {
            return Err("Error! Missing KEY argument".into());
        }
        let client = self.client.client()?;
        client::run(async {
            if self.keys {
                return self.names(&client, &key).await;
            }
            let found = self.ask(&client, &key).await;
            let found = found.map_err(|why| format!("Error querying Consul agent: {why}"))?;
            if self.recurse {
                self.list(&found);
                return Ok(());
            }
            let Some(pair) = found.first() else {
                return Err(format!("Error! No key exists at: {key}").into());
            };
            match self.detailed {
                true => output::say_bytes(&detailed(pair, self.base64)),
                false => output::say_bytes(&pair.shown(self.base64)),
            }
            Ok(())
        })
    }

    async fn ask(&self, client: &Client, key: &str) -> Result<Vec<Pair>, ClientError> {
        let query = self.server.query().with_flag("recurse", self.recurse);
        let found: Option<Answer> = client.find(&path("/v1/kv/", key), &query).await?;
        found.map_or(Ok(Vec::new()), |answer| Pair::all(&answer))
    }

    async fn names(&self, client: &Client, prefix: &str) -> Outcome {
        let query: Query = self.server.query().with("keys", "");
        let query = query.with_some("separator", Some(&self.separator));
        let found = client.find(&path("/v1/kv/", prefix), &query).await;
        let found = found.and_then(|answer| answer.map(|answer| answer.json()).transpose());
        let found = found.map_err(|why| format!("Error querying Consul agent: {why}"))?;
        let names = found.unwrap_or_default();
        for name in names.as_array().into_iter().flatten() {
            output::say(&output::cell(name));
        }
        Ok(())
    }

    fn list(&self, pairs: &[Pair]) {
        for (n, pair) in pairs.iter().enumerate() {
            if self.detailed {
                if n > 0 {
                    output::say("");
                }
                output::say_bytes(&detailed(pair, self.base64));
            } else {
                output::say_bytes(&line(pair, self.base64));
            }
        }
    }
}

/// A key and its value, which is printed as it is.
fn line(pair: &Pair, base64: bool) -> Vec<u8> {
    [output::plain(&pair.key).as_bytes(), b":", &pair.shown(base64)].concat()
}

fn detailed(pair: &Pair, base64: bool) -> Vec<u8> {
    let session = if pair.session.is_empty() { "-" } else { &pair.session };
    let rows = [
        ("CreateIndex", pair.create_index.to_string()),
        ("Flags", pair.flags.to_string()),
        ("Key", pair.key.clone()),
        ("LockIndex", pair.lock_index.to_string()),
        ("ModifyIndex", pair.modify_index.to_string()),
        ("Session", session.to_owned()),
        ("Value", String::new()),
    ];
    let mut shown = output::pairs(&rows.map(|(name, value)| (name.to_owned(), value))).into_bytes();
    shown.extend(pair.shown(base64));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_plain_and_a_value_is_not() {
        let (key, value) = ("a\u{1b}[2J\n\u{202e}b".to_owned(), b"\x1b[2J\n".to_vec());
        let pair = Pair { key, value, ..Pair::default() };
        assert_eq!(line(&pair, false), b"a\\x1b[2J\\n\\u202eb:\x1b[2J\n");
    }

    #[test]
    fn a_key_that_nobody_holds_has_a_dash_for_its_session() {
        let pair = Pair { key: "a".into(), value: b"x".to_vec(), flags: 42, ..Pair::default() };
        let expected = [
            "CreateIndex      0",
            "Flags            42",
            "Key              a",
            "LockIndex        0",
            "ModifyIndex      0",
            "Session          -",
            "Value            eA==",
        ];
        assert_eq!(String::from_utf8(detailed(&pair, true)), Ok(expected.join("\n")));
    }
}
