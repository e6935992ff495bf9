//! The pages, one file each: the data a page shows, and the pure function that draws it.

pub(super) mod about;
pub(super) mod explain;
pub(super) mod fault;
pub(super) mod hosts;
pub(super) mod incident;
pub(super) mod incidents;
mod job;
pub(super) mod login;
pub(super) mod notifications;
pub(super) mod overview;
pub(super) mod rules;
pub(super) mod service;

#[cfg(test)]
pub(super) mod samples;
