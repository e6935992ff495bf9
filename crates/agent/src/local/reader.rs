//! From letters to heartbeats.

use std::sync::Arc;

use lifesign_core::evidence::Beat;
use lifesign_core::input::Input;
use lifesign_core::model::ServiceId;
use lifesign_os::local::{Letter, Way};
use lifesign_proto::Limits;
use lifesign_proto::local::{Refused, read_letter, read_note, read_notify};
use tokio::sync::mpsc;

use super::residents::Residents;
use super::tally::Tally;

/// What every way's letters are read with.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) limits: Limits,
    pub(super) takes_strangers: bool,
    pub(super) residents: Arc<Residents>,
    pub(super) tally: Arc<Tally>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Reader {
    /// Reads letters until there are no more.
    pub(super) async fn read(self, mut letters: mpsc::Receiver<Letter>) {
        while let Some(letter) = letters.recv().await {
            if !self.take(letter).await {
                return;
            }
        }
    }

    /// Reads one letter. `false`: nobody takes heartbeats any more.
    pub(super) async fn take(&self, letter: Letter) -> bool {
        let Letter { way, sender, service, bytes } = letter;
        for beat in self.beats(way, service, &bytes) {
            if !self.pass(way, sender.pid, beat).await {
                return false;
            }
        }
        true
    }

    fn beats(&self, way: Way, service: Option<ServiceId>, bytes: &[u8]) -> Vec<Result<Beat, Refused>> {
        match (way, service) {
            (Way::Notify, Some(service)) => {
                read_notify(&service, bytes, &self.limits).transpose().into_iter().collect()
            }
            (_, Some(service)) => vec![read_note(&service, bytes, &self.limits)],
            (_, None) => read_letter(bytes, &self.limits),
        }
    }

    /// Passes on what was read, if its sender is one of the service's own.
    pub(super) async fn pass(&self, way: Way, sender: Option<u32>, beat: Result<Beat, Refused>) -> bool {
        let beat = match beat {
            Ok(beat) => beat,
            Err(why) => {
                self.tally.malformed(way, &why);
                return true;
            }
        };
        if let Some(pid) = sender
            && let Some(main) = self.residents.stranger(&beat.service, pid)
        {
            self.tally.stranger(way, &beat.service, pid, main, self.takes_strangers);
            if !self.takes_strangers {
                return true;
            }
        }
        self.tally.heard(way);
        self.inputs.send(Input::Beat(beat)).await.is_ok()
    }
}
