//! The answer to a batch: a byte for each heartbeat.
//!
//! ```text
//! answer:  u8 version, 1 | u16 number of answers | one byte each, in the order of the heartbeats
//!   taken    0 pending, 1 up, 2 degraded, 3 suspect, 4 down, 5 unknown: the state of the service now
//!   refused  128 not valid, 129 no such service, 130 more than its rate allows
//! ```

use lifesign_core::model::State;

use super::{HEAD, VERSION};

/// What became of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It counted, and left its service in this state.
    Taken(State),
    /// It was not valid.
    Invalid,
    /// There is no such service.
    Unknown,
    /// It came sooner than the service's rate allows.
    TooFast,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no answer to a batch of heartbeats")]
pub struct AnswerError;

/// Writes `answers`; more than 65535 belong to no batch and are left out.
pub fn write_answer(answers: &[Answer]) -> Vec<u8> {
    let many = u16::try_from(answers.len()).unwrap_or(u16::MAX);
    let [low, high] = many.to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD + usize::from(many));
    bytes.extend([VERSION, low, high]);
    bytes.extend(answers.iter().take(usize::from(many)).map(|answer| match answer {
        Answer::Taken(State::Pending) => 0,
        Answer::Taken(State::Up) => 1,
        Answer::Taken(State::Degraded) => 2,
        Answer::Taken(State::Suspect) => 3,
        Answer::Taken(State::Down) => 4,
        Answer::Taken(State::Unknown) => 5,
        Answer::Invalid => 128,
        Answer::Unknown => 129,
        Answer::TooFast => 130,
    }));
    bytes
}

/// Reads an answer.
///
/// # Errors
/// When it is none.
pub fn read_answer(bytes: &[u8]) -> Result<Vec<Answer>, AnswerError> {
    let ([version, low, high], answers) = bytes.split_first_chunk::<HEAD>().ok_or(AnswerError)?;
    if *version != VERSION || answers.len() != usize::from(u16::from_le_bytes([*low, *high])) {
        return Err(AnswerError);
    }
    let read = answers.iter().map(|byte| {
        Ok(match byte {
            0 => Answer::Taken(State::Pending),
            1 => Answer::Taken(State::Up),
            2 => Answer::Taken(State::Degraded),
            3 => Answer::Taken(State::Suspect),
            4 => Answer::Taken(State::Down),
            5 => Answer::Taken(State::Unknown),
            128 => Answer::Invalid,
            129 => Answer::Unknown,
            130 => Answer::TooFast,
            _ => return Err(AnswerError),
        })
    });
    read.collect()
}
