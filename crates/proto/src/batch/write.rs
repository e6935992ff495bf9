//! Writes a batch.

use std::time::Duration;

use lifesign_core::evidence::{Beat, BeatStatus, Exit, MAX_OUTPUT, Run, RunPhase};

use super::{HEAD, VERSION, field, run_field};
use crate::run::last;

/// Why a heartbeat does not go into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The batch has 65535 heartbeats already.
    #[error("the batch is full")]
    Full,
    /// Something in it is longer than its place, or is nothing that a sender can tell.
    #[error("a batch has no room for its {0}")]
    Field(&'static str),
}

/// A batch being written.
#[derive(Debug, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
    many: u16,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: vec![VERSION, 0, 0], many: 0 }
    }
}

impl Writer {
    /// Adds `beat`. Its [`Beat::age`] is no sender's to tell, and times are told in whole milliseconds.
    ///
    /// # Errors
    /// When it does not fit; the batch is then as it was.
    pub fn push(&mut self, beat: &Beat) -> Result<(), Unwritable> {
        let begin = self.bytes.len();
        let written = self.many.checked_add(1).ok_or(Unwritable::Full).and_then(|many| {
            self.bytes.extend([0; 2]);
            write(&mut self.bytes, beat)?;
            let length =
                u16::try_from(self.bytes.len() - begin - 2).map_err(|_| Unwritable::Field("length"))?;
            self.bytes[begin..begin + 2].copy_from_slice(&length.to_le_bytes());
            Ok(many)
        });
        match written {
            Ok(many) => {
                self.many = many;
                self.bytes[1..HEAD].copy_from_slice(&many.to_le_bytes());
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(begin);
                Err(error)
            }
        }
    }

    /// The batch as it stands.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The batch.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn write(bytes: &mut Vec<u8>, beat: &Beat) -> Result<(), Unwritable> {
    let bit = |is_there, bit| if is_there { bit } else { 0 };
    let fields = bit(beat.sent_at.is_some(), field::SENT_AT)
        | bit(beat.interval.is_some(), field::INTERVAL)
        | bit(beat.progress.is_some(), field::PROGRESS)
        | bit(beat.hears.is_some(), field::HEARS_TOLD)
        | bit(beat.hears == Some(true), field::HEARS)
        | bit(beat.message.is_some(), field::MESSAGE)
        | bit(!beat.metrics.is_empty(), field::METRICS)
        | bit(beat.run.is_some(), field::RUN);
    let status = match beat.status {
        BeatStatus::Alive => 0,
        BeatStatus::Stopping => 1,
        BeatStatus::Fail => 2,
    };
    bytes.extend([status, fields]);
    short(bytes, beat.service.as_str(), "service_id")?;
    if let Some(at) = beat.sent_at {
        bytes.extend(at.as_millis().to_le_bytes());
    }
    if let Some(interval) = beat.interval {
        bytes.extend(millis(interval, "interval")?);
    }
    if let Some(progress) = beat.progress {
        bytes.extend(progress.to_le_bytes());
    }
    if let Some(message) = &beat.message {
        long(bytes, message, "message")?;
    }
    if !beat.metrics.is_empty() {
        bytes.push(u8::try_from(beat.metrics.len()).map_err(|_| Unwritable::Field("metrics"))?);
        for (name, value) in &beat.metrics {
            short(bytes, name, "metrics")?;
            bytes.extend(value.to_le_bytes());
        }
    }
    beat.run.as_ref().map_or(Ok(()), |run| write_run(bytes, run))
}

fn write_run(bytes: &mut Vec<u8>, run: &Run) -> Result<(), Unwritable> {
    let phase = match run.phase {
        RunPhase::Started => 0,
        RunPhase::Ended => 1,
        RunPhase::Noted => 2,
    };
    let exit = match run.exit {
        None => 0,
        Some(Exit::Clean | Exit::Code(_)) => 1,
        Some(Exit::Signal(_)) => 2,
        Some(Exit::StartFailed(_)) => 3,
        // What the OS tells lifesign, and nobody else.
        Some(Exit::Watchdog | Exit::Unseen) => return Err(Unwritable::Field("exit")),
    };
    let bit = |is_there, bit| if is_there { bit } else { 0 };
    let fields = exit
        | bit(run.id.is_some(), run_field::ID)
        | bit(run.took.is_some(), run_field::DURATION)
        | bit(run.output.is_some(), run_field::OUTPUT);
    bytes.extend([phase, fields]);
    match &run.exit {
        Some(Exit::Clean) => bytes.extend(0_i64.to_le_bytes()),
        Some(Exit::Code(code)) => bytes.extend(code.to_le_bytes()),
        Some(Exit::Signal(signal)) => {
            bytes.push(u8::try_from(*signal).map_err(|_| Unwritable::Field("signal"))?);
        }
        Some(Exit::StartFailed(why)) => long(bytes, last(why), "start_error")?,
        Some(Exit::Watchdog | Exit::Unseen) | None => {}
    }
    if let Some(id) = &run.id {
        short(bytes, id, "run_id")?;
    }
    if let Some(took) = run.took {
        bytes.extend(millis(took, "duration")?);
    }
    if let Some(output) = &run.output {
        long(bytes, last(output), "output")?;
    }
    Ok(())
}

fn millis(span: Duration, what: &'static str) -> Result<[u8; 8], Unwritable> {
    u64::try_from(span.as_millis()).map(u64::to_le_bytes).map_err(|_| Unwritable::Field(what))
}

fn short(bytes: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), Unwritable> {
    bytes.push(u8::try_from(text.len()).map_err(|_| Unwritable::Field(what))?);
    bytes.extend(text.as_bytes());
    Ok(())
}

const _: () = assert!(MAX_OUTPUT <= u16::MAX as usize, "an output has its length in two bytes");

fn long(bytes: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), Unwritable> {
    bytes.extend(u16::try_from(text.len()).map_err(|_| Unwritable::Field(what))?.to_le_bytes());
    bytes.extend(text.as_bytes());
    Ok(())
}
