//! The mutation run: each rule of the engine switched off in turn must be noticed by the oracle.

#[cfg(feature = "mutants")]
pub(crate) fn run(from: u64, seeds: u64) -> bool {
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
                    switch_off(Some(*rule));
                    let caught = (from..from.saturating_add(seeds)).find_map(|seed| {
                        let violation = super::world(seed, Faults::of_seed(seed), false).1.err()?;
                        Some((seed, violation))
                    });
                    switch_off(None);
                    if let Ok(mut results) = results.lock() {
                        results.push((index, *rule, caught));
                    }
                }
            });
        }
    });
    let Ok(mut results) = results.into_inner() else { return false };
    results.sort_by_key(|(index, ..)| *index);
    println!("{:<20} {:>6}  caught by", "rule switched off", "seed");
    let mut missed = 0;
    for (_, rule, caught) in &results {
        match caught {
            Some((seed, violation)) => {
                let text: String = violation.to_string().chars().take(100).collect();
                println!("{:<20} {seed:>6}  {text}", format!("{rule:?}"));
            }
            None => {
                missed += 1;
                println!("{:<20} {:>6}  NOT CAUGHT by {seeds} seeds", format!("{rule:?}"), "-");
            }
        }
    }
    println!("{} of {} rules are noticed when they are gone", results.len() - missed, results.len());
    missed == 0
}

#[cfg(not(feature = "mutants"))]
pub(crate) fn run(_from: u64, _seeds: u64) -> bool {
    println!("rules can be switched off only in a build with the feature: cargo xtask sim --mutants");
    false
}
