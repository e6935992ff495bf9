//! The answer to a write.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::Deferred;

/// Resolves when the batch is on the disk, or as soon as the disk refuses it. What was deferred is written
/// later, in order; nobody has to hand it in again. May be dropped: the batch is written all the same.
#[derive(Debug)]
#[must_use = "says when the batch is on the disk; drop it where that does not matter"]
pub struct Written(Answer);

#[derive(Debug)]
enum Answer {
    Known(Result<(), Deferred>),
    Awaited(oneshot::Receiver<Result<(), Deferred>>),
}

impl Written {
    pub(crate) const fn known(answer: Result<(), Deferred>) -> Self {
        Self(Answer::Known(answer))
    }

    pub(crate) const fn awaited(answer: oneshot::Receiver<Result<(), Deferred>>) -> Self {
        Self(Answer::Awaited(answer))
    }
}

impl Future for Written {
    type Output = Result<(), Deferred>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Known(answer) => Poll::Ready(answer.clone()),
            Answer::Awaited(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(Deferred { why: "the store is closed".into() }))),
        }
    }
}
