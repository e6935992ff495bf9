//! Enrolment: how an agent gets a certificate from its server's own authority.
//!
//! An operator makes a [`OneTimeToken`] and carries it to the new host. It is a secret and a *pin*: the fingerprint of
//! the server's authority. So the agent knows its server before it says a word, and nobody in between learns the
//! secret. The agent makes a key, asks with [`EnrolRequest`] and gets a [`Certified`]; later it asks with
//! [`RenewRequest`], and its present certificate says who it is.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a host is enrolled.
pub const PATH: &str = "/api/v1/enrolment";
/// Where an enrolled host gets its next certificate.
pub const RENEWAL_PATH: &str = "/api/v1/enrolment/renewal";
/// What an agent names in its TLS handshake (ALPN), so that the server shows the certificate of its own authority, and
/// asks for one; browsers are never asked.
pub const ALPN: &[u8] = b"lifesign";
/// The name that the server's certificate has for agents, whatever address they reach it by.
pub const SERVER_NAME: &str = "server.lifesign.internal";
/// How long a one-time token may be used.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// Most bytes of a certificate request, as PEM. A key of any common kind fits.
pub const MAX_REQUEST: usize = 8 * 1024;
/// Longest name of a host, in bytes.
pub const MAX_HOST: usize = 255;

/// What one-time tokens begin with, so that they are not taken for another token.
const MARK: &str = "lse_";

/// Whether a host may have this name.
pub fn is_host_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= MAX_HOST && name.trim() == name;
    fits && !name.chars().any(|c| c.is_control() || c == '@')
}

/// A one-time token as it is handed over: `lse_SECRET.PIN`, both 256 bits in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OneTimeToken {
    secret: [u8; 32],
    pin: [u8; 32],
}

/// Shows nothing of it.
impl fmt::Debug for OneTimeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeToken(…)")
    }
}

/// A text is no one-time token. The text is not repeated: it may be another secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no one-time token; `lifesign hosts token` on the server makes one: lse_…")]
pub struct NoToken;

impl OneTimeToken {
    /// A token of 256 bits of chance, for an agent that is to talk to the authority with this fingerprint only.
    pub const fn new(secret: [u8; 32], pin: [u8; 32]) -> Self {
        Self { secret, pin }
    }

    /// Reads what [`OneTimeToken::reveal`] has written.
    ///
    /// # Errors
    /// [`NoToken`], for anything else.
    pub fn parse(text: &str) -> Result<Self, NoToken> {
        let (secret, pin) = text.strip_prefix(MARK).and_then(|rest| rest.split_once('.')).ok_or(NoToken)?;
        Ok(Self { secret: from_hex(secret).ok_or(NoToken)?, pin: from_hex(pin).ok_or(NoToken)? })
    }

    /// The whole token, to be carried to the host. For the one answer that hands it out.
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.secret(), to_hex(&self.pin))
    }

    /// The part that is sent to the server, which knows its SHA-256 only.
    pub fn secret(&self) -> String {
        format!("{MARK}{}", to_hex(&self.secret))
    }

    /// The SHA-256 of the authority's certificate (DER).
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads 64 hexadecimal digits.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The body that asks for a host's first certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The secret part of a one-time token: what stands before the dot.
    pub token: String,
    /// The name of the host, as in `agent.host`.
    pub host: String,
    /// A certificate request (PKCS #10, PEM). Its key counts, and that it is signed with it; names in it do not.
    pub request: String,
}

/// Shows no token.
impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The body that asks for the next certificate of a host that has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// A certificate request (PKCS #10, PEM), best of a new key.
    pub request: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certified {
    /// Whose certificate it is.
    pub host: String,
    /// The certificate (PEM).
    pub certificate: String,
    /// The certificate of the authority that gave it (PEM).
    pub authority: String,
    /// For how many seconds it holds from now on: told as a span, because the host's clock may be wrong.
    pub holds_for_seconds: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_shows_itself_only_when_asked() {
        let token = OneTimeToken::new([0xab; 32], [0xcd; 32]);
        assert_eq!(format!("{token:?}"), "OneTimeToken(…)");
        let request = EnrolRequest { token: token.secret(), host: "web-01".into(), request: String::new() };
        assert!(!format!("{request:?}").contains("abab"));
        assert_eq!(token.secret(), format!("lse_{}", "ab".repeat(32)));
        assert_eq!(token.reveal(), format!("lse_{}.{}", "ab".repeat(32), "cd".repeat(32)));
    }

    #[test]
    fn what_is_no_one_time_token_is_told_where_one_is_made_and_not_repeated() {
        for wrong in ["", "secret", "lse_", "lse_ab.cd", &format!("lse_{}", "ab".repeat(32))] {
            let error = OneTimeToken::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("lifesign hosts token") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_host_has_a_name_that_can_stand_in_an_id() {
        for name in ["web-01", "WEB.example.com", "主机"] {
            assert!(is_host_name(name), "{name:?}");
        }
        for name in ["", " web", "web ", "a@b", "a\nb", &"x".repeat(256)] {
            assert!(!is_host_name(name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_token_is_read_as_it_was_written(secret: [u8; 32], pin: [u8; 32]) {
            let token = OneTimeToken::new(secret, pin);
            prop_assert_eq!(OneTimeToken::parse(&token.reveal()), Ok(token));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(lse_)?[0-9a-fé.]{0,140}") {
            if let Ok(token) = OneTimeToken::parse(&text) {
                prop_assert_eq!(token.reveal(), text.to_lowercase());
            }
        }
    }
}
