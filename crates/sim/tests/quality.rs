//! The detectors' quality on shorter traces: the reference's rows are reproduced, and the targets are met.
//!
//! `cargo xtask bench detection` does the same at full length.

use lifesign_core::spec::Profile;
use lifesign_sim::quality::reference::{self, Deviation};
use lifesign_sim::quality::targets::{BASELINE, Table};
use lifesign_sim::quality::{Plan, Row, carry_out};
use lifesign_sim::trace::Recipe;

#[test]
fn published_detectors_reproduce_the_references_rows_on_its_own_heartbeats() {
    let mut plans = reference::plans();
    plans.retain(|plan| plan.recipe == Recipe::WeakWithRetry);
    let figures = carry_out(&plans, 1);
    for (plan, figures) in plans.iter().zip(&figures) {
        let mut compared = 0;
        for (row, qos) in plan.rows.iter().zip(figures) {
            let Some(theirs) = reference::figures(plan.recipe, *row) else { continue };
            let deviation = Deviation::of(qos, theirs, plan.recipe).unwrap();
            assert!(deviation.is_near(), "{:?}, {}: {deviation:?}", plan.recipe, row.name());
            compared += 1;
        }
        assert_eq!(compared, 16);
    }
}

#[test]
fn the_default_is_faster_and_errs_less_than_a_fixed_timeout_on_traces_of_another_seed() {
    let rows = vec![BASELINE, Row::Profile(Profile::Default), Row::Profile(Profile::Strict)];
    let plan = |recipe, beats| Plan { recipe, beats, parts: 2, reference: false, rows: rows.clone() };
    let plans = [
        plan(Recipe::Weak, 300_000),
        plan(Recipe::Bursts, 300_000),
        plan(Recipe::Diurnal, 300_000),
        plan(Recipe::Pauses, 400_000),
    ];
    let figures = carry_out(&plans, 4711);
    for (plan, figures) in plans.iter().zip(&figures) {
        let targets = Table { recipe: plan.recipe, rows: &plan.rows, figures }.targets();
        assert!(targets.len() >= 5, "{:?}: a row is missing", plan.recipe);
        for target in targets {
            assert!(target.is_met(), "{:?}: {target:?}", plan.recipe);
        }
    }
}
