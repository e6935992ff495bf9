//! Mutual judgement, this side of it: who hears whom.

use crate::send::SendError;

/// Who hears whom, as the last heartbeat showed.
///
/// lifesign judges the other side: in mode mutual each heartbeat says whether the previous one was answered in time,
/// so that *I hear you, you do not hear me* is seen there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Not known yet: the first heartbeat is under way.
    Unknown,
    /// The heartbeat arrived, and its answer arrived here.
    Both,
    /// The heartbeat left, and no answer came in time: lifesign may hear this program, which does not hear lifesign.
    OnlyLifesign,
    /// lifesign's words arrive here, ours do not arrive there. Cannot happen over HTTP, where lifesign only speaks in
    /// answer to a heartbeat; the word is there for transports of which each direction can fail alone.
    OnlyProgram,
    /// There is no connection.
    Neither,
}

impl Hearing {
    /// What a heartbeat showed; `None`: it was acknowledged. A refusal is an answer too.
    pub(crate) fn after(error: Option<&SendError>) -> Self {
        match error {
            None => Self::Both,
            Some(error) if error.is_answer() => Self::Both,
            Some(SendError::Unanswered(_)) => Self::OnlyLifesign,
            Some(_) => Self::Neither,
        }
    }

    /// Whether this program hears lifesign, where that is known.
    pub const fn hears(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Both | Self::OnlyProgram => Some(true),
            Self::OnlyLifesign | Self::Neither => Some(false),
        }
    }
}
