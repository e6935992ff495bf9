//! `/proc/PID/stat`: what a process is, in one line (`proc_pid_stat(5)`).

use std::io;

/// The fields of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    /// `Z` and `X` are dead already.
    pub(crate) state: char,
    pub(crate) group: u32,
    pub(crate) session: u32,
    /// Clock ticks from boot to its start: with `pid`, its identity.
    pub(crate) started: u64,
    /// How it ended, as `wait(2)` tells it; 0 while it lives, and for whoever may not trace it.
    pub(crate) exit: i32,
}

impl Stat {
    /// Reads the line of the process `pid`.
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        let line = std::fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&line)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/PID/stat"))
    }

    /// Whether it has ended, with only its number left.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// The second field, the program's name, may hold spaces, parentheses and bytes of any kind; so the
    /// rest is counted from the last closing parenthesis.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let started = fields.nth(15)?.parse().ok()?;
        let exit = fields.nth(29).and_then(|field| field.parse().ok()).unwrap_or(0);
        Some(Self { pid, state, group, session, started, exit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let line = b"4242 (a) b ( c) S 1 4242 4240 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200 18446744073709551615 1\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!(stat, Stat { pid: 4242, state: 'S', group: 4242, session: 4240, started: 98765, exit: 0 });
        assert!(!stat.is_dead());
    }

    #[test]
    fn the_last_field_tells_how_it_ended() {
        let line = format!("7 (x) Z 1 7 7 0 -1 {}98765 {}9\n", "0 ".repeat(13), "0 ".repeat(29));
        let stat = Stat::parse(line.as_bytes()).unwrap();
        assert_eq!((stat.started, stat.exit), (98765, 9));
    }

    #[test]
    fn a_line_cut_short_is_no_answer() {
        for line in [
            &b""[..],
            b"1",
            b"1 (x",
            b"1 (x)",
            b"1 (x) S 1 2",
            b") 1 (",
            b"1 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0",
        ] {
            assert_eq!(Stat::parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn this_very_process_can_be_read() {
        let stat = Stat::read(std::process::id()).unwrap();
        assert_eq!(stat.pid, std::process::id());
        assert!(stat.started > 0);
    }
}
