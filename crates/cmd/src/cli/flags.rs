//! The flags of every command that asks an agent, and the environment behind them.
//!
//! A flag counts over its variable. Source: Consul, "Consul Commands (CLI)", environment variables.

use super::client::{Client, Query, Settings, Tls, Transport};
use super::failure::Failure;
use super::go_bool;
use super::output;
use clap::Args;
use std::path::{Path, PathBuf};

const HEADING: &str = "Connection";

/// Where the agent is and who asks.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = HEADING)]
pub struct ClientFlags {
    /// Where the agent answers: HOST:PORT, http://…, https://… or unix:///PATH (CONSUL_HTTP_ADDR;
    /// else 127.0.0.1:8500)
    #[arg(long, value_name = "ADDRESS")]
    http_addr: Option<String>,
    /// The token of whoever asks (CONSUL_HTTP_TOKEN)
    #[arg(long, value_name = "SECRET")]
    token: Option<String>,
    /// A file that holds the token (CONSUL_HTTP_TOKEN_FILE)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file of authorities that vouch for the agent (CONSUL_CACERT)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A directory of such files (CONSUL_CAPATH)
    #[arg(long, value_name = "DIR")]
    ca_path: Option<PathBuf>,
    /// A file with the certificate to show (CONSUL_CLIENT_CERT)
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// A file with its key (CONSUL_CLIENT_KEY)
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// The name to expect of the agent (CONSUL_TLS_SERVER_NAME)
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Sent along; there is one namespace (CONSUL_NAMESPACE)
    #[arg(long, value_name = "NAME", alias = "ns")]
    namespace: Option<String>,
    /// Sent along; there is one partition (CONSUL_PARTITION)
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
}

/// Which datacenter is asked, and how fresh the answer must be.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = HEADING)]
pub struct ServerFlags {
    /// The datacenter to ask; the agent's own by default
    #[arg(long, value_name = "NAME")]
    pub datacenter: Option<String>,
    /// Let any server answer, even if it may be behind
    #[arg(long)]
    pub stale: bool,
}

impl ServerFlags {
    /// Both as parameters of a read.
    pub fn query(&self) -> Query {
        self.write().with_flag("stale", self.stale)
    }

    /// The datacenter as a parameter of a write.
    pub fn write(&self) -> Query {
        Query::new().with_some("dc", self.datacenter.as_deref())
    }
}

impl ClientFlags {
    /// A client as the flags and the environment say.
    pub fn client(&self) -> Result<Client, Failure> {
        self.settings(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .and_then(Client::new)
            .map_err(|why| Failure::from(format!("Error connecting to Consul agent: {why}")))
    }

    /// The settings, given the environment.
    fn settings(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let or = |flag: &Option<String>, name: &str| {
            flag.clone().filter(|value| !value.is_empty()).or_else(|| env(name))
        };
        let file = |flag: &Option<PathBuf>, name: &str| {
            flag.clone().or_else(|| env(name).map(PathBuf::from))
        };
        let truth = |name: &str| env(name).and_then(|text| truth_of(name, &text));
        let address = or(&self.http_addr, "CONSUL_HTTP_ADDR");
        let address = address.unwrap_or_else(|| "127.0.0.1:8500".to_owned());
        let encrypted = truth("CONSUL_HTTP_SSL").unwrap_or(false);
        let auth = env("CONSUL_HTTP_AUTH").map(|given| match given.split_once(':') {
            Some((user, password)) => (user.to_owned(), password.to_owned()),
            None => (given, String::new()),
        });
        let server_name = or(&self.tls_server_name, "CONSUL_TLS_SERVER_NAME");
        Ok(Settings {
            transport: Transport::parse(&address, encrypted)?,
            token: self.token(env)?,
            auth,
            namespace: or(&self.namespace, "CONSUL_NAMESPACE"),
            partition: or(&self.partition, "CONSUL_PARTITION"),
            tls: Tls {
                ca_file: file(&self.ca_file, "CONSUL_CACERT"),
                ca_path: file(&self.ca_path, "CONSUL_CAPATH"),
                client_cert: file(&self.client_cert, "CONSUL_CLIENT_CERT"),
                client_key: file(&self.client_key, "CONSUL_CLIENT_KEY"),
                server_name,
                verify: truth("CONSUL_HTTP_SSL_VERIFY").unwrap_or(true),
            },
        })
    }

    /// In this order: `-token-file`, `-token`, the file that the environment names, its token.
    fn token(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
        if let Some(file) = &self.token_file {
            return token_in(file).map(Some);
        }
        if let Some(token) = self.token.clone().filter(|token| !token.is_empty()) {
            return Ok(Some(token));
        }
        match env("CONSUL_HTTP_TOKEN_FILE").filter(|file| !file.is_empty()) {
            Some(file) => token_in(Path::new(&file)).map(Some),
            None => Ok(env("CONSUL_HTTP_TOKEN")),
        }
    }
}

/// The token that a file holds. Going on without one would act as somebody else.
fn token_in(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let read = std::fs::read_to_string(file)
        .map_err(|why| format!("Error loading token file {shown}: {}", output::file_error(&why)))?;
    match read.trim() {
        "" => Err(format!("Error loading token file {shown}: it is empty")),
        token => Ok(token.to_owned()),
    }
}

/// A boolean of the environment; what is none is said and does not count.
fn truth_of(name: &str, text: &str) -> Option<bool> {
    let read = go_bool(text);
    if read.is_err() {
        output::complain(&format!("could not parse {name}: {} is no boolean", lang::quote(text)));
    }
    read.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &ClientFlags, env: &[(&str, &str)]) -> Settings {
        let find = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        flags.settings(&find).expect("is taken")
    }

