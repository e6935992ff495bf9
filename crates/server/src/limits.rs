//! The server's limits: each with its default and with what happens at it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Limits of the HTTP side. What concerns a single heartbeat is in [`lifesign_proto::Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Further ones get a 503 and are closed.
    pub connections: usize,
    /// A request's line and headers must arrive within this, and the next one of a kept connection too;
    /// else the connection is closed.
    pub headers_within: Duration,
    /// Bytes of a request's line and headers together; more is answered with 431.
    pub header_bytes: usize,
    /// Number of headers; more is answered with 431.
    pub headers: usize,
    /// Bytes of a body; more is answered with 413.
    pub body_bytes: usize,
    /// A body must arrive within this; else 408.
    pub body_within: Duration,
    /// A client that takes no byte of an answer for this long is cut off.
    pub stalled_within: Duration,
    /// Followers of the live events; further ones get 503.
    pub followers: usize,
    /// What one heartbeat body may hold.
    pub heartbeats: lifesign_proto::Limits,
    /// Heartbeats a second of one service; more is answered with 429. `None`: as many as come.
    pub beats_per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            headers_within: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            headers: 64,
            body_bytes: lifesign_proto::MAX_BODY_BYTES,
            body_within: Duration::from_secs(10),
            stalled_within: Duration::from_secs(30),
            followers: 256,
            heartbeats: lifesign_proto::Limits::default(),
            beats_per_second: NonZeroU32::new(10),
        }
    }
}

/// A network of proxies whose `X-Forwarded-*` headers are believed: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; expected an address with or without a prefix length, as 10.0.0.0/8")]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let wrong = || NoNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?,
            None => longest,
        };
        Ok(Self { address, prefix })
    }
}

impl Network {
    /// Whether `address` belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && (bits(address) ^ bits(self.address)).leading_zeros() >= u32::from(self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.200.3.4"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1"));
        assert!(!holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "IPv4 as seen by a dual-stack socket");
        assert!(holds("0.0.0.0/0", "1.2.3.4"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(holds("fe80::/10", "fe80::1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/-1", "host", "::/129", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }
}
