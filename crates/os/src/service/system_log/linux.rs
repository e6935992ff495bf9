//! journald's native protocol: one datagram a record, one field a line.
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use super::{Record, Severity, cut};

const SOCKET: &str = "/run/systemd/journal/socket";

/// What a service writes to standard error is read by journald, too.
pub(super) const HAS_STANDARD_ERROR: bool = true;

#[derive(Debug)]
pub(super) struct SystemLog {
    socket: UnixDatagram,
    name: String,
}

pub(super) const fn takes(_severity: Severity, _event: Option<u16>) -> bool {
    true
}

impl SystemLog {
    pub(super) fn open(name: &str) -> Option<Self> {
        // `device:inode` of the stream that journald has connected; a redirected standard error has another.
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let meta = std::fs::metadata("/proc/self/fd/2").ok()?;
        if stream != format!("{}:{}", meta.dev(), meta.ino()) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        // A journal that does not keep up costs records, not the monitor's time.
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, name: name.to_owned() })
    }

    pub(super) fn write(&self, record: &Record<'_>) {
        // Nobody is left who could be told.
        let _ = self.socket.send(&datagram(&self.name, record));
    }
}

fn datagram(name: &str, record: &Record<'_>) -> Vec<u8> {
    let priority = match record.severity {
        Severity::Error => "3",
        Severity::Warning => "4",
        Severity::Info => "6",
        Severity::Debug => "7",
    };
    let mut bytes = Vec::new();
    field(&mut bytes, "PRIORITY", priority);
    field(&mut bytes, "SYSLOG_IDENTIFIER", name);
    field(&mut bytes, "MESSAGE", &sentence(record));
    if let Some(event) = record.event {
        field(&mut bytes, "LIFESIGN_EVENT", &event.to_string());
    }
    for (name, value) in record.fields {
        // Field names are capitals, digits and underlines; a prefix keeps ours from being taken for journald's own.
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .take(50)
            .collect();
        field(&mut bytes, &format!("LIFESIGN_{name}"), value);
    }
    bytes
}

/// What `journalctl` shows where nobody asks for fields: the message with its facts.
fn sentence(record: &Record<'_>) -> String {
    let facts = record.fields.iter().map(|(name, value)| {
        // On one line: a record is one line of `journalctl`.
        format!(" {name}={}", cut(value).replace(char::is_control, " "))
    });
    std::iter::once(record.message.to_owned()).chain(facts).collect()
}

/// A value of several lines is written with its length, so that none of its lines passes for a field.
fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let value = cut(value);
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_from_outside_cannot_pass_for_a_field() {
        let record = Record {
            severity: Severity::Warning,
            event: Some(3),
            message: "Lost",
            fields: &[("unit.name", "a\nPRIORITY=0".to_owned())],
        };
        let bytes = datagram("lifesign", &record);
        let head =
            b"PRIORITY=4\nSYSLOG_IDENTIFIER=lifesign\nMESSAGE=Lost unit.name=a PRIORITY=0\nLIFESIGN_EVENT=3\nLIFESIGN_UNIT_NAME\n";
        assert!(bytes.starts_with(head), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes[head.len()..head.len() + 8], 12_u64.to_le_bytes());
        assert!(bytes.ends_with(b"a\nPRIORITY=0\n"));
    }
}
