//! `lifesign status`: the services, worst first, or one with all its evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use lifesign_core::evidence::Component;
use lifesign_core::model::{CheckKind, CheckState, IncidentId, Reason, State};
use lifesign_core::time::Wall;
use lifesign_core::view::{About, UnitView};
use lifesign_lang::Lang;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::print::{self, Colour};
use crate::remote::Remote;

/// What is shown of a service. The API tells more; what it adds later must not break this.
#[derive(Debug, Deserialize)]
struct Service {
    id: String,
    host: String,
    state: State,
    reason: Option<Reason>,
    since: Wall,
    last_heartbeat_at: Option<Wall>,
    paused: bool,
    checks: Vec<Check>,
    metrics: BTreeMap<String, f64>,
    incident_id: Option<IncidentId>,
    detail: String,
    components: Vec<Component>,
    /// A lifesign of an earlier version does not send it.
    #[serde(default)]
    unit: Option<UnitView>,
    #[serde(default)]
    job: Option<Job>,
}

/// What is shown of a job.
#[derive(Debug, Deserialize)]
struct Job {
    schedule: String,
    next_due: Option<Wall>,
    missed: Option<Wall>,
    running: Vec<Going>,
    last_run: Option<Run>,
}

#[derive(Debug, Deserialize)]
struct Going {
    started_at: Wall,
    too_long: bool,
}

