//! `rutter kv put`.

use super::{data, without_slash};
use crate::cli::client::{self, Query, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use clap::Args;

/// Writes a key.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter kv put redis/config/connections 5\n  $ rutter kv put program/license @license.lic\n  \
                        $ echo abcd | rutter kv put program/license -\n  \
                        $ rutter kv put -cas -modify-index=844 redis/config/connections 6"
)]
pub struct Put {
    /// Take the lock of the key for -session
    #[arg(long)]
    acquire: bool,
    /// The value is given in base 64
    #[arg(long)]
    base64: bool,
    /// Write only if the key was last written at -modify-index
    #[arg(long)]
    cas: bool,
    /// A number to keep beside the value
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    flags: u64,
    /// See -cas
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    modify_index: u64,
    /// Give the lock of the key back
    #[arg(long)]
    release: bool,
    /// The session that takes or gives back the lock
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    session: String,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// The key, and the value: itself, @FILE or - for stdin
    #[arg(value_names = ["KEY", "VALUE"], num_args = 0.., allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Put {
    /// Writes, and says that it was done.
    pub fn run(self) -> Outcome {
        let (key, value) = self.key_and_value().map_err(|why| format!("Error! {why}"))?;
        if (self.release || self.acquire) && self.session.is_empty() {
            return Err("Error! Missing -session (required with -acquire and -release)".into());
        }
        if self.cas && self.modify_index == 0 {
            return Err("Must specify -modify-index with -cas!".into());
        }
        let client = self.client.client()?;
        client::run(async {
            let done = client.put(&path("/v1/kv/", &key), &self.query(), value).await;
            match done {
                Err(why) if self.cas => Err(format!("Error! Did not write to {key}: {why}").into()),
                Err(why) => Err(format!("Error! Failed writing data: {why}").into()),
                Ok(answer) => self.told(&key, answer.is_true()),
            }
        })
    }

    fn key_and_value(&self) -> Result<(String, Vec<u8>), String> {
        let (key, value) = match self.words.as_slice() {
            [] => return Err("Missing KEY argument".to_owned()),
            [key] => (key, Vec::new()),
            [key, word] => (key, data(word)?),
            words => {
                let given = words.len();
                return Err(format!("Too many arguments (expected 1 or 2, got {given})"));
            }
        };
        let key = without_slash(key).to_owned();
        if !self.base64 {
            return Ok((key, value));
        }
        let text = String::from_utf8_lossy(&value);
        let decoded = lang::base64::decode(&text);
        Ok((key, decoded.map_err(|why| format!("Cannot base 64 decode data: {why}"))?))
    }

    fn query(&self) -> Query {
        let query = self.server.write();
        let query = if self.flags == 0 { query } else { query.with("flags", self.flags) };
        if self.cas {
            query.with("cas", self.modify_index)
        } else if self.acquire {
            query.with("acquire", &self.session)
        } else if self.release {
            query.with("release", &self.session)
        } else {
            query
        }
    }

    fn told(&self, key: &str, done: bool) -> Outcome {
        let (success, failure) = if self.cas {
            ("Data written to", format!("Did not write to {key}: CAS failed"))
        } else if self.acquire {
            ("Lock acquired on", "Did not acquire lock".to_owned())
        } else if self.release {
            ("Lock released on", "Did not release lock".to_owned())
        } else {
            ("Data written to", format!("Did not write to {key}"))
        };
        if !done {
            return Err(format!("Error! {failure}").into());
        }
        output::say(&format!("Success! {success}: {key}"));
        Ok(())
    }
}
