//! The part of a service's page that tells of its runs, where it is a job.

use std::time::Duration;

use lifesign_core::evidence::Exit;
use lifesign_core::job::{Going, RunRecord};
use lifesign_core::model::State;
use lifesign_core::view::JobView;
use lifesign_lang::Lang;
use maud::{Markup, html};

use crate::web::look::Look;
use crate::web::parts;

/// The panel.
pub(super) fn panel(job: &JobView, look: &Look) -> Markup {
    let lang = look.lang();
    html! {
        section.panel {
            header { h2 { (lang.word("ui-job")) } p { (lang.word("ui-job-hint")) } }
            div.inside {
                dl.facts {
                    div { dt { (lang.word("ui-job-schedule")) } dd.mono { (job.schedule) } }
                    div { dt { (lang.word("ui-job-grace")) } dd { (span(lang, job.grace)) } }
                    @if let Some(most) = job.max_runtime {
                        div { dt { (lang.word("ui-job-longest")) } dd { (span(lang, most)) } }
                    }
                    @if let Some(missed) = job.missed {
                        div { dt { (lang.word("ui-job-missed")) } dd.is-down { (parts::moment(missed)) } }
                    }
                    div {
                        dt { (lang.word("ui-job-next")) }
                        dd {
                            @if let Some(due) = job.next_due { (parts::moment(due)) }
                            @else { (lang.word("ui-job-never")) }
                        }
                    }
                }
            }
            ul.rows {
                @for run in &job.running { li { (going(run, look)) } }
                @for run in &job.recent { li { (ended(run, look)) } }
            }
            @if job.running.is_empty() && job.recent.is_empty() { p.empty { (lang.word("ui-job-no-runs")) } }
        }
    }
}

fn going(run: &Going, look: &Look) -> Markup {
    let lang = look.lang();
    let (like, word) = match (run.too_long, run.unsure) {
        (true, _) => (State::Down, "ui-job-too-long"),
        (false, true) => (State::Unknown, "ui-job-unsure"),
        (false, false) => (State::Pending, "ui-job-running"),
    };
    html! {
        div.check {
            span.state.(parts::class(like)) { (parts::sign(like, 16)) (lang.word(word)) }
            div.what { (parts::age(lang, run.started_at, look.now)) }
            span.small.soft { (parts::moment(run.started_at)) }
        }
    }
}

fn ended(run: &RunRecord, look: &Look) -> Markup {
    let lang = look.lang();
    let (like, word) = if run.ok { (State::Up, "ui-job-ok") } else { (State::Down, "ui-job-failed") };
    html! {
        div.check {
            span.state.(parts::class(like)) { (parts::sign(like, 16)) (lang.word(word)) }
            div.what {
                @if let Some(took) = run.took.or(run.said) { (span(lang, took)) " " }
                @if let Some(how) = how(run, lang) { span.soft { (how) } }
            }
            span.small.soft { (parts::ago(lang, run.ended_at, look.now)) }
            @if let Some(output) = &run.output { div.out { (output) } }
        }
    }
}

/// How a run ended that did not end well, where that is known.
fn how(run: &RunRecord, lang: Lang) -> Option<String> {
    match run.exit.as_ref()? {
        Exit::Code(code) => Some(lang.text("ui-job-code", &[("code", code.to_string().into())])),
        Exit::Signal(signal) => Some(lang.text("ui-job-signal", &[("signal", signal.to_string().into())])),
        Exit::StartFailed(why) => Some(lang.text("ui-job-start", &[("why", why.as_str().into())])),
        Exit::Clean | Exit::Watchdog | Exit::Unseen => None,
    }
}

/// A time as long as a run: below two seconds in milliseconds.
fn span(lang: Lang, span: Duration) -> String {
    if span < Duration::from_secs(2) { format!("{} ms", span.as_millis()) } else { lang.duration(span) }
}

#[cfg(test)]
mod tests {
    use super::super::{samples, service};
    use super::*;

    #[test]
    fn the_page_of_a_job_tells_of_its_runs_and_of_the_next() {
        for (lang, parts) in [
            (
                Lang::En,
                ["Runs now", "Failed", "exit code 2", "0 3 * * * Europe/Berlin", "&lt;connection&gt;"],
            ),
            (Lang::Zh, ["正在运行", "失败", "退出码 2", "0 3 * * * Europe/Berlin", "&lt;connection&gt;"]),
        ] {
            let page = service::draw(&samples::job_service(), &samples::look(lang)).into_string();
            for part in parts {
                assert!(page.contains(part), "{part} is missing");
            }
        }
    }
}
