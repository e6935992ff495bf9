//! The email receiver against a real mail server: Debian's OpenSMTPD, started by `scripts/smtp-lab.sh`.
#![cfg(target_os = "linux")] // where that server runs; the receiver itself knows no operating system
#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

#[expect(dead_code, reason = "alarm and all-clear are enough here")]
#[path = "../src/samples.rs"]
mod samples;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifesign_core::effect::Notification;
use lifesign_lang::Lang;
use lifesign_notify::{Context, Delivery, REFUSED_AFTER, Receiver, kinds};
use tempfile::TempDir;

/// A mail server of our own.
struct Lab {
    folder: TempDir,
    server: Child,
    port: u16,
}

impl Lab {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/smtp-lab.sh");
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = Command::new("sh")
            .arg(script)
            .arg(folder.path())
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lab = Self { folder, server, port };
        lab.wait_until("the server listens", |lab| {
            assert!(lab.server.try_wait().unwrap().is_none(), "{}", lab.log());
            TcpStream::connect(("127.0.0.1", lab.port)).is_ok()
        });
        lab
    }

    fn wait_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The mails in the box once there are `count`.
    fn mails(&mut self, count: usize) -> Vec<String> {
        let read = |lab: &Self| -> Vec<String> {
            let folder = std::fs::read_dir(lab.folder.path().join("mail/new")).into_iter().flatten();
            folder.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
        };
        self.wait_until(&format!("{count} mails"), |lab| read(lab).len() >= count);
        read(self)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn email(text: &str) -> Receiver {
    let kinds = kinds();
    let kind = kinds.iter().find(|kind| kind.name == "email").unwrap();
    kind.read(text).unwrap_or_else(|report| panic!("{report}"))
}

async fn deliver(receiver: &Receiver, notification: &Notification, attempt: u32) -> Delivery {
    let context = Context { attempt, external_url: "http://127.0.0.1:7700", lang: Lang::Zh };
    receiver.deliver(notification, &context).await
}

#[tokio::test]
async fn a_real_server_takes_alarm_and_all_clear() {
    let mut lab = Lab::start();
    let receiver = email(&format!("{{ to: [ops@lab.test], smtp: 'smtp://127.0.0.1:{}' }}", lab.port));
    for notification in [samples::opening(), samples::closing()] {
        let answer = deliver(&receiver, &notification, 1).await;
        assert!(
            matches!(&answer, Delivery::Delivered { answer } if answer.starts_with("250 ")),
            "{answer:?}"
        );
    }
    let mails = lab.mails(2);
    for id in [samples::opening().id, samples::closing().id] {
        let mail = mails.iter().find(|mail| mail.contains(&format!("Message-ID: <{id}@lab.test>"))).unwrap();
        for part in ["To: ops@lab.test", "Auto-Submitted: auto-generated", "References: <thread."] {
            assert!(mail.contains(part), "{part}\n{mail}");
        }
    }
}

#[tokio::test]
async fn a_real_server_refuses_strangers_and_the_others_still_get_it() {
    let mut lab = Lab::start();
    let smtp = format!("smtp: 'smtp://127.0.0.1:{}'", lab.port);
    for stranger in ["nobody-here@lab.test", "ops@elsewhere.test"] {
        let receiver = email(&format!("{{ to: [{stranger}], {smtp} }}"));
        let first = deliver(&receiver, &samples::opening(), 1).await;
        assert!(matches!(&first, Delivery::Retry { why, .. } if why.contains("550")), "{first:?}");
        let last = deliver(&receiver, &samples::opening(), REFUSED_AFTER).await;
        assert!(matches!(&last, Delivery::Refused { why } if why.contains(stranger)), "{last:?}");
    }
    let receiver = email(&format!("{{ to: [left@lab.test, night@lab.test], {smtp} }}"));
    let answer = deliver(&receiver, &samples::opening(), 1).await;
    assert!(answer.is_delivered() && answer.text().contains("but not for left@lab.test: 550"), "{answer:?}");
    assert_eq!(lab.mails(1).len(), 1);
}

#[tokio::test]
async fn a_mail_that_is_too_large_is_given_up_with_the_servers_words() {
    let lab = Lab::start();
    let receiver = email(&format!("{{ to: [ops@lab.test], smtp: 'smtp://127.0.0.1:{}' }}", lab.port));
    let mut large = samples::opening();
    large.alerts[0].annotations[0].1 = "x".repeat(1000);
    large.alerts = vec![large.alerts[0].clone(); 50];
    let first = deliver(&receiver, &large, 1).await;
    assert!(matches!(&first, Delivery::Retry { why, .. } if why.contains("554 5.3.4")), "{first:?}");
    assert!(matches!(deliver(&receiver, &large, REFUSED_AFTER).await, Delivery::Refused { .. }));
}

#[tokio::test]
async fn an_absent_server_and_a_silent_one_are_tried_again() {
    let absent = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let receiver = email(&format!("{{ to: [ops@lab.test], smtp: 'smtp://{absent}' }}"));
    let answer = deliver(&receiver, &samples::opening(), 99).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("refused")), "{answer:?}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let receiver = email(&format!("{{ to: [ops@lab.test], smtp: 'smtp://{address}', timeout: 200ms }}"));
    let answer = deliver(&receiver, &samples::opening(), 99).await;
    assert!(matches!(&answer, Delivery::Retry { why, .. } if why.contains("200ms")), "{answer:?}");
}
