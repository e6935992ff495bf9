//! Where things are on the network: `host:port` and `http(s)` URLs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Value as Json, json};

use crate::decode::Decode;
use crate::fields::Cx;
use crate::node::Node;

/// A name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, to be resolved when it is used.
    Name(String),
}

impl Host {
    /// Reads `web-01`, `127.0.0.1` or `[::1]`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(ip.into()));
        }
        if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
            return Some(Self::Ip(ip.into()));
        }
        // RFC 1123 letters, and '_', which Windows and container networks use.
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (name.len() <= 253 && !numeric && name.split('.').all(label)).then(|| Self::Name(text.to_owned()))
    }

    /// Whether it can only be this machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// Reads `db:5432`, `127.0.0.1:80` or `[::1]:80`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self { host: Host::parse(host)?, port: parse_port(port)? })
    }
}

/// One to five digits: `u16::from_str` would take `+80` and `000080`.
fn parse_port(text: &str) -> Option<u16> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok().filter(|port| *port > 0)).flatten()
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Decode for HostPort {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let parsed = node.text().and_then(Self::parse);
        if parsed.is_none() {
            cx.expected(node, &Self::what());
        }
        parsed
    }

    fn what() -> String {
        "a host and a port such as `127.0.0.1:8080` or `db.example.com:5432`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/address" })
    }
}

/// An `http` or `https` URL without user and password.
///
/// One that came out of a placeholder may carry a secret in its path, as chat services want it; then
/// `Debug` and `Display` show scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host.
    pub host: Host,
    /// The port, by default 80 or 443.
    pub port: u16,
    /// Path and query as sent in a request; starts with `/`.
    target: String,
    secret: bool,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err("it starts with http:// or https://"),
        };
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("spaces and letters outside ASCII are written as %20 and so on");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("user and password do not belong into a URL");
        }
        let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let (host, port) = match colon {
            Some(colon) => (&authority[..colon], parse_port(&authority[colon + 1..])),
            None => (authority, Some(if tls { 443 } else { 80 })),
        };
        let host =
            Host::parse(host).ok_or("the host is a name, an IPv4 address or an IPv6 address in [ ]")?;
        let port = port.ok_or("the port is a number from 1 to 65535")?;
        let path = path.split('#').next().unwrap_or_default();
        let target = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host, port, target, secret: false })
    }

    /// Path and query as sent in a request; starts with `/`. May be secret.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// `host` or `host:port` as the `Host` header wants it.
    pub fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The whole URL, secret or not.
    pub fn expose(&self) -> String {
        format!("{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.target)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            write!(f, "{}://{}/***", if self.tls { "https" } else { "http" }, self.authority())
        } else {
            f.write_str(&self.expose())
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Decode for Url {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Some(text) = node.text() else {
            cx.expected(node, &Self::what());
            return None;
        };
        match Self::parse(text) {
            Ok(url) => Some(Self { secret: node.secret, ..url }),
            Err(hint) => {
                // A password before the host would be shown with the line and with the message.
                if text.contains('@') {
                    cx.mask(node.span);
                    cx.error(node.span, format!("expected {}", Self::what())).hint(hint);
                } else {
                    cx.expected(node, &Self::what()).hint(hint);
                }
                None
            }
        }
    }

    fn what() -> String {
        "a URL such as `http://127.0.0.1:8080/health`".to_owned()
    }

    fn schema() -> Json {
        json!({ "$ref": "#/$defs/url" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_into_their_parts() {
        let url = Url::parse("https://example.com/a?b=c#d").unwrap();
        assert_eq!((url.tls, url.port, url.target()), (true, 443, "/a?b=c"));
        assert_eq!(url.to_string(), "https://example.com/a?b=c");
        assert_eq!(Url::parse("http://[::1]:81").unwrap().expose(), "http://[::1]:81/");
        assert_eq!(Url::parse("http://a?q").unwrap().target(), "/?q");
        for bad in
            ["example.com", "ftp://a", "http://", "http://a:0", "http://a:b", "http://u:p@a/", "http://a b/"]
        {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_url_shows_only_where_it_leads() {
        let url = Url { secret: true, ..Url::parse("https://hooks.example.com/T0/B1").unwrap() };
        assert_eq!(format!("{url} {url:?}"), "https://hooks.example.com/*** https://hooks.example.com/***");
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for good in ["127.0.0.1:80", "[::1]:80", "db:5432", "a_b.example.com:1"] {
            assert_eq!(HostPort::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["db", "db:", ":80", "db:0", "db:+80", "db:65536", "::1:80", "300.1.1.1:80", "a b:80", "-:x"]
        {
            assert_eq!(HostPort::parse(bad), None, "{bad}");
        }
    }
}