    #[track_caller]
    fn check(flag: Option<&str>, env: &[(&str, &str)], expected: &str) {
        let flags = ClientFlags { http_addr: flag.map(str::to_owned), ..ClientFlags::default() };
        assert_eq!(settings(&flags, env).transport.url("/x"), expected);
    }

    #[test]
    fn a_flag_counts_over_the_environment_and_that_over_the_default() {
        check(None, &[], "http://127.0.0.1:8500/x");
        check(None, &[("CONSUL_HTTP_ADDR", "10.0.0.1:1")], "http://10.0.0.1:1/x");
        check(Some("a:2"), &[("CONSUL_HTTP_ADDR", "10.0.0.1:1")], "http://a:2/x");
        check(None, &[("CONSUL_HTTP_SSL", "1")], "https://127.0.0.1:8500/x");
        check(Some("http://a:2"), &[("CONSUL_HTTP_SSL", "true")], "https://a:2/x");
        check(None, &[("CONSUL_HTTP_SSL", "maybe")], "http://127.0.0.1:8500/x");
    }

    #[test]
    fn a_token_comes_from_the_nearest_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        std::fs::write(&file, " from-file\n").expect("written");
        let path = file.display().to_string();
        let flags = |token: Option<&str>, token_file: Option<PathBuf>| ClientFlags {
            token: token.map(str::to_owned),
            token_file,
            ..ClientFlags::default()
        };
        let env = [("CONSUL_HTTP_TOKEN", "env"), ("CONSUL_HTTP_TOKEN_FILE", path.as_str())];
        let token = |flags, env| settings(&flags, env).token;
        assert_eq!(token(flags(None, None), &env[..1]).as_deref(), Some("env"));
        assert_eq!(token(flags(None, None), &env).as_deref(), Some("from-file"));
        assert_eq!(token(flags(Some("flag"), None), &env).as_deref(), Some("flag"));
        assert_eq!(token(flags(Some("flag"), Some(file)), &[]).as_deref(), Some("from-file"));
        let missing = flags(None, Some("missing".into())).settings(&|_| None);
        let why = missing.map(|_| ()).unwrap_err();
        assert_eq!(why, "Error loading token file missing: open: no such file or directory");
        let named = |name: &str| (name == "CONSUL_HTTP_TOKEN_FILE").then(|| "missing".to_owned());
        let missing = flags(None, None).settings(&named);
        assert_eq!(missing.map(|_| ()).unwrap_err(), why);
    }
}
