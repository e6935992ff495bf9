//! A heart: the thread that beats, and the handle of its host program.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::beat::{Beat, MAX_METRICS, Status, fit_message, is_metric_name, timestamp};
use crate::hearing::Hearing;
use crate::schedule::{Link, Mode, Schedule};
use crate::send::{Connection, SendError};

/// Shortest interval; a shorter one is taken for this.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// How a heart is to beat. Made by [`Heart::builder`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    token: String,
    service: String,
    mode: Mode,
    interval: Duration,
    timeout: Option<Duration>,
    send_retries: u32,
    farewell: Duration,
    authorities: Option<Vec<u8>>,
}

impl Builder {
    /// How the beats are spaced; [`Mode::Fixed`] unless said otherwise. The same as in lifesign's configuration.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Time between two heartbeats, in mode back-off the longest; 5 s unless said otherwise. The same as in
    /// lifesign's configuration.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(MIN_INTERVAL);
        self
    }

    /// Time for one answer; by default the interval, at most 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How often a heartbeat that got no answer is repeated before the link counts as offline; 2.
    #[must_use]
    pub fn send_retries(mut self, retries: u32) -> Self {
        self.send_retries = retries;
        self
    }

    /// How long dropping the heart may wait until lifesign has heard that the program stops; 1 s.
    #[must_use]
    pub fn farewell(mut self, limit: Duration) -> Self {
        self.farewell = limit;
        self
    }

    /// Trusts the certificate authorities in `pem` (a PEM file's content) instead of the public ones.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Begins to beat, the first time at once.
    ///
    /// Never fails: a program must not stay down because its monitor cannot be told. What is wrong shows in
    /// [`Heart::link`] and [`Heart::trouble`].
    pub fn start(self) -> Heart {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                status: Status::Alive,
                metrics: BTreeMap::new(),
                message: None,
                progress: None,
                link: Link::Connecting,
                hearing: Hearing::Unknown,
                trouble: None,
                order: Order::Beat,
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let heart =
            Heart { shared: Arc::clone(&shared), service: self.service.clone(), farewell: self.farewell };
        let body = Arc::clone(&shared);
        let spawned = thread::Builder::new().name("lifesign-heart".to_owned()).spawn(move || {
            let _ended = Ended(&body);
            match Connection::new(&self.url, &self.token, self.authorities.as_deref()) {
                Ok(mut connection) => self.beat(&mut connection, &body),
                Err(error) => body.lock().settle(Link::Offline, Hearing::Neither, Some(error.to_string())),
            }
        });
        if let Err(error) = spawned {
            let mut state = shared.lock();
            let trouble = format!("no thread for the heartbeats: {error}");
            state.settle(Link::Offline, Hearing::Neither, Some(trouble));
            state.ended = true;
        }
        heart
    }

    /// Beats until ordered to stop.
    fn beat(&self, connection: &mut Connection, shared: &Shared) {
        let start = Instant::now();
        let timeout = self.timeout.unwrap_or(self.interval.min(Duration::from_secs(5)));
        let mut schedule = Schedule::new(self.mode, self.interval, self.send_retries);
        let mut hearing = Hearing::Unknown;
        loop {
            // A time too far away for the clock is one that never comes.
            let due = start.checked_add(schedule.next());
            if let Order::Stop { until } = shared.wait(due) {
                return self.say_goodbye(connection, shared, until);
            }
            let mut beat = shared.lock().beat(&self.service);
            beat.interval = schedule.announced().map(|next| next.as_secs_f64());
            beat.hears = hearing.hears().filter(|_| self.mode == Mode::Mutual);
            let sent = start.elapsed();
            let result = connection.send(&beat, timeout);
            let now = start.elapsed();
            hearing = Hearing::after(result.as_ref().err());
            let trouble = match result {
                Ok(_) => {
                    schedule.acknowledged(sent, now);
                    None
                }
                Err(error) => {
                    let asked = match &error {
                        SendError::Refused { retry_after, .. } => *retry_after,
                        SendError::Unusable(_)
                        | SendError::Unreachable(_)
                        | SendError::Unanswered(_)
                        | SendError::Strange(_) => None,
                    };
                    schedule.failed(now, asked, error.is_answer(), random());
                    if self.mode == Mode::Mutual && !error.is_answer() {
                        connection.drop_link();
                    }
                    Some(error.to_string())
                }
            };
            shared.lock().settle(schedule.link(), hearing, trouble);
        }
    }

    fn say_goodbye(&self, connection: &Connection, shared: &Shared, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let mut beat = shared.lock().beat(&self.service);
        beat.status = Status::Stopping;
        // Whether it was heard makes no difference any more.
        let _heard = connection.send(&beat, left);
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("service", &self.service)
            .field("mode", &self.mode)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .field("send_retries", &self.send_retries)
            .finish_non_exhaustive()
    }
}

