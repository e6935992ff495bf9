//! The past of a service as a picture: a row of small bars, or a strip on a time axis, drawn as SVG.

use std::time::Duration;

use lifesign_core::effect::Transition;
use lifesign_core::model::{Reason, State};
use lifesign_core::time::Wall;
use lifesign_lang::Lang;
use maud::{Markup, html};

use super::parts;

/// A stretch of one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Wall,
    pub(super) to: Wall,
    pub(super) state: State,
    /// Somebody stopped it on purpose: no outage, so it is drawn and counted like time of which nothing is known.
    was_ordered: bool,
}

impl Stretch {
    /// The state as it is drawn and counted.
    fn shown(&self) -> State {
        if self.was_ordered { State::Pending } else { self.state }
    }
}

/// The states of a service over a window of time, oldest first, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    from: Wall,
    to: Wall,
    stretches: Vec<Stretch>,
}

impl History {
    /// The `span` up to `now`, from the changes in it (oldest first). Before the first change it was in the
    /// state that one left; without a change it is in `state` since `since`, and nothing is known of
    /// the time before, which counts as `pending`.
    pub(super) fn new(
        changes: &[Transition],
        (state, reason): (State, Option<Reason>),
        since: Wall,
        span: Duration,
        now: Wall,
    ) -> Self {
        let from = now.back(span);
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut push = |start: Wall, end: Wall, (state, was_ordered): (State, bool)| {
            let (start, end) = (start.clamp(from, now), end.clamp(from, now));
            match stretches.last_mut() {
                _ if start >= end => {}
                Some(last) if (last.state, last.was_ordered) == (state, was_ordered) => last.to = end,
                _ => stretches.push(Stretch { from: start, to: end, state, was_ordered }),
            }
        };
        let is_order = |reason: Option<Reason>| reason == Some(Reason::StoppedByOperator);
        match changes.first() {
            None => {
                push(from, since, (State::Pending, false));
                push(since.max(from), now, (state, is_order(reason)));
            }
            Some(first) => {
                let mut at = from;
                let mut present = (first.from, false);
                for change in changes {
                    push(at, change.at, present);
                    at = at.max(change.at);
                    present = (change.to, is_order(change.reason));
                }
                push(at, now, present);
            }
        }
        Self { from, to: now, stretches }
    }

    /// The share of the known time in which it worked, in percent; `None` when nothing is known.
    pub(super) fn up_percent(&self) -> Option<f64> {
        let total = |counts: fn(State) -> bool| {
            self.stretches
                .iter()
                .filter(|stretch| counts(stretch.shown()))
                .map(|stretch| stretch.to.since(stretch.from))
                .sum::<Duration>()
                .as_secs_f64()
        };
        let known = total(|state| !matches!(state, State::Pending | State::Unknown));
        (known > 0.0).then(|| {
            100.0 * total(|state| matches!(state, State::Up | State::Degraded | State::Suspect)) / known
        })
    }

    /// The worst state in each of `count` equal parts.
    fn parts(&self, count: u32) -> Vec<State> {
        let part = self.to.since(self.from) / count.max(1);
        (0..count)
            .map(|n| {
                let (start, end) = (self.from + part * n, self.from + part * (n + 1));
                self.stretches
                    .iter()
                    .filter(|stretch| stretch.from < end && stretch.to > start)
                    .map(Stretch::shown)
                    .min_by_key(|state| badness(*state))
                    .unwrap_or(State::Pending)
            })
            .collect()
    }

    /// What the pictures say, for those who do not see them.
    fn words(&self, lang: Lang) -> String {
        let span = span_words(lang, self.to.since(self.from));
        match self.up_percent() {
            Some(share) => {
                lang.text("ui-up-share", &[("span", span.into()), ("share", percent(share).into())])
            }
            None => lang.text("ui-up-share-unknown", &[("span", span.into())]),
        }
    }

    /// A row of small bars, each the worst state of its time. One path a state keeps a long list short.
    pub(super) fn bars(&self, lang: Lang) -> Markup {
        const COUNT: u32 = 30;
        let parts = self.parts(COUNT);
        html! {
            svg.bars viewBox={ "0 0 " (COUNT * 4 - 1) " 20" } preserveAspectRatio="none" role="img" aria-label=(self.words(lang)) {
                title { (self.words(lang)) }
                @for state in State::ALL {
                    @let path: String = (0_u32..)
                        .zip(&parts)
                        .filter(|(_, part)| *part == state)
                        .map(|(n, _)| format!("M{} 1a1 1 0 0 1 1-1h1a1 1 0 0 1 1 1v18a1 1 0 0 1-1 1h-1a1 1 0 0 1-1-1z", n * 4))
                        .collect();
                    @if !path.is_empty() { path class={ "f-" (state) } d=(path) {} }
                }
            }
        }
    }

