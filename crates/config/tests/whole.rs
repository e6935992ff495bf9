//! The whole configuration: the contract's example, defaults, and what the engine is told.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::load;
use lifesign_config::spec;

const CONTRACT: &str = include_str!("contract.yaml");

#[test]
fn the_example_of_the_contract_is_accepted() {
    let loaded = load("lifesign.yaml", CONTRACT).unwrap_or_else(|report| panic!("{report}"));
    println!("{}\n{}", loaded.warnings, loaded.show());
    let spec = spec(&loaded.config, &Arc::from("web-01"));
    assert_eq!(spec.services.len(), 2);
    let orders = &spec.services[1];
    assert_eq!(orders.checks.len(), 2);
    assert_eq!(orders.heartbeat.as_ref().unwrap().timeout, Duration::from_secs(15));
}
