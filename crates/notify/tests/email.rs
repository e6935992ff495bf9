//! The email receiver against a scripted mail server: TLS, logins and recipients refused for now, which the
//! real server of `tests/smtp.rs` cannot be made to show.
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

#[expect(dead_code, reason = "one opening is enough here")]
#[path = "../src/samples.rs"]
mod samples;

use std::sync::Arc;

use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery, Receiver, kinds};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// `\0ops\0lab-password` as AUTH PLAIN wants it.
const LOGIN: &str = "AUTH PLAIN AG9wcwBsYWItcGFzc3dvcmQ=";

/// What the server does beside taking mail.
#[derive(Clone, Copy, PartialEq)]
enum Encryption {
    No,
    AtOnce,
    Upgrade,
}

struct Server {
    port: u16,
    folder: TempDir,
    /// Every command after the greeting, and `(message)` for each message taken.
    heard: mpsc::Receiver<String>,
}

impl Server {
    async fn start(tls: Encryption) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = mpsc::channel(100);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                // A client that hangs up or distrusts us ends its own conversation only.
                tokio::spawn(async move {
                    match tls {
                        Encryption::No => drop(converse(stream, "220 hi", "AUTH PLAIN", &sender).await),
                        Encryption::AtOnce => {
                            let stream = acceptor.accept(stream).await.unwrap();
                            drop(converse(stream, "220 hi", "AUTH PLAIN", &sender).await);
                        }
                        Encryption::Upgrade => {
                            let upgraded = converse(stream, "220 hi", "STARTTLS", &sender).await;
                            if let Some(stream) = upgraded
                                && let Ok(stream) = acceptor.accept(stream).await
                            {
                                drop(converse(stream, "", "AUTH PLAIN", &sender).await);
                            }
                        }
                    }
                });
            }
        });
        Self { port, folder, heard }
    }

    fn ca_file(&self) -> String {
        format!("ca_file: '{}'", self.folder.path().join("cert.pem").display())
    }

    fn so_far(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

/// One SMTP conversation; gives the stream back for STARTTLS.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greeting: &str,
    offers: &str,
    heard: &mpsc::Sender<String>,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if !greeting.is_empty() {
        stream.write_all(format!("{greeting}\r\n").as_bytes()).await.ok()?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        heard.send(line.clone()).await.unwrap();
        let answer = match line.split([' ', ':']).next().unwrap() {
            "EHLO" => format!("250-lab.test\r\n250 {offers}"),
            "STARTTLS" => "220 go on".to_owned(),
            "AUTH" if line == LOGIN => "235 welcome".to_owned(),
            "AUTH" => format!("535 no: {line}"),
            "RCPT" if line.contains("<later") => "450 4.2.0 greylisted".to_owned(),
            "RCPT" if line.contains("<never") => "550 5.1.1 unknown".to_owned(),
            "DATA" => "354 speak".to_owned(),
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        if line == "STARTTLS" {
            return Some(stream.into_inner());
        }
        if line == "DATA" {
            let mut text = String::new();
            while text != ".\r\n" {
                text.clear();
                stream.read_line(&mut text).await.ok()?;
            }
            heard.send("(message)".to_owned()).await.unwrap();
            stream.write_all(b"250 2.0.0 queued\r\n").await.ok()?;
        }
    }
}

fn email(text: &str) -> Receiver {
    let kinds = kinds();
    let kind = kinds.iter().find(|kind| kind.name == "email").unwrap();
    kind.read(text).unwrap_or_else(|report| panic!("{report}"))
}

async fn deliver(receiver: &Receiver, attempt: u32) -> Delivery {
    let context = Context { attempt, external_url: "http://127.0.0.1:7700", lang: Lang::En };
    receiver.deliver(&samples::opening(), &context).await
}

#[tokio::test]
async fn the_password_is_sent_only_after_starttls() {
    let mut server = Server::start(Encryption::Upgrade).await;
    let receiver = email(&format!(
        "{{ to: [ops@lab.test], smtp: 'smtp://localhost:{}', starttls: always, username: ops, password: lab-password, {} }}",
        server.port,
        server.ca_file()
    ));
    assert_eq!(deliver(&receiver, 1).await, Delivery::Delivered { answer: "250 2.0.0 queued".to_owned() });
    let heard = server.so_far();
    let place = |word: &str| heard.iter().position(|line| line.starts_with(word)).unwrap();
    assert!(place("STARTTLS") < place("AUTH") && place("AUTH") < place("MAIL"), "{heard:?}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_password_nor_mail() {
    let mut server = Server::start(Encryption::No).await;
    let receiver = email(&format!(
        "{{ to: [ops@lab.test], smtp: 'smtp://localhost:{}', starttls: always, username: ops, password: lab-password }}",
        server.port
    ));
    let answer = deliver(&receiver, 99).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("STARTTLS")), "{answer:?}");
    let heard = server.so_far();
    assert!(heard.iter().all(|line| line.starts_with("EHLO")), "{heard:?}");
}

#[tokio::test]
async fn smtps_trusts_the_configured_authority_and_no_other() {
    let mut server = Server::start(Encryption::AtOnce).await;
    let url = format!("smtp: 'smtps://localhost:{}'", server.port);
    let answer = deliver(&email(&format!("{{ to: [ops@lab.test], {url} }}")), 99).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("certificate")), "{answer:?}");
    assert_eq!(server.so_far(), Vec::<String>::new());
    let trusting = email(&format!("{{ to: [ops@lab.test], {url}, {} }}", server.ca_file()));
    assert!(deliver(&trusting, 1).await.is_delivered());
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_and_not_repeated_aloud() {
    let server = Server::start(Encryption::No).await;
    let receiver = email(&format!(
        "{{ to: [ops@lab.test], smtp: 'smtp://localhost:{}', username: ops, password: wrong-password }}",
        server.port
    ));
    let answer = deliver(&receiver, 99).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("535")), "{answer:?}");
    // The server repeats what it was sent, and base64 hides nothing.
    assert!(answer.text().ends_with("535 no: AUTH PLAIN ***"), "{answer:?}");
}

#[tokio::test]
async fn a_recipient_refused_for_now_holds_the_mail_back_for_a_while_only() {
    let mut server = Server::start(Encryption::No).await;
    let receiver = email(&format!(
        "{{ to: [later@lab.test, ops@lab.test, never@lab.test], smtp: 'smtp://localhost:{}' }}",
        server.port
    ));
    let first = deliver(&receiver, 1).await;
    assert!(matches!(&first, Delivery::Retry { why, .. } if why.contains("greylisted")), "{first:?}");
    assert!(!server.so_far().contains(&"(message)".to_owned()), "sent, and to be sent again");
    let fifth = deliver(&receiver, 5).await;
    assert_eq!(
        fifth.text(),
        "250 2.0.0 queued, but not for later@lab.test: 450 4.2.0 greylisted; never@lab.test: 550 5.1.1 unknown"
    );
    assert!(fifth.is_delivered() && server.so_far().contains(&"(message)".to_owned()));
}
