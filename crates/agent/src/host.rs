//! The host's own figures, sampled at a steady pace.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::evidence::HostSample;
use lifesign_core::input::Input;
use lifesign_core::model::HostName;
use lifesign_os::host::Sampler;
use tokio::sync::mpsc;

use crate::local::Tally;
use tokio::time::{MissedTickBehavior, interval};

/// Samples `host` every `every` until nobody listens. Disk figures are those of the file system of `folder`.
pub(crate) async fn sample(
    host: HostName,
    folder: PathBuf,
    every: Duration,
    local: Option<Arc<Tally>>,
    inputs: mpsc::Sender<Input>,
) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sampler = Sampler::new(folder);
    loop {
        ticks.tick().await;
        // A file system that hangs holds up a thread, and the next sample, but nothing else.
        let sampled = tokio::task::spawn_blocking(move || {
            let figures = sampler.sample();
            (sampler, figures)
        });
        let Ok((back, figures)) = sampled.await else {
            tracing::error!(
                "Sampling the host broke down; there are no host metrics until lifesign is restarted"
            );
            return;
        };
        sampler = back;
        let heard = local.iter().flat_map(|tally| tally.metrics());
        let metrics =
            figures.into_iter().chain(heard).map(|(name, value)| (Arc::from(name), value)).collect();
        let sample = HostSample { host: Arc::clone(&host), metrics };
        if inputs.send(Input::Host(sample)).await.is_err() {
            return;
        }
    }
}
