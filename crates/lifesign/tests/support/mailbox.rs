//! A mail server that takes every message and keeps it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use super::wait_for;

/// The server. Messages come decoded from quoted-printable, with `\n` for line ends.
pub struct Mailbox {
    pub url: String,
    received: mpsc::Receiver<String>,
}

impl Mailbox {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A sender that hangs up has said all it had to say.
                let _ = serve(&stream, &sender);
            }
        });
        Self { url, received }
    }

    /// Waits for the next message.
    #[track_caller]
    pub fn next(&self) -> String {
        wait_for("a mail", || self.received.try_recv().ok())
    }
}

fn serve(mut stream: &TcpStream, sender: &mpsc::Sender<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    stream.write_all(b"220 mailbox ESMTP\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let answer: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let text: Vec<String> =
                    lines.by_ref().map_while(Result::ok).take_while(|line| line != ".").collect();
                // Nobody may be waiting any more.
                let _ = sender.send(decoded(&text.join("\n")));
                b"250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer)?;
    }
    Ok(())
}

/// Joins soft line breaks; the tests look for ASCII only.
fn decoded(text: &str) -> String {
    text.replace("=\n", "").replace("=3D", "=")
}
