//! `rutter kv delete`.

use super::one_word;
use crate::cli::client::{self, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use bytes::Bytes;
use clap::Args;
use http::Method;

/// Removes a key, or all below a prefix.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter kv delete redis/config/connections\n  $ rutter kv delete -recurse redis/\n  \
                        $ rutter kv delete -cas -modify-index=844 redis/config/connections"
)]
pub struct Delete {
    /// Remove only if the key was last written at -modify-index
    #[arg(long)]
    cas: bool,
    /// See -cas
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    modify_index: u64,
    /// Remove all keys that begin so
    #[arg(long)]
    recurse: bool,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// The key, or how keys begin
    #[arg(value_name = "KEY")]
    words: Vec<String>,
}

impl Delete {
    /// Removes, and says that it was done.
    pub fn run(self) -> Outcome {
        let key = one_word(&self.words)?;
        self.check(&key)?;
        let query = self.server.write().with_flag("recurse", self.recurse);
        let query = if self.cas { query.with("cas", self.modify_index) } else { query };
        let client = self.client.client()?;
        client::run(async {
            let done =
                client.ask(Method::DELETE, &path("/v1/kv/", &key), &query, Bytes::new()).await;
            match done {
                Err(why) if self.recurse => {
                    Err(format!("Error! Did not delete prefix {key}: {why}").into())
                }
                Err(why) if self.cas => {
                    Err(format!("Error! Did not delete key {key}: {why}").into())
                }
                Err(why) => Err(format!("Error deleting key {key}: {why}").into()),
                Ok(answer) if self.cas && !answer.is_true() => {
                    Err(format!("Error! Did not delete key {key}: CAS failed").into())
                }
                Ok(_) if self.recurse => {
                    output::say(&format!("Success! Deleted keys with prefix: {key}"));
                    Ok(())
                }
                Ok(_) => {
                    output::say(&format!("Success! Deleted key: {key}"));
                    Ok(())
                }
            }
        })
    }

    fn check(&self, key: &str) -> Result<(), String> {
        let why = if key.is_empty() && !self.recurse {
            "Error! Missing KEY argument"
        } else if self.cas && self.modify_index == 0 {
            "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0."
        } else if self.modify_index != 0 && !self.cas {
            "Cannot specify -modify-index without -cas!"
        } else if self.recurse && self.cas {
            "Cannot specify both -cas and -recurse!"
        } else {
            return Ok(());
        };
        Err(why.to_owned())
    }
}
