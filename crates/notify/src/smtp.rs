//! One SMTP conversation (RFC 5321), recipient by recipient.
//!
//! `lettre` speaks the protocol. Its ready-made transport gives the whole message up when one recipient of
//! several is refused, and an alert must not be lost for all because one of them has left; so the steps
//! are taken here.

use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lifesign_config::Host;
use tokio::time::timeout;

use crate::trust::Authorities;

/// Time for the farewell.
const GOODBYE: Duration = Duration::from_secs(1);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// TLS from the first byte (`smtps`).
    Tls,
    /// STARTTLS, or no mail.
    StartTls,
    /// STARTTLS when the server offers it.
    StartTlsIfOffered,
    /// None.
    Plain,
}

/// Where mail is handed over, and as whom.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) protection: Protection,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) authorities: Option<Authorities>,
    pub(crate) hello: String,
}

/// What a server said to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// The three digits.
    pub(crate) code: u16,
    /// The text behind them.
    pub(crate) text: String,
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The server took the message for everybody but those in `missed`.
    Taken { said: Said, missed: Vec<(String, Said)> },
    /// The server said no before or after the message; nobody has it.
    No { step: &'static str, said: Said },
    /// Recipients were refused and the message was not sent; nobody has it.
    NoRecipient { refused: Vec<(String, Said)> },
    /// No conversation, or it broke off: whether the message arrived is not known.
    Broken(String),
}

/// Whether to send the message after these recipients were refused.
///
/// A recipient who is refused *for now* (4yz: greylisting, a full disk) holds the message back while
/// `patient`, so that nobody gets it twice; afterwards the others get it without them. One refused for good
/// never holds it back, unless nobody is left.
pub(crate) fn go_on(recipients: usize, refused: &[(String, Said)], patient: bool) -> bool {
    let for_now = refused.iter().any(|(_, said)| said.code < 500);
    refused.len() < recipients && !(for_now && patient)
}

/// Hands `message` over to `server` within `limit`.
pub(crate) async fn hand_over(
    server: &Server,
    envelope: &Envelope,
    message: &[u8],
    patient: bool,
    limit: Duration,
) -> Outcome {
    match timeout(limit, converse(server, envelope, message, patient)).await {
        Ok(Ok((outcome, mut smtp))) => {
            // Whose the message is has been settled; how they say goodbye changes nothing.
            let _goodbye = timeout(GOODBYE, smtp.quit()).await;
            outcome
        }
        Ok(Err((step, error))) => match said(&error) {
            Some(said) => Outcome::No { step, said },
            None => Outcome::Broken(format!("{step}: {}", in_words(&error))),
        },
        Err(_elapsed) => Outcome::Broken(format!("no answer within {limit:?}")),
    }
}

async fn converse(
    server: &Server,
    envelope: &Envelope,
    message: &[u8],
    patient: bool,
) -> Result<(Outcome, AsyncSmtpConnection), (&'static str, Error)> {
    let at = |step: &'static str| move |error| (step, error);
    let mut smtp = connect(server).await.map_err(at("connecting"))?;
    if let Some(credentials) = &server.credentials {
        smtp.auth(DEFAULT_MECHANISMS, credentials).await.map_err(at("logging in"))?;
    }
    let mut parameters = Vec::new();
    let ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if !envelope.from().into_iter().chain(envelope.to()).all(ascii)
        && smtp.server_info().supports_feature(Extension::SmtpUtfEight)
    {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !message.is_ascii() && smtp.server_info().supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    smtp.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(at("naming the sender"))?;
    let mut refused = Vec::new();
    for recipient in envelope.to() {
        match smtp.command(Rcpt::new(recipient.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(error) => match said(&error) {
                Some(said) => refused.push((recipient.to_string(), said)),
                None => return Err(("naming a recipient", error)),
            },
        }
    }
    if !go_on(envelope.to().len(), &refused, patient) {
        return Ok((Outcome::NoRecipient { refused }, smtp));
    }
    smtp.command(Data).await.map_err(at("sending"))?;
    let response = smtp.message(message).await.map_err(at("sending"))?;
    let said = Said { code: response.code().into(), text: response.message().collect::<Vec<_>>().join(" ") };
    Ok((Outcome::Taken { said, missed: refused }, smtp))
}

async fn connect(server: &Server) -> Result<AsyncSmtpConnection, Error> {
    let name = match &server.host {
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    let hello = ClientId::Domain(server.hello.clone());
    let at_once = match server.protection {
        Protection::Tls => Some(tls(&name, server.authorities.as_ref())?),
        Protection::StartTls | Protection::StartTlsIfOffered | Protection::Plain => None,
    };
    let address = (name.as_str(), server.port);
    let mut smtp = AsyncSmtpConnection::connect_tokio1(address, None, &hello, at_once, None).await?;
    let upgrade = match server.protection {
        Protection::StartTls => true,
        Protection::StartTlsIfOffered => smtp.can_starttls(),
        Protection::Tls | Protection::Plain => false,
    };
    if upgrade {
        smtp.starttls(tls(&name, server.authorities.as_ref())?, &hello).await?;
    }
    Ok(smtp)
}

fn tls(name: &str, authorities: Option<&Authorities>) -> Result<TlsParameters, Error> {
    let mut builder = TlsParameters::builder(name.to_owned());
    if let Some(authorities) = authorities {
        builder = builder.add_root_certificate(Certificate::from_pem(authorities.pem())?);
    }
    builder.build_rustls()
}

/// The server's words, when the error is its answer.
fn said(error: &Error) -> Option<Said> {
    let code = u16::from(error.status()?);
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    Some(Said { code, text })
}

/// The innermost cause says it best: `Connection refused`, `invalid peer certificate`.
fn in_words(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refused_recipient_costs_the_others_nothing() {
        let said = |code| ("x@example.com".to_owned(), Said { code, text: String::new() });
        for (recipients, refused, patient, sent) in [
            (1, vec![], true, true),
            (1, vec![said(550)], true, false),
            (1, vec![said(450)], false, false),
            (2, vec![said(550)], true, true),
            (2, vec![said(450)], true, false),
            (2, vec![said(450)], false, true),
            (3, vec![said(450), said(550)], true, false),
            (3, vec![said(450), said(550)], false, true),
            (2, vec![said(450), said(550)], false, false),
        ] {
            assert_eq!(go_on(recipients, &refused, patient), sent, "{recipients} {refused:?} {patient}");
        }
    }
}
