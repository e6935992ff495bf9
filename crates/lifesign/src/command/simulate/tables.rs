//! The figures as people read them.

use std::time::Duration;

use lifesign_lang::Lang;

use super::figures::{Alternative, Figures};
use crate::print::{self, Colour};

/// A table each for what was played, for detection and for mistakes.
pub(super) fn print(told: &[Figures], seed: u64, lang: Lang) {
    let section = |title: &str, columns: &[&str], rows: Vec<Vec<String>>| {
        print::line(print::coloured(&lang.word(&format!("cli-simulate-{title}")), Colour::Bold));
        let head: Vec<String> =
            columns.iter().map(|column| lang.word(&format!("cli-column-{column}"))).collect();
        print::table(&head, &rows);
    };
    let rows = told
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                detector_words(one, lang),
                lang.duration(Duration::from_secs_f64(one.interval_s)),
                one.beats.to_string(),
                share(one.lost, one.beats),
                format!("{:.2}", one.days),
            ]
        })
        .collect();
    section("trace", &["id", "detector", "interval", "heartbeats", "lost", "days"], rows);

    print::line("");
    let rows = told
        .iter()
        .flat_map(|one| {
            let crashes = one.detection.crashes;
            let case = lang.text("cli-simulate-crashes", &[("count", crashes.into())]);
            let missed = match one.detection.missed {
                0 if crashes == 0 => "-".to_owned(),
                0 => "0".to_owned(),
                missed => print::coloured(&missed.to_string(), Colour::Red),
            };
            let worst = lang.word("cli-simulate-worst-phase");
            [(worst, one.worst_phase, "-".to_owned()), (case, one.detection.times, missed)].map(
                |(case, times, missed)| {
                    let mut row = vec![one.id.clone(), case];
                    row.extend([times.mean_s, times.p99_s, times.max_s].map(|time| seconds(time, lang)));
                    row.push(missed);
                    row
                },
            )
        })
        .collect();
    section("detection", &["id", "crash", "mean", "p99", "most", "missed"], rows);

    print::line("");
    let rows = told
        .iter()
        .map(|one| {
            let mistakes = &one.mistakes;
            vec![
                one.id.clone(),
                mistakes.count.to_string(),
                rate(mistakes.during_outage_per_day),
                rate(mistakes.avoidable_per_day),
                seconds(mistakes.mean_duration_s, lang),
                one.query_accuracy.map_or_else(|| "-".to_owned(), |share| format!("{:.4} %", share * 100.0)),
                rate(one.questions_per_day),
            ]
        })
        .collect();
    let columns = ["id", "mistakes", "in-outages", "avoidable", "lasting", "accuracy", "questions"];
    section("mistakes", &columns, rows);

    let alternatives: Vec<Vec<String>> = told
        .iter()
        .flat_map(|one| one.alternatives.iter().map(|other| alternative(&one.id, other, lang)))
        .collect();
    if !alternatives.is_empty() {
        print::line("");
        let columns = ["id", "heartbeat", "mean", "p99", "in-outages", "avoidable", "questions"];
        section("alternatives", &columns, alternatives);
    }

    if told.iter().any(|one| one.confirm) {
        print::line("");
        let text = lang.text("cli-simulate-seed", &[("seed", seed.to_string().into())]);
        print::line(print::coloured(&text, Colour::Dim));
    }
}

fn alternative(id: &str, other: &Alternative, lang: Lang) -> Vec<String> {
    vec![
        id.to_owned(),
        other.heartbeat.clone(),
        seconds(other.worst_phase.mean_s, lang),
        seconds(other.worst_phase.p99_s, lang),
        rate(other.mistakes.during_outage_per_day),
        rate(other.mistakes.avoidable_per_day),
        rate(other.questions_per_day),
    ]
}

fn detector_words(one: &Figures, lang: Lang) -> String {
    let detector = match one.profile {
        None | Some("default") => lang.word(&format!("cli-simulate-{}", one.detector)),
        Some(profile) => lang.word(&format!("cli-simulate-{}-{profile}", one.detector)),
    };
    if one.confirm { lang.text("cli-simulate-asks", &[("detector", detector.into())]) } else { detector }
}

fn seconds(time: Option<f64>, lang: Lang) -> String {
    let Some(time) = time else { return "-".to_owned() };
    // Three digits tell people enough, and hundredths of a second below ten.
    let digits = if time < 9.995 { 2 } else { 1 };
    lang.text("cli-simulate-seconds", &[("seconds", format!("{time:.digits$}").into())])
}

fn rate(per_day: Option<f64>) -> String {
    match per_day {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 0.0995 => format!("{rate:.3}"),
        Some(rate) if rate < 99.5 => format!("{rate:.2}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

fn share(part: u64, of: u64) -> String {
    if of == 0 { "-".to_owned() } else { format!("{:.2} %", 100.0 * part as f64 / of as f64) }
}
