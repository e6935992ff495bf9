//! The last lines about a service in the event log, read at its end: what the service control manager wrote about it
//! (log *System*), what it wrote itself and what the system wrote about its crash (log *Application*).
//!
//! A system without these calls (Wine: `EvtQuery` gives nothing) has no such lines; that is said once in the log of
//! lifesign, and everything else of the evidence stays.

use std::io;
use std::ptr::null;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lifesign_core::evidence::MAX_OUTPUT;
use windows_sys::Win32::System::EventLog::{
    EVT_HANDLE, EvtClose, EvtFormatMessage, EvtFormatMessageEvent, EvtNext, EvtOpenPublisherMetadata,
    EvtQuery, EvtQueryChannelPath, EvtQueryReverseDirection, EvtRender, EvtRenderEventXml,
};

use super::observer::Mailbox;
use crate::wide::wide;

/// How long after an end its lines are looked for: the system writes them when it has seen the end.
const LINES_FOLLOW: Duration = Duration::from_millis(750);
/// How old lines may be, in milliseconds.
const YOUNGER_THAN: u32 = 120_000;
/// Most events that are looked at in each log, the newest.
const MOST_READ: usize = 200;
/// Most events that are kept of each log.
const MOST_KEPT: usize = 10;
/// Longest line, in characters.
const LONGEST: usize = 400;
/// Most UTF-16 units that one event may have.
const MOST_UNITS: usize = 32 * 1024;
/// How long a log may take to give the next event, in milliseconds.
const WITHIN: u32 = 1000;
/// Most ends that wait to be looked into. Beyond them an end has no lines, and says nothing of it.
const MOST_WAITING: usize = 256;

/// Writers of the log *Application* that tell of the crash of another process.
const REPORTERS: [&str; 4] =
    ["Application Error", "Application Hang", ".NET Runtime", "Windows Error Reporting"];

/// An end to look into.
pub(super) struct Ended {
    /// The watch to tell.
    pub(super) watch: u64,
    pub(super) name: String,
    /// The display name, which the service control manager uses in its lines.
    pub(super) title: String,
    pub(super) pid: Option<u32>,
}

/// An end, when it is due, and who is told.
type Waiting = (Instant, Ended, Arc<Mailbox>);

/// Looks for the lines of an end and tells its watch what was found, beside the watching. One thread reads for all.
/// False: nobody looks.
pub(super) fn look_into(ended: Ended, mailbox: &Arc<Mailbox>) -> bool {
    static READER: OnceLock<Option<SyncSender<Waiting>>> = OnceLock::new();
    let reader = READER.get_or_init(|| {
        let (sender, waiting) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("lifesign-event-log".to_owned());
        match thread.spawn(move || read_all(&waiting)) {
            Ok(_) => Some(sender),
            Err(error) => {
                tracing::warn!(%error, "No thread to read the event log");
                None
            }
        }
    });
    // Too many at once: what is left out is only lines.
    reader.as_ref().is_some_and(|reader| {
        reader.try_send((Instant::now() + LINES_FOLLOW, ended, Arc::clone(mailbox))).is_ok()
    })
}

fn read_all(waiting: &Receiver<Waiting>) {
    let mut has_said = false;
    while let Ok((due, ended, mailbox)) = waiting.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let lines = last_lines(&ended).unwrap_or_else(|error| {
            if !has_said {
                has_said = true;
                tracing::info!(%error, "The event log cannot be read: the end of a service shows none of its lines");
            }
            None
        });
        mailbox.evidence(ended.watch, lines);
    }
}