#[derive(Debug, Deserialize)]
struct Run {
    ended_at: Wall,
    ok: bool,
    exit_code: Option<i64>,
    signal: Option<i32>,
    start_error: Option<String>,
    duration_seconds: Option<f64>,
    reported_duration_seconds: Option<f64>,
    output: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Check {
    kind: CheckKind,
    name: String,
    state: CheckState,
    output: String,
}

pub(super) fn all(remote: &Remote, lang: Lang, json: bool) -> Result<(), Failure> {
    let items = remote.list("/api/v1/services")?;
    let is_on_hold = is_on_hold(remote);
    if json {
        print::json(&serde_json::json!({ "items": items, "next": null, "paused": is_on_hold }));
        return Ok(());
    }
    if is_on_hold {
        print::line(print::coloured(&lang.word("cli-on-hold"), Colour::Yellow));
    }
    let mut services = items
        .into_iter()
        .map(serde_json::from_value::<Service>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(anyhow::Error::from)?;
    if services.is_empty() {
        print::line(lang.word("cli-no-services"));
        return Ok(());
    }
    services.sort_by_key(|service| (rank(service.state), service.id.clone()));
    let now = lifesign_os::clock::now().wall;
    let head: Vec<String> = ["id", "host", "state", "reason", "since", "beat"]
        .iter()
        .map(|column| lang.word(&format!("cli-column-{column}")))
        .collect();
    let rows: Vec<Vec<String>> = services
        .iter()
        .map(|service| {
            let mut reason = service.reason.map_or_else(String::new, |reason| lang.reason(reason));
            if service.paused {
                reason = format!("{reason} [{}]", lang.word("cli-paused")).trim_start().to_owned();
            }
            vec![
                service.id.clone(),
                service.host.clone(),
                print::state(lang, service.state, 0),
                if reason.is_empty() { "-".to_owned() } else { reason },
                lang.ago(now.since(service.since)),
                service.last_heartbeat_at.map_or_else(|| "-".to_owned(), |at| lang.ago(now.since(at))),
            ]
        })
        .collect();
    print::table(&head, &rows);
    Ok(())
}

/// Whether the service manager has put all of lifesign on hold. Something in between that lets `/readyz` not through
/// is no reason to fail: the services have answered.
fn is_on_hold(remote: &Remote) -> bool {
    remote.health().is_ok_and(|health| health["paused"] == true)
}

/// The worst comes first.
fn rank(state: State) -> u8 {
    match state {
        State::Down => 0,
        State::Suspect => 1,
        State::Degraded => 2,
        State::Unknown => 3,
        State::Pending => 4,
        State::Up => 5,
    }
}

pub(super) fn one(remote: &Remote, id: &str, lang: Lang, json: bool) -> Result<(), Failure> {
    let answer: Value = remote.get(&format!("/api/v1/services/{id}"))?;
    if json {
        print::json(&answer);
        return Ok(());
    }
    let service: Service = serde_json::from_value(answer).map_err(anyhow::Error::from)?;
    let now = lifesign_os::clock::now().wall;
    let mut title =
        format!("{}  {}", print::coloured(&service.id, Colour::Bold), print::state(lang, service.state, 0));
    if let Some(reason) = service.reason {
        title.push_str(&format!("  {}", lang.reason(reason)));
    }
    if service.paused {
        title.push_str(&format!("  [{}]", lang.word("cli-paused")));
    }
    print::line(title);
    print::line(format!("{}  {}", service.host, lang.ago(now.since(service.since))));
    print::line(print::one_line(&service.detail, 300));
    if let Some(incident) = service.incident_id {
        print::line(print::coloured(
            &lang.text("cli-incident", &[("id", incident.to_string().into())]),
            Colour::Red,
        ));
    }
    if let Some(job) = &service.job {
        show_job(job, now, lang);
    }
    if !service.checks.is_empty() {
        print::line("");
        let head: Vec<String> = ["check", "result", "output"]
            .iter()
            .map(|column| lang.word(&format!("cli-column-{column}")))
            .collect();
        let rows: Vec<Vec<String>> = service
            .checks
            .iter()
            .map(|check| {
                vec![
                    format!("{} {}", lang.check_kind(check.kind), check.name),
                    lang.check_state(check.state),
                    print::one_line(&check.output, 100),
                ]
            })
            .collect();
        print::table(&head, &rows);
    }
    let of_unit = service.unit.iter().flat_map(UnitView::sentences).collect::<Vec<_>>();
    if !of_unit.is_empty() {
        print::line("");
        print::line(print::coloured(&lang.about(About::Unit), Colour::Bold));
        for fact in &of_unit {
            print::line(format!("  {}", print::one_line(&lang.fact(fact), 400)));
        }
    }
    if !service.components.is_empty() {
        print::line("");
        print::line(print::coloured(&lang.word("cli-components"), Colour::Bold));
        for component in &service.components {
            let status = if component.up {
                component.status.clone()
            } else {
                print::coloured(&print::one_line(&component.status, 40), Colour::Red)
            };
            print::line(format!("  {}  {status}", component.name));
        }
    }
    if !service.metrics.is_empty() {
        print::line("");
        print::line(print::coloured(&lang.word("cli-metrics"), Colour::Bold));
        for (name, value) in &service.metrics {
            print::line(format!("  {name}  {value}"));
        }
    }
    Ok(())
}

/// When a job is due and how its last run went.
fn show_job(job: &Job, now: Wall, lang: Lang) {
    let line = |name: &str, text: String| print::line(format!("  {}  {text}", lang.word(name)));
    print::line("");
    print::line(print::coloured(&lang.word("cli-job"), Colour::Bold));
    line("cli-job-schedule", job.schedule.clone());
    if let Some(missed) = job.missed {
        line("cli-job-missed", print::coloured(&missed.to_string(), Colour::Red));
    }
    match job.next_due {
        Some(due) => line("cli-job-next", due.to_string()),
        None => line("cli-job-next", lang.word("cli-job-never")),
    }
    for run in &job.running {
        let since = lang.ago(now.since(run.started_at));
        line(if run.too_long { "cli-job-too-long" } else { "cli-job-running" }, since);
    }
    let Some(last) = &job.last_run else { return };
    let took = last.duration_seconds.or(last.reported_duration_seconds);
    let took = took.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let how = match last {
        Run { ok: true, .. } => lang.word("cli-job-ok"),
        Run { exit_code: Some(code), .. } => lang.text("cli-job-code", &[("code", code.to_string().into())]),
        Run { signal: Some(signal), .. } => {
            lang.text("cli-job-signal", &[("signal", signal.to_string().into())])
        }
        Run { start_error: Some(why), .. } => {
            lang.text("cli-job-start", &[("why", print::one_line(why, 200).into())])
        }
        Run { .. } => lang.word("cli-job-failed"),
    };
    let took = took.map_or_else(String::new, |took| format!(", {}", lang.duration(took)));
    line("cli-job-last", format!("{how}{took}, {}", lang.ago(now.since(last.ended_at))));
    for text in last.output.iter().flat_map(|output| output.trim().lines()) {
        print::line(format!("    {}", print::one_line(text, 200)));
    }
}
