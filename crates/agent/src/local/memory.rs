//! Pages of shared memory, looked at in turns.
//!
//! A look at a page whose sender has not beaten since is one read of one word. Pages that were never used are
//! looked at less often, so that a service that beats in another way costs next to nothing. While none is used, the turns
//! between are left out, too: an idle agent must not wake for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lifesign_core::model::ServiceId;
use lifesign_os::local::{Page, Place, Way};
use lifesign_proto::local::page::{self, BEATS, HEARD, OWNER, SEQUENCE, SIZE};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::reader::Reader;

/// A page without a heartbeat so far is looked at every so many turns, at least once in [`UNUSED_AT_MOST`].
const UNUSED_EVERY: u32 = 8;
/// The longest time between two looks at an unused page.
const UNUSED_AT_MOST: Duration = Duration::from_secs(1);
/// How often a page that changes under the reading is read again before its turn is given up.
const TRIES: usize = 16;

struct Watched {
    page: Page,
    /// The count of heartbeats at the last look.
    beats: u64,
    is_used: bool,
}

/// Looks at the pages of all services every `every`, until nobody takes heartbeats.
pub(super) async fn look(
    place: Place,
    every: Duration,
    mut services: watch::Receiver<Arc<BTreeSet<ServiceId>>>,
    reader: Reader,
) {
    let every = every.max(Duration::from_millis(1));
    let spare = UNUSED_AT_MOST.as_nanos() / every.as_nanos();
    let unused_every = UNUSED_EVERY.min(u32::try_from(spare).unwrap_or(UNUSED_EVERY)).max(1);
    let mut pages = BTreeMap::new();
    let mut turn = 0_u32;
    let mut at = Instant::now();
    let wanted = services.borrow_and_update().clone();
    renew(&mut pages, &wanted, &place);
    loop {
        let is_any_used = pages.values().any(|watched: &Watched| watched.is_used);
        let turns = if is_any_used { 1 } else { unused_every - turn % unused_every };
        tokio::select! {
            () = sleep_until(at + every * turns) => {}
            changed = services.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = services.borrow_and_update().clone();
                renew(&mut pages, &wanted, &place);
                continue;
            }
        }
        // Turns that were missed are not made up for.
        at = Instant::now();
        turn = turn.wrapping_add(turns);
        for (service, watched) in &mut pages {
            if !watched.is_used && !turn.is_multiple_of(unused_every) {
                continue;
            }
            match watched.look() {
                Ok(None) => {}
                Ok(Some(content)) => {
                    let beat = page::read(service, &content, &reader.limits);
                    if !reader.pass(Way::Memory, page::pid(&content), beat).await {
                        return;
                    }
                }
                Err(error) => {
                    reader.tally.malformed(Way::Memory, &error);
                    // Somebody cut it short: it is laid out anew, and its sender finds it changed.
                    if let Ok(fresh) = open(&place, service) {
                        *watched = fresh;
                    }
                }
            }
        }
    }
}

/// Opens pages of services that are new, and takes away those of services that are gone.
fn renew(pages: &mut BTreeMap<ServiceId, Watched>, wanted: &BTreeSet<ServiceId>, place: &Place) {
    let gone: Vec<ServiceId> = pages.keys().filter(|id| !wanted.contains(*id)).cloned().collect();
    for id in gone {
        if let Some(watched) = pages.remove(&id) {
            watched.page.remove();
        }
    }
    for id in wanted {
        if pages.contains_key(id) {
            continue;
        }
        match open(place, id) {
            Ok(watched) => {
                pages.insert(id.clone(), watched);
            }
            Err(error) => {
                tracing::warn!(service = %id, %error, "There is no shared memory for its heartbeats");
            }
        }
    }
}

fn open(place: &Place, service: &ServiceId) -> io::Result<Watched> {
    let owner = std::process::id();
    let page = Page::open(place, service, &page::fresh(owner), page::is_page)?;
    page.set_word(OWNER, u64::from(owner))?;
    // What was counted before this lifesign came is no sign of life.
    let beats = page.word(BEATS)?;
    page.set_word(HEARD, beats)?;
    Ok(Watched { page, beats, is_used: beats != 0 })
}

impl Watched {
    /// The page, if its sender has beaten since the last look.
    fn look(&mut self) -> io::Result<Option<[u8; SIZE]>> {
        let beats = self.page.word(BEATS)?;
        if beats == self.beats {
            return Ok(None);
        }
        for _ in 0..TRIES {
            let before = self.page.word(SEQUENCE)?;
            if before.is_multiple_of(2) {
                let content = self.page.whole()?;
                if self.page.word(SEQUENCE)? == before {
                    self.beats = page::beats(&content);
                    self.is_used = true;
                    self.page.set_word(HEARD, self.beats)?;
                    return Ok(Some(content));
                }
            }
            std::hint::spin_loop();
        }
        // Its sender is in the middle of a change, perhaps for ever: it beats all the same, and what it says
        // besides is left out this time.
        self.beats = beats;
        Err(io::Error::new(io::ErrorKind::InvalidData, "a page of shared memory is never at rest"))
    }
}
