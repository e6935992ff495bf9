//! A check that can be run, whatever its kind.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lifesign_core::evidence::CheckReport;
use tokio::time::timeout;

use crate::attempt::Attempt;
use crate::finding::Finding;

/// What a probe comes to: `Err` is how a step cuts the rest short, no less a finding than `Ok`.
pub(crate) type Looked<'a> = Pin<Box<dyn Future<Output = Result<Finding, Finding>> + Send + 'a>>;

/// What each kind of check does. It knows nothing of its timeout: whoever runs it cuts it off.
pub(crate) trait Look: fmt::Debug + Send + Sync {
    /// Looks once, on a new connection. Every wait is booked in `attempt`.
    fn look<'a>(&'a self, attempt: &'a mut Attempt) -> Looked<'a>;
}

/// One check of one target, ready to be run. Cheap to clone.
#[derive(Clone)]
pub struct Probe(Arc<dyn Look>);

impl Probe {
    pub(crate) fn new(look: impl Look + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// Looks once and reports after at most `timeout` (and one turn of the runtime).
    ///
    /// Never fails: what goes wrong with the target is `Fail`, what goes wrong here is `Unknown`, a defect
    /// of lifesign included. When the returned future is dropped, the connection is closed.
    pub async fn run(&self, timeout_after: Duration) -> CheckReport {
        let mut attempt = Attempt::begin();
        let look = AssertUnwindSafe(self.0.look(&mut attempt)).catch_unwind();
        match timeout(timeout_after, look).await {
            Ok(Ok(Ok(finding) | Err(finding))) => attempt.finish(finding),
            Ok(Err(_panic)) => {
                attempt.finish(Finding::blind("the check itself broke down: a defect of lifesign"))
            }
            Err(_) => attempt.cut_off(timeout_after),
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use lifesign_core::evidence::{CheckOutcome, FailKind};

    use super::*;

    #[derive(Debug)]
    struct Broken;

    impl Look for Broken {
        fn look<'a>(&'a self, _attempt: &'a mut Attempt) -> Looked<'a> {
            Box::pin(async { panic!("on purpose") })
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl Look for Silent {
        fn look<'a>(&'a self, attempt: &'a mut Attempt) -> Looked<'a> {
            Box::pin(attempt.measure(crate::attempt::Phase::FirstByte, std::future::pending()))
        }
    }

    #[tokio::test]
    async fn a_probe_that_panics_is_our_fault_and_not_the_targets() {
        assert_eq!(Probe::new(Broken).run(Duration::from_secs(1)).await.outcome, CheckOutcome::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cut_off_tells_what_it_waited_for() {
        let report = Probe::new(Silent).run(Duration::from_secs(3)).await;
        assert_eq!(report.outcome, CheckOutcome::Fail(FailKind::Timeout));
        assert_eq!(report.output, "no answer within 3s: gave up while waiting for the first byte");
        assert_eq!(report.phases.first_byte, Some(Duration::from_secs(3)));
        assert_eq!(report.phases.total, Duration::from_secs(3));
    }
}
