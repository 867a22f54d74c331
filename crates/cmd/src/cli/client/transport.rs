//! How an agent is reached: what `-http-addr` says.

/// The port of an address without one.
const PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Over TCP.
    Tcp {
        /// Whether TLS is spoken.
        encrypted: bool,
        /// The address as it was given, `host` or `host:port`.
        address: String,
        /// A path before every other, of a proxy; empty or begins with `/`.
        prefix: String,
    },
    /// Through a socket in the file system.
    Unix(String),
}

impl Transport {
    /// Reads an address; `encrypted` asks for TLS even where the address does not.
    pub fn parse(text: &str, encrypted: bool) -> Result<Transport, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let encrypted = match scheme {
            "unix" => return Ok(Transport::Unix(rest.to_owned())),
            "" | "http" => encrypted,
            "https" => true,
            other => return Err(format!("Unknown protocol scheme: {other}")),
        };
        let (address, prefix) = match rest.find('/') {
            Some(slash) => (&rest[..slash], rest[slash..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let (address, prefix) = (address.to_owned(), prefix.to_owned());
        Ok(Transport::Tcp { encrypted, address, prefix })
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Transport::Tcp { encrypted: true, .. })
    }

    fn scheme(&self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }

    /// The whole URL of a path and query, as it is shown.
    pub fn url(&self, target: &str) -> String {
        match self {
            Transport::Tcp { address, prefix, .. } => {
                format!("{}://{address}{prefix}{target}", self.scheme())
            }
            Transport::Unix(path) => {
                format!("http://{}{target}", super::path("", path).replace('/', "%2F"))
            }
        }
    }

    /// What the request line names.
    pub fn target(&self, target: &str) -> String {
        match self {
            Transport::Tcp { prefix, .. } => format!("{prefix}{target}"),
            Transport::Unix(_) => target.to_owned(),
        }
    }

    /// The header `Host`.
    pub fn host_header(&self) -> &str {
        match self {
            Transport::Tcp { address, .. } => address,
            Transport::Unix(_) => "localhost",
        }
    }

    /// Host and port to connect to; a host without a port has its scheme's.
    pub fn host_and_port(&self) -> (&str, u16) {
        let Transport::Tcp { address, .. } = self else { return ("", 0) };
        let usual = PORTS.iter().find(|(scheme, _)| *scheme == self.scheme());
        let usual = usual.map_or(0, |(_, port)| *port);
        let parts = address.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = match parts {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => (host, port),
            _ => (address.as_str(), usual),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }

    /// What Go's dialer calls it.
    pub fn dialled(&self) -> String {
        match self {
            Transport::Tcp { .. } => {
                let (host, port) = self.host_and_port();
                match host.contains(':') {
                    true => format!("dial tcp [{host}]:{port}"),
                    false => format!("dial tcp {host}:{port}"),
                }
            }
            Transport::Unix(path) => format!("dial unix {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, url: &str, host: &str, port: u16) {
        let transport = Transport::parse(given, false).expect(given);
        assert_eq!(transport.url("/v1/x"), url, "{given}");
        assert_eq!(transport.host_and_port(), (host, port), "{given}");
    }

    #[test]
    fn an_address_may_have_a_scheme_a_port_and_a_path() {
        check("127.0.0.1:8500", "http://127.0.0.1:8500/v1/x", "127.0.0.1", 8500);
        check("http://consul", "http://consul/v1/x", "consul", 80);
        check("https://consul", "https://consul/v1/x", "consul", 443);
        check("https://consul:8501/", "https://consul:8501/v1/x", "consul", 8501);
        check("http://proxy/consul/", "http://proxy/consul/v1/x", "proxy", 80);
        check("[::1]:8500", "http://[::1]:8500/v1/x", "::1", 8500);
        check("http://[::1]", "http://[::1]/v1/x", "::1", 80);
        check("unix:///run/c.sock", "http://%2Frun%2Fc.sock/v1/x", "", 0);
    }

    #[test]
    fn an_unknown_scheme_is_refused() {
        let refused = Transport::parse("ftp://x", false);
        assert_eq!(refused, Err("Unknown protocol scheme: ftp".to_owned()));
    }
}