/// The last lines about this service, oldest first.
fn last_lines(ended: &Ended) -> io::Result<Option<String>> {
    let mut lines = Vec::new();
    for (log, only) in [("System", "Provider[@Name='Service Control Manager'] and "), ("Application", "")] {
        let query = format!("*[System[{only}TimeCreated[timediff(@SystemTime) <= {YOUNGER_THAN}]]]");
        let found = Events::of(log, &query)?;
        let kept = found.take(MOST_READ).filter(|(event, _)| event.is_about(ended)).take(MOST_KEPT);
        lines.extend(kept.map(|(event, message)| event.line(message)));
    }
    // They begin with the time.
    lines.sort();
    let mut text = lines.join("\n");
    if text.len() > MAX_OUTPUT {
        text.drain(..text.ceil_char_boundary(text.len() - MAX_OUTPUT));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// A handle of the event log.
struct Handle(EVT_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and closed once.
        unsafe { EvtClose(self.0) };
    }
}

/// What a query finds, the newest first, each with its message.
struct Events(Handle);

impl Events {
    fn of(log: &str, query: &str) -> io::Result<Self> {
        let (log, query) = (wide(log)?, wide(query)?);
        let flags = EvtQueryChannelPath | EvtQueryReverseDirection;
        // SAFETY: both texts end with a zero and outlive the call; no session means this machine.
        let found = unsafe { EvtQuery(0, log.as_ptr(), query.as_ptr(), flags) };
        if found == 0 {
            // Wine sets no error.
            let error = io::Error::last_os_error();
            let is_none = error.raw_os_error() == Some(0);
            return Err(if is_none { io::Error::other("this system does not offer it") } else { error });
        }
        Ok(Self(Handle(found)))
    }
}

impl Iterator for Events {
    type Item = (Event, Option<String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (mut next, mut count) = (0_isize, 0);
            // SAFETY: the handle is open; one handle and one number are written through pointers valid for the call.
            let has_one = unsafe { EvtNext(self.0.0, 1, &raw mut next, WITHIN, 0, &raw mut count) };
            if has_one == 0 || count == 0 {
                return None;
            }
            let handle = Handle(next);
            // One that cannot be read is left out.
            if let Some(event) = xml(&handle).and_then(|xml| Event::parse(&xml)) {
                let message = message(&handle, &event.provider);
                return Some((event, message));
            }
        }
    }
}

/// The event in XML.
fn xml(event: &Handle) -> Option<String> {
    let mut buffer = vec![0_u16; MOST_UNITS];
    let (mut used, mut properties) = (0, 0);
    // SAFETY: the handle is open; the buffer has the size in bytes that is passed along; the numbers outlive the call.
    let done = unsafe {
        EvtRender(
            0,
            event.0,
            EvtRenderEventXml,
            (MOST_UNITS * size_of::<u16>()) as u32,
            buffer.as_mut_ptr().cast(),
            &raw mut used,
            &raw mut properties,
        )
    };
    (done != 0).then(|| text(&buffer, used as usize / size_of::<u16>()))
}

/// The event's message in the system's language; `None` where its writer has left no texts.
fn message(event: &Handle, provider: &str) -> Option<String> {
    let provider = wide(provider).ok()?;
    // SAFETY: the name ends with a zero and outlives the call.
    let texts = unsafe { EvtOpenPublisherMetadata(0, provider.as_ptr(), null(), 0, 0) };
    let texts = (texts != 0).then_some(Handle(texts))?;
    let mut buffer = vec![0_u16; MOST_UNITS];
    let mut used = 0;
    // SAFETY: both handles are open; the buffer has the size in units that is passed along; no values are given.
    let done = unsafe {
        EvtFormatMessage(
            texts.0,
            event.0,
            0,
            0,
            null(),
            EvtFormatMessageEvent,
            MOST_UNITS as u32,
            buffer.as_mut_ptr(),
            &raw mut used,
        )
    };
    (done != 0).then(|| text(&buffer, used as usize))
}

fn text(buffer: &[u16], used: usize) -> String {
    let written = &buffer[..used.min(buffer.len())];
    let end = written.iter().position(|unit| *unit == 0).unwrap_or(written.len());
    String::from_utf16_lossy(&written[..end])
}

/// One event, as far as it is used here.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    provider: String,
    number: String,
    at: String,
    pid: Option<u32>,
    data: Vec<String>,
}

impl Event {
    /// Reads the XML that the system itself has written: elements without prefixes, attributes in either quotes.
    fn parse(xml: &str) -> Option<Self> {
        let mut data = Vec::new();
        let mut rest = xml;
        while let Some((value, after)) = element(rest, "Data") {
            data.push(value);
            rest = after;
        }
        Some(Self {
            provider: attribute(xml, "Provider", "Name")?,
            number: element(xml, "EventID")?.0,
            at: attribute(xml, "TimeCreated", "SystemTime")?,
            pid: attribute(xml, "Execution", "ProcessID").and_then(|pid| pid.parse().ok()),
            data,
        })
    }

    fn is_about(&self, ended: &Ended) -> bool {
        let names = [&ended.name, &ended.title];
        let is_name =
            |word: &str| !word.is_empty() && names.iter().any(|name| name.eq_ignore_ascii_case(word));
        if self.provider.eq_ignore_ascii_case("Service Control Manager") {
            return self.data.iter().any(|value| is_name(value));
        }
        if is_name(&self.provider) {
            return true;
        }
        let Some(pid) = ended.pid else { return false };
        let is_pid = |value: &String| {
            let value = value.trim();
            let digits = value.strip_prefix("0x").unwrap_or(value);
            u32::from_str_radix(digits, 16) == Ok(pid)
        };
        self.pid == Some(pid) || (REPORTERS.contains(&self.provider.as_str()) && self.data.iter().any(is_pid))
    }