/// Sends heartbeats until it is dropped.
///
/// Every method only takes a lock that is never held over anything slow, so it may be called from anywhere.
pub struct Heart {
    shared: Arc<Shared>,
    service: String,
    farewell: Duration,
}

impl Heart {
    /// A heart for the service `service` that reports to the server at `url` (`http://127.0.0.1:7700`).
    pub fn builder(url: impl Into<String>, token: impl Into<String>, service: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            token: token.into(),
            service: service.into(),
            mode: Mode::Fixed,
            interval: Duration::from_secs(5),
            timeout: None,
            send_retries: 2,
            farewell: Duration::from_secs(1),
            authorities: None,
        }
    }

    /// Sets a metric. Each heartbeat carries the last value of every metric.
    ///
    /// Gives `false` and changes nothing when the name is none (`[a-zA-Z_:][a-zA-Z0-9_:.-]*`, at most
    /// [`crate::MAX_METRIC_NAME`] bytes), the value is not finite, or there are [`MAX_METRICS`] others.
    pub fn metric(&self, name: &str, value: f64) -> bool {
        if !value.is_finite() || !is_metric_name(name) {
            return false;
        }
        let mut state = self.shared.lock();
        if let Some(known) = state.metrics.get_mut(name) {
            *known = value;
            return true;
        }
        let room = state.metrics.len() < MAX_METRICS;
        if room {
            state.metrics.insert(name.to_owned(), value);
        }
        room
    }

    /// Forgets a metric.
    pub fn forget_metric(&self, name: &str) {
        self.shared.lock().metrics.remove(name);
    }

    /// Says from the next heartbeat on how the program is.
    pub fn status(&self, status: Status) {
        self.shared.lock().status = status;
    }

    /// Says from the next heartbeat on this text, cut at [`crate::MAX_MESSAGE`] bytes; empty: none.
    pub fn message(&self, text: &str) {
        self.shared.lock().message = Some(fit_message(text)).filter(|text| !text.is_empty());
    }

    /// Says from the next heartbeat on how far the program has come with its work: any number that changes while
    /// it works. Where the service has `progress_within`, a number that stands still is noticed.
    pub fn progress(&self, count: u64) {
        self.shared.lock().progress = Some(count);
    }

    /// Who hears whom, as the last heartbeat showed.
    pub fn hearing(&self) -> Hearing {
        self.shared.lock().hearing
    }

    /// Whether lifesign answers.
    pub fn link(&self) -> Link {
        self.shared.lock().link
    }

    /// Stops beating without a word, as a program that hangs would. For drills.
    pub fn fall_silent(mut self) {
        self.farewell = Duration::ZERO;
    }

    /// Why the last attempt failed; `None` after an acknowledgement. Never holds the token.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.clone()
    }
}

impl Drop for Heart {
    /// Tells lifesign that the program stops on purpose, and waits for that at most the farewell time. A
    /// program that is panicking does not stop on purpose, so it just falls silent.
    fn drop(&mut self) {
        let farewell = if thread::panicking() { Duration::ZERO } else { self.farewell };
        let now = Instant::now();
        let until = now.checked_add(farewell).unwrap_or(now);
        self.shared.lock().order = Order::Stop { until };
        self.shared.changed.notify_all();
        let mut state = self.shared.lock();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The thread ends by itself as soon as its request does.
                break;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Heart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heart")
            .field("service", &self.service)
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}

/// What host and thread share.
struct Shared {
    state: Mutex<State>,
    /// Woken when the order changes and when the thread ends.
    changed: Condvar,
}

struct State {
    status: Status,
    metrics: BTreeMap<String, f64>,
    message: Option<String>,
    progress: Option<u64>,
    link: Link,
    hearing: Hearing,
    trouble: Option<String>,
    order: Order,
    ended: bool,
}

/// What the thread is to do.
#[derive(Debug, Clone, Copy)]
enum Order {
    Beat,
    Stop { until: Instant },
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due` (`None`: for ever) or until ordered to stop.
    fn wait(&self, due: Option<Instant>) -> Order {
        let mut state = self.lock();
        loop {
            if let Order::Stop { .. } = state.order {
                return state.order;
            }
            state = match due.map(|due| due.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return state.order,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn beat(&self, service: &str) -> Beat {
        Beat {
            service_id: service.to_owned(),
            timestamp: timestamp(SystemTime::now()),
            status: self.status,
            metrics: self.metrics.clone(),
            message: self.message.clone(),
            interval: None,
            hears: None,
            progress: self.progress,
        }
    }

    fn settle(&mut self, link: Link, hearing: Hearing, trouble: Option<String>) {
        self.link = link;
        self.hearing = hearing;
        self.trouble = trouble;
    }
}

/// Marks the end of the thread, however it came.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        if thread::panicking() {
            state.settle(
                Link::Offline,
                Hearing::Neither,
                Some("the heart failed; this is a defect, please report it".to_owned()),
            );
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Any number: the keys of a fresh hasher are random.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