    /// A strip on a time axis. Short stretches stay visible: each is at least two thousandths wide, and the
    /// worse ones are drawn last.
    pub(super) fn strip(&self, lang: Lang) -> Markup {
        let whole = self.to.since(self.from).as_secs_f64().max(0.001);
        let place = |at: Wall| 1000.0 * at.since(self.from).as_secs_f64() / whole;
        let mut stretches = self.stretches.clone();
        stretches.sort_by_key(|stretch| std::cmp::Reverse(badness(stretch.shown())));
        html! {
            figure {
                svg.strip viewBox="0 0 1000 36" preserveAspectRatio="none" role="img" aria-label=(self.words(lang)) {
                    @for stretch in &stretches {
                        @let (start, end) = (place(stretch.from), place(stretch.to));
                        rect class={ "f-" (stretch.shown()) } x=(format!("{start:.2}"))
                            width=(format!("{:.2}", (end - start).max(2.0))) height="36" {
                            title {
                                (lang.state(stretch.state)) ", " (parts::utc(stretch.from)) " – " (parts::utc(stretch.to))
                            }
                        }
                    }
                }
                figcaption.axis {
                    (parts::moment(self.from))
                    span { (self.words(lang)) }
                    span { (lang.word("ui-now")) }
                }
            }
        }
    }
}

/// People say 24 hours, not one day.
fn span_words(lang: Lang, span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    if hours == 24 { format!("{hours} {}", lang.word("unit-h")) } else { lang.duration(span) }
}

/// `99.98 %`; never rounds an outage away.
pub(super) fn percent(share: f64) -> String {
    let shown = if share < 100.0 { (share * 100.0).floor() / 100.0 } else { share };
    let text = format!("{shown:.2}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The order from worst to best, in which states hide one another and services are listed.
pub(super) const fn badness(state: State) -> u8 {
    match state {
        State::Down => 0,
        State::Degraded => 1,
        State::Suspect => 2,
        State::Unknown => 3,
        State::Up => 4,
        State::Pending => 5,
    }
}

#[cfg(test)]
mod tests {
    use lifesign_core::model::ServiceId;

    use super::*;

    fn at(seconds: i64) -> Wall {
        Wall::from_millis(seconds * 1000)
    }

    fn change(seconds: i64, from: State, to: State) -> Transition {
        Transition {
            at: at(seconds),
            service: ServiceId::new("web").unwrap(),
            from,
            to,
            reason: None,
            detail: String::new(),
            facts: Vec::new(),
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn the_time_before_the_first_change_has_the_state_that_one_left() {
        let changes = [change(9000, State::Up, State::Down), change(9360, State::Down, State::Up)];
        let history = History::new(&changes, (State::Up, None), at(9360), HOUR, at(10_000));
        let states: Vec<_> = history.stretches.iter().map(|s| (s.from, s.to, s.state)).collect();
        assert_eq!(
            states,
            [
                (at(6400), at(9000), State::Up),
                (at(9000), at(9360), State::Down),
                (at(9360), at(10_000), State::Up)
            ]
        );
        assert_eq!(history.up_percent().map(percent).as_deref(), Some("90 %"));
    }

    #[test]
    fn nothing_is_claimed_about_the_time_before_the_first_evidence() {
        let history = History::new(&[], (State::Up, None), at(9000), HOUR, at(10_000));
        assert_eq!(history.up_percent().map(percent).as_deref(), Some("100 %"));
        assert_eq!(history.parts(2), [State::Pending, State::Up]);
        let history = History::new(&[], (State::Pending, None), at(9000), HOUR, at(10_000));
        assert_eq!(history.up_percent(), None);
    }

    #[test]
    fn an_outage_of_a_second_colours_its_bar_and_is_not_rounded_away() {
        let changes = [change(9000, State::Up, State::Down), change(9001, State::Down, State::Up)];
        let history = History::new(&changes, (State::Up, None), at(9001), HOUR * 24, at(10_000));
        assert_eq!(history.parts(30).iter().filter(|state| **state == State::Down).count(), 1);
        assert_eq!(history.up_percent().map(percent).as_deref(), Some("99.99 %"));
    }

    #[test]
    fn a_stop_on_purpose_is_no_outage() {
        let mut stop = change(9000, State::Up, State::Down);
        stop.reason = Some(Reason::StoppedByOperator);
        let changes = [stop, change(9500, State::Down, State::Up)];
        let history = History::new(&changes, (State::Up, None), at(9500), HOUR, at(10_000));
        assert_eq!(history.up_percent().map(percent).as_deref(), Some("100 %"));
        assert_eq!(history.stretches.len(), 3);
        let stopped = (State::Down, Some(Reason::StoppedByOperator));
        let history = History::new(&[], stopped, at(1), HOUR, at(10_000));
        assert_eq!(history.up_percent(), None);
    }

    #[test]
    fn changes_from_outside_the_window_or_the_future_do_no_harm() {
        let changes = [change(1, State::Up, State::Down), change(20_000, State::Down, State::Up)];
        let history = History::new(&changes, (State::Up, None), at(20_000), HOUR, at(10_000));
        assert_eq!(history.stretches.len(), 1);
        assert_eq!(history.stretches.first().map(|s| s.state), Some(State::Down));
    }
}
