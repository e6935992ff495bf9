//! What every kind of receiver has in common: a deadline, and that it never takes lifesign down with it.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lifesign_core::effect::Notification;

use crate::delivery::{Context, Delivery};

/// The future of one attempt.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;

/// One way to reach people or programs. Each kind is one implementation in a file of its own.
pub(crate) trait Channel: fmt::Debug + Send + Sync {
    /// Time for one attempt, from connecting to the answer.
    fn timeout(&self) -> Duration;

    /// Makes one attempt. Dropping the future ends it and whatever it started.
    fn send<'a>(&'a self, notification: &'a Notification, context: &'a Context<'a>) -> Sending<'a>;
}

/// A configured receiver. `Debug` shows no secret.
#[derive(Clone)]
pub struct Receiver {
    kind: &'static str,
    channel: Arc<dyn Channel>,
}

impl Receiver {
    pub(crate) fn new(kind: &'static str, channel: impl Channel + 'static) -> Self {
        Self { kind, channel: Arc::new(channel) }
    }

    /// Its kind, as the configuration calls it.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Makes one attempt to deliver, and says how it ended.
    ///
    /// Ends within the receiver's own timeout, never fails and never panics: what goes wrong is a reason to
    /// try again. When it ends, or is dropped, no connection and no process of it is left.
    pub async fn deliver(&self, notification: &Notification, context: &Context<'_>) -> Delivery {
        let limit = self.channel.timeout();
        let attempt = AssertUnwindSafe(async {
            tokio::time::timeout(limit, self.channel.send(notification, context)).await
        });
        match attempt.catch_unwind().await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(_elapsed)) => Delivery::retry(format!("no answer within {limit:?}")),
            Err(_panic) => {
                Delivery::retry("lifesign failed while sending; this is a defect, please report it")
            }
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use lifesign_lang::Lang;

    use super::*;
    use crate::samples;

    #[derive(Debug)]
    struct Broken;

    impl Channel for Broken {
        fn timeout(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn send<'a>(&'a self, _: &'a Notification, _: &'a Context<'a>) -> Sending<'a> {
            Box::pin(async { panic!("on purpose") })
        }
    }

    #[derive(Debug)]
    struct Mute;

    impl Channel for Mute {
        fn timeout(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn send<'a>(&'a self, _: &'a Notification, _: &'a Context<'a>) -> Sending<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_reasons_to_try_again() {
        let context = Context { attempt: 9, external_url: "http://lifesign", lang: Lang::En };
        let broken = Receiver::new("broken", Broken).deliver(&samples::opening(), &context).await;
        assert!(matches!(broken, Delivery::Retry { .. }), "{broken:?}");
        let mute = Receiver::new("mute", Mute).deliver(&samples::opening(), &context).await;
        assert_eq!(mute, Delivery::retry("no answer within 5s"));
    }
}
