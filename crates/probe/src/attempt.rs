//! One run of a probe: its clock, the phases measured so far, and what is to be said if time runs out.

use std::future::Future;
use std::time::Duration;

use lifesign_core::evidence::{CheckOutcome, CheckReport, FailKind, Phases};
use tokio::time::Instant;

use crate::finding::Finding;

/// A stretch of a probe's time that is measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Dns,
    Connect,
    Tls,
    FirstByte,
    /// What follows the first byte; part of the total only.
    Rest,
}

impl Phase {
    /// What the probe is doing meanwhile, for the message of a timeout.
    fn doing(self) -> &'static str {
        match self {
            Self::Dns => "while resolving the name",
            Self::Connect => "while connecting",
            Self::Tls => "in the TLS handshake",
            Self::FirstByte => "while waiting for the first byte",
            Self::Rest => "while reading the answer",
        }
    }
}

/// The book a probe keeps while it runs. It outlives the probe's future, so that a probe cut off by its
/// timeout still tells where the time went.
#[derive(Debug)]
pub(crate) struct Attempt {
    started: Instant,
    phases: Phases,
    running: Option<(Phase, Instant)>,
    if_cut_off: Option<Finding>,
}

impl Attempt {
    pub(crate) fn begin() -> Self {
        Self { started: Instant::now(), phases: Phases::default(), running: None, if_cut_off: None }
    }

    /// Does `work` and books its time under `phase`. A phase that happens twice (a redirect) adds up.
    pub(crate) async fn measure<T>(&mut self, phase: Phase, work: impl Future<Output = T>) -> T {
        self.running = Some((phase, Instant::now()));
        let result = work.await;
        self.book();
        result
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// From here on, running out of time means `finding` instead of [`FailKind::Timeout`]; `None` takes it back.
    pub(crate) fn if_cut_off(&mut self, finding: Option<Finding>) {
        self.if_cut_off = finding;
    }

    /// The report of a probe that came to an end by itself.
    pub(crate) fn finish(mut self, finding: Finding) -> CheckReport {
        self.book();
        self.phases.total = self.elapsed();
        finding.into_report(self.phases)
    }

    /// The report of a probe whose time ran out after `timeout`.
    pub(crate) fn cut_off(mut self, timeout: Duration) -> CheckReport {
        let finding = self.if_cut_off.take().unwrap_or_else(|| {
            let doing = self.running.map_or("", |(phase, _)| phase.doing());
            Finding::new(
                CheckOutcome::Fail(FailKind::Timeout),
                format!("no answer within {timeout:?}: gave up {doing}"),
            )
        });
        self.finish(finding)
    }

    fn book(&mut self) {
        let Some((phase, since)) = self.running.take() else { return };
        let slot = match phase {
            Phase::Dns => &mut self.phases.dns,
            Phase::Connect => &mut self.phases.connect,
            Phase::Tls => &mut self.phases.tls,
            Phase::FirstByte => &mut self.phases.first_byte,
            Phase::Rest => return,
        };
        *slot = Some(slot.unwrap_or_default() + since.elapsed());
    }
}
