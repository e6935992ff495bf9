//! `cargo xtask bench detection`: every detector on every trace, the reference's table beside ours, and the
//! targets. Fails when one is missed.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::process::ExitCode;
use std::time::Instant;

use lifesign_core::spec::Profile;
use lifesign_core::whatif::Qos;
use lifesign_sim::quality::reference::{self, Deviation, Rate};
use lifesign_sim::quality::targets::Table;
use lifesign_sim::quality::{Plan, Row, carry_out};
use lifesign_sim::trace::Recipe;

const SEED: u64 = 20_261_122;

fn main() -> ExitCode {
    let begun = Instant::now();
    let own: Vec<Plan> = Recipe::ALL.into_iter().map(plan).collect();
    let theirs = reference::plans();
    let plans: Vec<Plan> = own.iter().chain(&theirs).cloned().collect();
    let figures = carry_out(&plans, SEED);
    let (own_figures, their_figures) = figures.split_at(own.len());
    for (plan, figures) in own.iter().zip(own_figures) {
        print_table(plan, figures);
    }
    println!("\n## The reference's heartbeats again: ours (theirs)");
    let mut fine = true;
    for (plan, figures) in theirs.iter().zip(their_figures) {
        fine &= print_reference(plan, figures);
    }
    println!("\n## Targets");
    for (plan, figures) in own.iter().zip(own_figures) {
        for target in (Table { recipe: plan.recipe, rows: &plan.rows, figures }).targets() {
            let verdict = if target.is_met() { "PASS" } else { "MISS" };
            fine &= target.is_met();
            println!(
                "{verdict}  {:44} {:60} {:.4} (at most {:.4})",
                plan.recipe.title(),
                target.what,
                target.reached,
                target.at_most
            );
        }
    }
    println!("\n{:.0} s", begun.elapsed().as_secs_f64());
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Long enough for a hundred avoidable mistakes of the baseline.
fn plan(recipe: Recipe) -> Plan {
    let (beats, parts) = match recipe {
        Recipe::Wan => (10_000_000, 8),
        Recipe::DataCentre => (4_000_000, 8),
        Recipe::Weak | Recipe::WeakWithRetry => (2_000_000, 4),
        Recipe::Bursts | Recipe::Diurnal | Recipe::Pauses => (1_000_000, 4),
    };
    let mut rows = vec![
        Row::Fixed(300),
        Row::Chen(50),
        Row::TwoWindows(50),
        Row::Bertier,
        Row::Phi,
        Row::PhiExact,
        Row::Akka,
        Row::Chitchat,
        Row::Cassandra,
        Row::Suspicion(0),
        Row::Sketch(50, 5),
        Row::Profile(Profile::Fast),
        Row::Profile(Profile::Default),
        Row::Profile(Profile::Strict),
        Row::Unconfirmed,
    ];
    if recipe == Recipe::Wan {
        rows.extend([Row::Fixed(200), Row::Fixed(250), Row::Fixed(350), Row::Fixed(400)]);
    }
    Plan { recipe, beats, parts, reference: false, rows }
}

fn print_table(plan: &Plan, figures: &[Qos]) {
    let days = figures.first().map_or(0.0, |qos| qos.observed.as_secs_f64() / 86_400.0);
    println!(
        "\n## {}: {:.1} M heartbeats, {days:.0} days",
        plan.recipe.title(),
        (plan.beats * plan.parts) as f64 / 1e6
    );
    println!(
        "{:30} {:>8} {:>8} {:>8} {:>12} {:>12} {:>9} {:>11} {:>9} {:>10}",
        "detector",
        "mean T_D",
        "p99 T_D",
        "max T_D",
        "mistakes/d",
        "avoidable/d",
        "events",
        "mean T_M s",
        "P_A",
        "questions/d"
    );
    let interval = plan.recipe.interval().as_secs_f64();
    for (row, qos) in plan.rows.iter().zip(figures) {
        let intervals =
            |time: Option<std::time::Duration>| time.map_or(f64::NAN, |t| t.as_secs_f64() / interval);
        let rate = |count| qos.per_day(count).unwrap_or(f64::NAN);
        println!(
            "{:30} {:8.3} {:8.3} {:8.3} {:12.4} {:12.4} {:9} {:11.2} {:9.6} {:10.1}",
            row.name(),
            intervals(qos.worst_phase.mean()),
            intervals(qos.worst_phase.quantile(0.99)),
            intervals(qos.worst_phase.max()),
            rate(qos.mistakes()),
            rate(qos.avoidable),
            qos.avoidable,
            qos.mean_mistake().map_or(0.0, |time| time.as_secs_f64()),
            qos.query_accuracy().unwrap_or(f64::NAN),
            rate(qos.questions),
        );
    }
}

fn print_reference(plan: &Plan, figures: &[Qos]) -> bool {
    println!("\n### {}: {:.0} M heartbeats", plan.recipe.title(), plan.beats as f64 / 1e6);
    let mut fine = true;
    let interval = plan.recipe.interval().as_secs_f64();
    for (row, qos) in plan.rows.iter().zip(figures) {
        let Some(theirs) = reference::figures(plan.recipe, *row) else {
            own_row(plan, *row, qos);
            continue;
        };
        let Some(deviation) = Deviation::of(qos, theirs, plan.recipe) else { continue };
        fine &= deviation.is_near();
        let mean = qos.worst_phase.mean().map_or(f64::NAN, |t| t.as_secs_f64() / interval);
        let p99 = qos.worst_phase.quantile(0.99).map_or(f64::NAN, |t| t.as_secs_f64() / interval);
        let rate = |count| qos.per_day(count).unwrap_or(f64::NAN);
        println!(
            "{}  {:30} T_D {mean:7.3} ({:7.3}) {:+.2} %  p99 {p99:7.3} ({:7.3}) {:+.2} %  mistakes {:10.4} ({:10.4}) {}  avoidable {:10.4} ({:10.4}) {}",
            if deviation.is_near() { "PASS" } else { "MISS" },
            row.name(),
            theirs.mean,
            100.0 * deviation.mean,
            theirs.p99,
            100.0 * deviation.p99,
            rate(qos.mistakes()),
            theirs.mistakes,
            told(deviation.mistakes),
            rate(qos.avoidable),
            theirs.avoidable,
            told(deviation.avoidable),
        );
    }
    fine
}

/// One of ours on the reference's heartbeats, with nothing to compare it to.
fn own_row(plan: &Plan, row: Row, qos: &Qos) {
    let interval = plan.recipe.interval().as_secs_f64();
    println!(
        "      {:30} T_D {:7.3}  p99 {:7.3}  mistakes {:10.4}  avoidable {:10.4}",
        row.name(),
        qos.worst_phase.mean().map_or(f64::NAN, |t| t.as_secs_f64() / interval),
        qos.worst_phase.quantile(0.99).map_or(f64::NAN, |t| t.as_secs_f64() / interval),
        qos.per_day(qos.mistakes()).unwrap_or(f64::NAN),
        qos.per_day(qos.avoidable).unwrap_or(f64::NAN),
    );
}

fn told(rate: Rate) -> String {
    match rate {
        Rate::Share(share) => format!("{:+6.2} %", 100.0 * share),
        Rate::Sigma(sigma) => format!("{sigma:+6.2} σ"),
    }
}
