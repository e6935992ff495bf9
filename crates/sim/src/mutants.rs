//! The mutation run: each rule of the engine switched off in turn must be noticed by the oracle.

#[cfg(feature = "mutants")]
pub(crate) fn run(from: u64, seeds: u64, only: Option<&str>) -> bool {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lifesign_core::mutation::{Rule, switch_off};
    use lifesign_sim::fault::Faults;

    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(rule) = Rule::ALL.get(index) else { break };
                    if only.is_some_and(|name| name != format!("{rule:?}")) {
                        continue;
                    }
                    switch_off(Some(*rule));
                    let caught = (from..from.saturating_add(seeds)).find_map(|seed| {
                        let violation = super::world(seed, Faults::of_seed(seed), false).1.err()?;
                        // A world that breaks a promise with every rule on proves nothing about this one.
                        switch_off(None);
                        let clean = super::world(seed, Faults::of_seed(seed), false).1.is_ok();
                        switch_off(Some(*rule));
                        if !clean {
                            return None;
                        }
                        Some((seed, violation))
                    });
                    switch_off(None);
                    print_row(rule, caught.as_ref());
                    if let Ok(mut results) = results.lock() {
                        results.push((index, *rule, caught));
                    }
                }
            });
        }
    });
    let Ok(mut results) = results.into_inner() else { return false };
    results.sort_by_key(|(index, ..)| *index);
    let missed: Vec<String> = results
        .iter()
        .filter(|(.., caught)| caught.is_none())
        .map(|(_, rule, _)| format!("{rule:?}"))
        .collect();
    println!("{} of {} rules are noticed when they are gone", results.len() - missed.len(), results.len());
    if !missed.is_empty() {
        println!("not noticed by {seeds} seeds: {}", missed.join(", "));
    }
    missed.is_empty()
}

#[cfg(feature = "mutants")]
fn print_row(rule: &lifesign_core::mutation::Rule, caught: Option<&(u64, lifesign_sim::oracle::Violation)>) {
    let rule = format!("{rule:?}");
    match caught {
        Some((seed, violation)) => {
            let text: String = violation.to_string().chars().take(110).collect();
            println!("{rule:<18} seed {seed:>5}: {text}");
        }
        None => println!("{rule:<18} not noticed"),
    }
}

#[cfg(not(feature = "mutants"))]
pub(crate) fn run(_from: u64, _seeds: u64, _only: Option<&str>) -> bool {
    println!("rules can be switched off only in a build with the feature: cargo xtask sim --mutants");
    false
}
