//! Live events: what changed, as it changes, for [`GET /api/v1/events`](crate::api) and the dashboard.
//!
//! Events are published after the store has written what they tell of. The newest [`RING`] are kept, so
//! that a client that was away for a moment goes on where it stopped; one that was away for longer, or
//! that reads too slowly, is told to start afresh.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lifesign_core::effect::{Alert, Incident, NotifyReason, Transition, Verb};
use lifesign_core::model::{IncidentId, ServiceId};
use lifesign_core::time::Wall;
use tokio::sync::broadcast;

/// How many events are kept for clients that come back, and how far a client may fall behind.
pub const RING: usize = 1024;

/// Something that changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// A service changed its state or reason.
    State(Transition),
    /// An incident opened, changed or closed.
    Incident(Incident),
    /// An alert became pending, fired or resolved.
    Alert(Alert),
    /// A notification was queued or tried.
    Notification(Told),
    /// An action was ordered or ended.
    Action(Done),
}

impl Live {
    /// The event's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Incident(_) => "incident",
            Self::Alert(_) => "alert",
            Self::Notification(_) => "notification",
            Self::Action(_) => "action",
        }
    }
}

/// How a notification stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The notification's id.
    pub id: Arc<str>,
    /// Who is told.
    pub receiver: Arc<str>,
    /// Why; `None` when this tells of an attempt.
    pub reason: Option<NotifyReason>,
    /// The incident it tells of.
    pub incident: Option<IncidentId>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the other side took it.
    pub delivered: bool,
    /// The other side's last words.
    pub answer: Option<String>,
}

/// How an action stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The action's id.
    pub id: Arc<str>,
    /// To which service.
    pub service: ServiceId,
    /// What; `None` when this tells of its end.
    pub verb: Option<Verb>,
    /// Who ordered it; `None` when this tells of its end.
    pub by: Option<Arc<str>>,
    /// How it ended; `None`: it has just been ordered.
    pub result: Option<Result<(), String>>,
}

/// One published event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counted up from 1 in the life of a process.
    pub number: u64,
    /// When it was published.
    pub at: Wall,
    /// What changed.
    pub what: Live,
}

#[derive(Debug)]
struct Kept {
    next: u64,
    ring: VecDeque<Arc<Event>>,
}

/// Where events are published and followed; cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    kept: Arc<Mutex<Kept>>,
    live: broadcast::Sender<Arc<Event>>,
    /// Tells the events of this process from those of an earlier one.
    life: Arc<str>,
}

/// A client's place in the stream.
#[derive(Debug)]
pub struct Following {
    /// What was published since the client's last event, oldest first.
    pub missed: Vec<Arc<Event>>,
    /// Whether some of that is no longer kept, so that the client has to start afresh.
    pub gap: bool,
    /// What is published from now on.
    pub live: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    /// No events yet. `life` is any text that no earlier process had: its start time.
    pub fn new(life: impl Into<Arc<str>>) -> Self {
        Self {
            kept: Arc::new(Mutex::new(Kept { next: 1, ring: VecDeque::with_capacity(RING) })),
            live: broadcast::channel(RING).0,
            life: life.into(),
        }
    }

    /// Publishes what changed.
    pub fn publish(&self, at: Wall, what: Live) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Arc::new(Event { number: kept.next, at, what });
        kept.next += 1;
        if kept.ring.len() == RING {
            kept.ring.pop_front();
        }
        kept.ring.push_back(Arc::clone(&event));
        // Sent under the lock, so that followers see the numbers in order. Nobody may be following.
        let _ = self.live.send(event);
    }

    /// The id of an event on the wire.
    pub fn id(&self, event: &Event) -> String {
        format!("{}-{}", self.life, event.number)
    }

    /// Follows from now on, or, with the wire id of the last event seen, from the one after it.
    pub fn follow(&self, last_seen: Option<&str>) -> Following {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let live = self.live.subscribe();
        let Some(last_seen) = last_seen else {
            return Following { missed: Vec::new(), gap: false, live };
        };
        let number = last_seen
            .rsplit_once('-')
            .filter(|(life, _)| *life == &*self.life)
            .and_then(|(_, number)| number.parse::<u64>().ok());
        let oldest = kept.ring.front().map_or(kept.next, |event| event.number);
        match number {
            Some(number) if number < kept.next && number.saturating_add(1) >= oldest => Following {
                missed: kept.ring.iter().filter(|event| event.number > number).cloned().collect(),
                gap: false,
                live,
            },
            _ => Following { missed: Vec::new(), gap: true, live },
        }
    }

    /// How many clients follow.
    pub fn followers(&self) -> usize {
        self.live.receiver_count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(n: usize) -> Live {
        Live::Action(Done {
            id: n.to_string().into(),
            service: ServiceId::new("orders").unwrap(),
            verb: None,
            by: None,
            result: None,
        })
    }

    fn publish(events: &Events, count: usize) {
        for n in 0..count {
            events.publish(Wall::from_millis(0), done(n));
        }
    }

    #[test]
    fn a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
        let events = Events::new("life");
        publish(&events, 3);
        let following = events.follow(Some("life-1"));
        assert!(!following.gap);
        assert_eq!(following.missed.iter().map(|event| event.number).collect::<Vec<_>>(), [2, 3]);
        assert!(events.follow(Some("life-3")).missed.is_empty());
    }

    proptest! {
        #[test]
        fn whoever_comes_back_gets_all_of_it_or_is_told_of_a_gap(
            before in 1_usize..3 * RING,
            after in 0_usize..2 * RING,
        ) {
            let events = Events::new("life");
            publish(&events, before + after);
            let following = events.follow(Some(&format!("life-{before}")));
            let numbers: Vec<u64> = following.missed.iter().map(|event| event.number).collect();
            if following.gap {
                prop_assert!(after > RING && numbers.is_empty());
            } else {
                let (first, last) = (before as u64 + 1, (before + after) as u64);
                prop_assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_client_of_an_earlier_process_or_from_too_long_ago_is_told_of_the_gap() {
        let events = Events::new("life");
        publish(&events, RING + 2);
        assert!(events.follow(Some("life-1")).gap, "event 2 is gone");
        assert!(!events.follow(Some("life-2")).gap, "event 3 is the oldest kept");
        for strange in ["other-1500", "life-99999", "life-x", "", "life"] {
            assert!(events.follow(Some(strange)).gap, "{strange:?}");
        }
        assert!(!events.follow(None).gap);
    }
}
