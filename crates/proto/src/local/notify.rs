//! `sd_notify(3)`: what a program written for systemd says to its service manager.
//!
//! Only what tells about life is taken. `FDSTORE`, `BARRIER`, `MAINPID`, `NOTIFYACCESS` and what systemd may
//! invent later are no faults: a program must run under lifesign as it does under systemd.

use lifesign_core::evidence::{Beat, BeatStatus};
use lifesign_core::model::ServiceId;

use super::{Refused, beat, fit};
use crate::limits::Limits;

/// Reads one datagram of `service`. `Ok(None)`: it says nothing about life.
///
/// `READY=1`, `WATCHDOG=1`, `RELOADING=1` and a `STATUS=` alone are *I am well*; `STOPPING=1` is *stopping*;
/// `WATCHDOG=trigger` and an `ERRNO=` other than 0 are *fail*. `STATUS=` becomes the message, cut to the
/// limit: systemd cuts it too. `X_LIFESIGN_PROGRESS=42` counts progress.
///
/// # Errors
/// When it is no text of assignments.
pub fn read_notify(service: &ServiceId, datagram: &[u8], limits: &Limits) -> Result<Option<Beat>, Refused> {
    let text = std::str::from_utf8(datagram)
        .map_err(|_| Refused("a notification that is not UTF-8 text".to_owned()))?;
    let mut found: Option<Beat> = None;
    let mut rank = 0;
    for assignment in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| Refused("a notification is NAME=value, one a line".to_owned()))?;
        // A later, weightier word wins over an earlier one: failing over stopping over alive.
        let status = match (name, value) {
            ("READY" | "WATCHDOG" | "RELOADING", "1") => Some((1, BeatStatus::Alive)),
            ("STATUS" | "X_LIFESIGN_PROGRESS", _) => Some((0, BeatStatus::Alive)),
            ("STOPPING", "1") => Some((2, BeatStatus::Stopping)),
            ("WATCHDOG", "trigger") => Some((3, BeatStatus::Fail)),
            ("ERRNO", number) if number.trim() != "0" => Some((3, BeatStatus::Fail)),
            _ => None,
        };
        let Some((weight, status)) = status else { continue };
        let beat = found.get_or_insert_with(|| beat(service, BeatStatus::Alive));
        if weight >= rank {
            rank = weight;
            beat.status = status;
        }
        match name {
            "STATUS" => beat.message = Some(fit(value, limits.message_bytes).to_owned()),
            "X_LIFESIGN_PROGRESS" => beat.progress = value.trim().parse().ok().or(beat.progress),
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(datagram: &[u8]) -> Result<Option<Beat>, Refused> {
        read_notify(&ServiceId::new("orders").unwrap(), datagram, &Limits::default())
    }

    #[test]
    fn the_words_of_systemd_become_a_status() {
        for (datagram, status) in [
            ("READY=1", BeatStatus::Alive),
            ("WATCHDOG=1\n", BeatStatus::Alive),
            ("RELOADING=1\nMONOTONIC_USEC=123", BeatStatus::Alive),
            ("STATUS=Serving", BeatStatus::Alive),
            ("STOPPING=1\nSTATUS=Bye", BeatStatus::Stopping),
            ("STATUS=Bye\nSTOPPING=1", BeatStatus::Stopping),
            ("WATCHDOG=trigger\nREADY=1", BeatStatus::Fail),
            ("ERRNO=2", BeatStatus::Fail),
        ] {
            assert_eq!(read(datagram.as_bytes()).unwrap().unwrap().status, status, "{datagram}");
        }
    }

    #[test]
    fn status_is_the_message_and_progress_has_a_name_of_its_own() {
        let beat = read(b"READY=1\nSTATUS=50 % = half\nX_LIFESIGN_PROGRESS=9").unwrap().unwrap();
        assert_eq!(beat.message.as_deref(), Some("50 % = half"));
        assert_eq!(beat.progress, Some(9));
    }

    #[test]
    fn what_says_nothing_about_life_is_no_heartbeat_and_no_fault() {
        for datagram in ["", "FDSTORE=1\nFDNAME=x", "BARRIER=1", "MAINPID=12", "ERRNO=0", "WATCHDOG_USEC=20"]
        {
            assert_eq!(read(datagram.as_bytes()), Ok(None), "{datagram}");
        }
        assert!(read(b"hello").is_err());
        assert!(read(&[0xff]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(beat)) = read(&bytes) {
                prop_assert!(beat.message.is_none_or(|text| text.len() <= Limits::default().message_bytes));
            }
        }
    }
}
