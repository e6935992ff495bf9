//! Tells when one of some files was written: inotify on Linux, `ReadDirectoryChangesW` on Windows.
//!
//! Their folders are watched, since a file that is renamed into its place is another file. What the system has no
//! room for, and what it cannot watch at all (a network's file system, a folder that comes later), is found by
//! whoever looks at the files in turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Files on watch. Dropping it ends the watching.
#[derive(Debug)]
pub struct Changes {
    heard: Arc<Heard>,
    /// `None`: the system watches nothing for us.
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Debug)]
struct Heard {
    places: BTreeMap<PathBuf, usize>,
    /// At most as many as there are files, however many a flood writes.
    written: Mutex<BTreeSet<usize>>,
    news: Notify,
}

impl Changes {
    /// Watches these files, which need not exist yet.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let places: BTreeMap<PathBuf, usize> =
            files.into_iter().enumerate().map(|(index, path)| (path.to_owned(), index)).collect();
        let folders: BTreeSet<PathBuf> =
            places.keys().filter_map(|path| path.parent().map(Path::to_owned)).collect();
        let heard = Arc::new(Heard { places, written: Mutex::default(), news: Notify::new() });
        if folders.is_empty() {
            return Self { heard, _watcher: None };
        }
        let listener = Arc::clone(&heard);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event {
                listener.take(&event);
            }
        });
        let watcher = match watcher {
            Ok(mut watcher) => {
                for folder in folders {
                    if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                        tracing::debug!(folder = %folder.display(), %error, "A folder cannot be watched; its files are looked at in turns alone");
                    }
                }
                Some(watcher)
            }
            Err(error) => {
                tracing::warn!(%error, "Files cannot be watched; they are looked at in turns alone");
                None
            }
        };
        Self { heard, _watcher: watcher }
    }

    /// Waits until some were written; gives their places in the list that was watched. For ever where nothing is.
    pub async fn next(&self) -> BTreeSet<usize> {
        loop {
            let written =
                std::mem::take(&mut *self.heard.written.lock().unwrap_or_else(PoisonError::into_inner));
            if !written.is_empty() {
                return written;
            }
            self.heard.news.notified().await;
        }
    }
}

impl Heard {
    fn take(&self, event: &notify::Event) {
        // All may have changed: too many events at once.
        let all = event.need_rescan().then(|| self.places.values().copied()).into_iter().flatten();
        let named = event.paths.iter().filter_map(|path| self.places.get(path).copied());
        let named = tells_of_writing(&event.kind).then_some(named).into_iter().flatten();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = written.len();
        written.extend(all.chain(named));
        if written.len() > before {
            self.news.notify_one();
        }
    }
}

/// Linux tells when a writer is done; a word of each single write would find half a note, and our own reading is told
/// as well. Windows tells of changes alone.
fn tells_of_writing(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) => true,
        EventKind::Modify(_) | EventKind::Create(_) => cfg!(windows),
        EventKind::Access(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn next(changes: &Changes) -> BTreeSet<usize> {
        tokio::time::timeout(Duration::from_secs(60), changes.next()).await.expect("nothing was told")
    }

    #[tokio::test]
    async fn writing_touching_and_renaming_into_place_are_told_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        std::fs::write(&paths[1], "").unwrap();
        let changes = Changes::of(paths.iter().map(PathBuf::as_path));
        std::fs::write(dir.path().join("other"), "x").unwrap();
        std::fs::write(dir.path().join(".new"), "x").unwrap();
        std::fs::rename(dir.path().join(".new"), &paths[0]).unwrap();
        assert_eq!(next(&changes).await, BTreeSet::from([0]));
        std::fs::File::options()
            .write(true)
            .open(&paths[1])
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        while !next(&changes).await.contains(&1) {}
    }

    #[test]
    fn a_flood_takes_no_more_room_than_there_are_files() {
        let places = BTreeMap::from([(PathBuf::from("/n/a"), 0), (PathBuf::from("/n/b"), 1)]);
        let heard = Heard { places, written: Mutex::default(), news: Notify::new() };
        let kind = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for _ in 0..1000 {
            heard.take(&notify::Event::new(kind).add_path("/n/a".into()).add_path("/n/c".into()));
        }
        assert_eq!(*heard.written.lock().unwrap(), BTreeSet::from([0]));
        let lost = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        heard.take(&lost);
        assert_eq!(
            *heard.written.lock().unwrap(),
            BTreeSet::from([0, 1]),
            "what was lost may be any of them"
        );
    }
}
