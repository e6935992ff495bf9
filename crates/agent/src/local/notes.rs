//! Files that are heartbeats: looked at when the system tells of their writing, and in turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::model::ServiceId;
use lifesign_os::local::file::Note;
use lifesign_os::local::{Changes, Way};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::reader::Reader;

/// Between two looks that somebody's writing causes: a program in a loop costs one look in this time.
const PAUSE: Duration = Duration::from_millis(5);

/// Which files there are.
pub(super) struct Files {
    /// The folder of notes, named after their services.
    pub(super) folder: Option<PathBuf>,
    /// Files of which only the touch counts.
    pub(super) touched: BTreeMap<ServiceId, PathBuf>,
}

/// Looks at the files of all services every `every`, until nobody takes heartbeats.
pub(super) async fn look(
    files: Files,
    every: Duration,
    mut services: watch::Receiver<Arc<BTreeSet<ServiceId>>>,
    reader: Reader,
) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wanted = services.borrow_and_update().clone();
    let (mut notes, mut changes) = files.open(&wanted);
    loop {
        let written = tokio::select! {
            _ = ticks.tick() => None,
            written = changes.next() => Some(written),
            changed = services.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = services.borrow_and_update().clone();
                (notes, changes) = files.open(&wanted);
                continue;
            }
        };
        let is_told = written.is_some();
        // A file system that hangs holds up a thread, and the files, but nothing else.
        let looked = tokio::task::spawn_blocking(move || {
            let is_due = |index| written.as_ref().is_none_or(|written| written.contains(&index));
            let due = notes.iter_mut().enumerate().filter(|(index, _)| is_due(*index));
            let news: Vec<_> = due.map(|(_, note)| note.look()).collect();
            (notes, news)
        });
        let Ok((back, news)) = looked.await else { return };
        notes = back;
        for look in news {
            match look {
                Ok(None) => {}
                Ok(Some(letter)) => {
                    if !reader.take(letter).await {
                        return;
                    }
                }
                Err(error) => reader.tally.malformed(Way::File, &error),
            }
        }
        if is_told {
            sleep(PAUSE).await;
        }
    }
}

impl Files {
    /// Makes the folder of notes, if there is to be one.
    pub(super) fn prepare(&self) {
        if let Some(folder) = &self.folder
            && let Err(error) = std::fs::create_dir_all(folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "The folder of notes cannot be made");
        }
    }

    fn open(&self, services: &BTreeSet<ServiceId>) -> (Vec<Note>, Changes) {
        let in_folder = self
            .folder
            .iter()
            .flat_map(|folder| services.iter().map(|id| Note::new(id.clone(), folder.join(id.as_str()))));
        let others = self
            .touched
            .iter()
            .filter(|(id, _)| services.contains(*id))
            .map(|(id, path)| Note::touched(id.clone(), path.clone()));
        let notes: Vec<Note> = in_folder.chain(others).collect();
        let changes = Changes::of(notes.iter().map(Note::path));
        (notes, changes)
    }
}
