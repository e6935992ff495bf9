//! Files that are heartbeats, looked at in turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::model::ServiceId;
use lifesign_os::local::Way;
use lifesign_os::local::file::Note;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::reader::Reader;

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
    if let Some(folder) = &files.folder
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        tracing::warn!(folder = %folder.display(), %error, "The folder of notes cannot be made");
    }
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wanted = services.borrow_and_update().clone();
    let mut notes = files.open(&wanted);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = services.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = services.borrow_and_update().clone();
                notes = files.open(&wanted);
                continue;
            }
        }
        // A file system that hangs holds up a thread, and the files, but nothing else.
        let looked = tokio::task::spawn_blocking(move || {
            let news: Vec<_> = notes.iter_mut().map(Note::look).collect();
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
    }
}

impl Files {
    fn open(&self, services: &BTreeSet<ServiceId>) -> Vec<Note> {
        let in_folder = self
            .folder
            .iter()
            .flat_map(|folder| services.iter().map(|id| Note::new(id.clone(), folder.join(id.as_str()))));
        let others = self
            .touched
            .iter()
            .filter(|(id, _)| services.contains(*id))
            .map(|(id, path)| Note::touched(id.clone(), path.clone()));
        in_folder.chain(others).collect()
    }
}
