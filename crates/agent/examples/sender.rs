//! A program that beats, for the tests and the bench of the local ways: always another process than the agent.
//!
//! `sender WAY SERVICE COUNT GAP_MILLIS [PLACE]` beats COUNT times and counts its progress from 1. WAY is `memory`,
//! `socket`, `pipe` (through the client library), or `datagram`, `notify`, `udp`, `file`, `pipe-by-hand` (written by
//! hand, as a program in any language would). PLACE: the socket, file, or `PORT SECRET`. Further WAYs send what no program
//! should: `junk-stream`, `junk-datagram`, `junk-udp`, `junk-pipe`, `junk-memory`, `junk-file`, `crowd`.
//! Ends with 1 and a word when the way is closed to it.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program for tests")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use lifesign_client::{Pulse, Way};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, service, count, gap, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: sender WAY SERVICE COUNT GAP_MILLIS [PLACE]");
        return ExitCode::from(2);
    };
    let place = rest.join(" ");
    let count: u64 = count.parse().unwrap();
    let gap = Duration::from_millis(gap.parse().unwrap());
    let mut each = || {
        std::thread::sleep(gap);
    };
    match send(way, service, count, &place, &mut each) {
        Ok(()) => {
            println!("sent");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn send(way: &str, service: &str, count: u64, place: &str, wait: &mut dyn FnMut()) -> Outcome {
    let known = Way::ALL.into_iter().find(|known| known.name() == way);
    if let Some(known) = known {
        let pulse = Pulse::by(&[known], service)?;
        pulse.metric("queue", 12.5);
        pulse.message("all is well");
        for n in 1..=count {
            pulse.progress(n);
            pulse.beat();
            wait();
        }
        // A crash, not a farewell: the tests count beats.
        std::mem::forget(pulse);
        return Ok(());
    }
    match way {
        "file" => {
            for n in 1..=count {
                // In one step, so that no reader sees half of it.
                let draft = format!("{place}.new");
                std::fs::write(&draft, format!("alive progress={n} queue=12.5\n"))?;
                into_place(&draft, place)?;
                wait();
            }
        }
        "udp" => {
            let (port, secret) = place.split_once(' ').ok_or("PORT SECRET")?;
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            for n in 1..=count {
                let text = format!("{secret} alive progress={n} queue=12.5");
                socket.send_to(text.as_bytes(), format!("127.0.0.1:{port}"))?;
                wait();
            }
        }
        "junk-file" => {
            for n in 0..count {
                let size = if n % 7 == 0 { 20_000 } else { 0 };
                std::fs::write(place, [junk(n), vec![b'y'; size]].concat())?;
                wait();
            }
        }
        "junk-udp" => {
            let (port, _) = place.split_once(' ').ok_or("PORT SECRET")?;
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            for n in 0..count {
                let size = if n % 7 == 0 { 20_000 } else { 0 };
                // A full buffer of the socket is an error that a flood does not mind.
                let _ = socket.send_to(&[junk(n), vec![b'y'; size]].concat(), format!("127.0.0.1:{port}"));
            }
        }
        other => return by_system::send(other, service, count, place, wait),
    }
    Ok(())
}

/// Renames a note into its place. Windows may refuse while lifesign reads the one before; then once more.
fn into_place(draft: &str, place: &str) -> std::io::Result<()> {
    const TRIES: u32 = 1000;
    for _ in 1..TRIES {
        match std::fs::rename(draft, place) {
            Err(error) if cfg!(windows) && error.kind() == std::io::ErrorKind::PermissionDenied => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
    std::fs::rename(draft, place)
}

/// Bytes that are no heartbeat: no text, half a text, a mistyped line, too much.
fn junk(n: u64) -> Vec<u8> {
    match n % 5 {
        0 => vec![0xff, 0x00, 0xfe],
        1 => b"{\"service_id\":".to_vec(),
        2 => b"orders maybe cpu=much".to_vec(),
        3 => vec![b'x'; 4000],
        _ => Vec::new(),
    }
}

#[cfg(unix)]
mod by_system {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::{Outcome, Write, junk};

    pub(super) fn send(way: &str, service: &str, count: u64, place: &str, wait: &mut dyn FnMut()) -> Outcome {
        match way {
            "datagram" => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(place)?;
                for n in 1..=count {
                    socket.send(format!("{service} alive progress={n} queue=12.5").as_bytes())?;
                    wait();
                }
            }
            "notify" => {
                let place = if place.is_empty() { std::env::var("NOTIFY_SOCKET")? } else { place.to_owned() };
                let socket = UnixDatagram::unbound()?;
                socket.connect(place)?;
                socket.send(b"READY=1\nSTATUS=all is well")?;
                for n in 1..=count {
                    socket.send(format!("WATCHDOG=1\nX_LIFESIGN_PROGRESS={n}").as_bytes())?;
                    wait();
                }
            }
            "junk-datagram" => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(place)?;
                for n in 0..count {
                    let mut bytes = junk(n);
                    if n % 7 == 0 {
                        bytes = vec![b'y'; 20_000];
                    }
                    socket.send(&bytes)?;
                }
            }
            "junk-stream" => {
                for n in 0..count {
                    let Ok(mut socket) = UnixStream::connect(place) else { continue };
                    // It is closed in the face of whoever sends too long a line.
                    let _ = socket.write_all(&junk(n));
                    let _ = socket.write_all(if n % 2 == 0 { b"\n" } else { &[b'z'; 20_000] });
                }
            }
            "crowd" => {
                let crowd: Vec<_> = (0..count).map(|_| UnixStream::connect(place)).collect();
                wait();
                drop(crowd);
            }
            "junk-memory" => {
                let file = OpenOptions::new().read(true).write(true).open(place)?;
                for n in 0..count {
                    file.write_all_at(&[(n % 251) as u8; 4032], 64)?;
                    if n % 100 == 99 {
                        file.set_len(10)?;
                        wait();
                    }
                }
            }
            other => return Err(format!("no way {other}").into()),
        }
        Ok(())
    }
}

#[cfg(windows)]
mod by_system {
    use std::fs::OpenOptions;

    use super::{Outcome, Write, junk};

    /// `ERROR_PIPE_BUSY`: others come in at this very moment.
    const BUSY: i32 = 231;

    pub(super) fn send(way: &str, service: &str, count: u64, place: &str, wait: &mut dyn FnMut()) -> Outcome {
        match way {
            // Unlike the client library, which lets beats become one rather than wait.
            "pipe-by-hand" => {
                let mut pipe = loop {
                    match OpenOptions::new().write(true).open(place) {
                        Err(error) if error.raw_os_error() == Some(BUSY) => wait(),
                        other => break other?,
                    }
                };
                for n in 1..=count {
                    pipe.write_all(format!("{service} alive progress={n}").as_bytes())?;
                    wait();
                }
                Ok(())
            }
            "junk-pipe" => {
                for n in 0..count {
                    let Ok(mut pipe) = OpenOptions::new().write(true).open(place) else { continue };
                    let _ = pipe.write_all(&junk(n));
                    let _ = pipe.write_all(&[b'z'; 20_000]);
                }
                Ok(())
            }
            other => Err(format!("no way {other}").into()),
        }
    }
}
