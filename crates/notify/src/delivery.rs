//! What an attempt to deliver needs beside the notification, and how it can end.

use std::time::Duration;

use lifesign_lang::Lang;

/// How often a message that the other side has read and refused is tried before it is given up.
///
/// A refusal is about this one message (`400`, `413`, an SMTP `554`), so trying for ever would hold back
/// every later one to the same receiver. Three attempts outlast a proxy or a mail server that answers
/// nonsense while it is being restarted.
pub const REFUSED_AFTER: u32 = 3;

/// The circumstances of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// Where people reach lifesign, without a slash at the end; links begin with it.
    pub external_url: &'a str,
    /// The language of the receiver.
    pub lang: Lang,
}

/// How an attempt ended. The texts are bounded, on one line and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The other side said that it has it.
    Delivered {
        /// In its words.
        answer: String,
    },
    /// Not delivered; the same notification, with the same id, is to be sent again.
    Retry {
        /// What happened.
        why: String,
        /// The wait the other side asked for.
        after: Option<Duration>,
    },
    /// The other side does not want this message, and asking again would not change that.
    Refused {
        /// Its words.
        why: String,
    },
}

impl Delivery {
    /// To be tried again at the next turn.
    pub(crate) fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into(), after: None }
    }

    /// Refused by the other side: given up once [`REFUSED_AFTER`] attempts heard the same.
    pub(crate) fn refused(why: String, attempt: u32) -> Self {
        if attempt >= REFUSED_AFTER { Self::Refused { why } } else { Self::retry(why) }
    }

    /// Whether the other side has the message.
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered { .. })
    }

    /// The text, whatever the outcome.
    pub fn text(&self) -> &str {
        match self {
            Self::Delivered { answer } => answer,
            Self::Retry { why, .. } | Self::Refused { why } => why,
        }
    }
}