    fn line(&self, message: Option<String>) -> String {
        let said = message.unwrap_or_else(|| self.data.join(", "));
        let said: String =
            said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect();
        format!("{} {} {}: {said}", self.at, self.provider, self.number)
    }
}

/// The text of the first element of this name, and what comes after it.
fn element<'xml>(xml: &'xml str, name: &str) -> Option<(String, &'xml str)> {
    let (attributes, after) = open_tag(xml, name)?;
    if attributes.ends_with('/') {
        return Some((String::new(), after));
    }
    let (value, rest) = after.split_once(&format!("</{name}>"))?;
    Some((plain(value), rest))
}

fn attribute(xml: &str, element: &str, name: &str) -> Option<String> {
    let (attributes, _) = open_tag(xml, element)?;
    let (_, value) = attributes.split_once(&format!("{name}="))?;
    let quote = value.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    value[1..].split_once(quote).map(|(value, _)| plain(value))
}

/// The attributes of the first tag of this name, and what comes after the tag.
fn open_tag<'xml>(xml: &'xml str, name: &str) -> Option<(&'xml str, &'xml str)> {
    let start = format!("<{name}");
    let mut rest = xml;
    loop {
        let (_, after) = rest.split_once(&start)?;
        // Not the beginning of a longer name.
        if after.starts_with([' ', '/', '>']) {
            return after.split_once('>');
        }
        rest = after;
    }
}

/// Without the five entities of XML.
fn plain(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIED: &str = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider \
        Name='Service Control Manager' Guid='{555908d1}' EventSourceName='Service Control Manager'/><EventID \
        Qualifiers='49152'>7034</EventID><Version>0</Version><Level>2</Level><TimeCreated \
        SystemTime='2026-11-22T09:00:01.1234567Z'/><Execution ProcessID='700' ThreadID='720'/>\
        <Channel>System</Channel></System><EventData><Data Name='param1'>A &amp; B Shop</Data><Data \
        Name='param2'>1</Data><Binary>00</Binary></EventData></Event>";

    fn ended(name: &str, title: &str, pid: Option<u32>) -> Ended {
        Ended { watch: 1, name: name.to_owned(), title: title.to_owned(), pid }
    }

    #[test]
    fn a_line_of_the_service_control_manager_belongs_to_the_service_it_names() {
        let event = Event::parse(DIED).unwrap();
        assert_eq!((event.pid, event.data.len()), (Some(700), 2));
        assert!(event.is_about(&ended("shop", "a & b shop", None)));
        assert!(event.is_about(&ended("A & B Shop", "", None)));
        // The number is the manager's own, not the service's.
        assert!(!event.is_about(&ended("other", "Other", Some(700))));
        assert_eq!(
            event.line(Some("The A & B Shop service\r\nterminated unexpectedly.".to_owned())),
            "2026-11-22T09:00:01.1234567Z Service Control Manager 7034: The A & B Shop service terminated unexpectedly."
        );
        assert!(event.line(None).ends_with("7034: A & B Shop, 1"));
    }

    #[test]
    fn a_crash_is_found_by_the_number_of_its_process_and_own_lines_by_their_writer() {
        let event = |provider: &str, pid, data: &str| Event {
            provider: provider.to_owned(),
            number: "1000".to_owned(),
            at: String::new(),
            pid,
            data: vec![data.to_owned()],
        };
        let shop = ended("shop", "The Shop", Some(0x1a2c));
        assert!(event("Application Error", None, "0x1a2c").is_about(&shop));
        assert!(event("Application Error", None, "1a2c").is_about(&shop));
        assert!(event("SHOP", None, "").is_about(&shop));
        assert!(event("Somebody", Some(0x1a2c), "").is_about(&shop));
        assert!(!event("Somebody", Some(1), "1a2c").is_about(&shop));
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        for junk in ["", "<Event/>", "<Provider Name='x", "<EventID>", "<Data", "<Data>x"] {
            assert_eq!(Event::parse(junk), None, "{junk}");
        }
        assert_eq!(element("<DataX>1</DataX><Data/>", "Data").unwrap().0, "");
    }

    #[test]
    fn a_system_that_does_not_offer_the_log_is_an_error_and_nothing_worse() {
        // On Windows it works; under Wine it must fail without harm.
        let _ = last_lines(&ended("shop", "The Shop", Some(1)));
    }
}
