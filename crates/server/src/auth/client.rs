//! The address that stands in logs.
//!
//! Behind a proxy every connection comes from the proxy. Its `X-Forwarded-For` is believed only when the
//! connection itself comes from one of `trusted_proxies`: anybody can send that header.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::Request;
use http::HeaderMap;

use crate::limits::Network;

/// Who is at the other end, as far as we believe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    address: Option<IpAddr>,
    /// Whether the client's own connection was encrypted, by the word of a trusted proxy.
    pub(crate) is_https: bool,
}

impl Client {
    /// What the listener found out about the sender of `request`.
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or(Self { address: None, is_https: false })
    }

    /// The client of a connection from `peer` that sent `headers`.
    ///
    /// Proxies append the address they saw, so the list is read from its end, and the first address that is
    /// no proxy of ours is the client's.
    pub(crate) fn behind(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let peer = peer.to_canonical();
        if !is_trusted(peer) {
            return Self { address: Some(peer), is_https: false };
        }
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .collect();
        let mut address = peer;
        for hop in forwarded.iter().rev() {
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_trusted(address) {
                break;
            }
        }
        let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        Self { address: Some(address), is_https }
    }
}

impl Client {
    /// Whether it is in one of these networks, as far as its address tells.
    pub(crate) fn is_in(self, networks: &[Network]) -> bool {
        self.address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
    }

    /// Its address as that of a connection, of whose port nothing is known.
    pub(crate) fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), 0)
    }

    /// Whether it is on this host, as far as its address tells.
    pub(crate) fn is_local(self) -> bool {
        self.address.is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(peer: &str, forwarded: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        Client::behind(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_forwarded_address_is_believed_only_from_a_trusted_proxy() {
        assert_eq!(behind("192.0.2.1", "198.51.100.9"), "192.0.2.1");
        assert_eq!(behind("10.0.0.1", "198.51.100.9"), "198.51.100.9");
        assert_eq!(
            behind("10.0.0.1", "6.6.6.6, 198.51.100.9, 10.1.1.1"),
            "198.51.100.9",
            "the first is forged"
        );
        assert_eq!(behind("10.0.0.1", "nonsense"), "10.0.0.1");
        assert_eq!(behind("::ffff:192.0.2.1", ""), "192.0.2.1");
    }
}
