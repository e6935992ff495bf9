//! The table of hosts: by number, by name, and how many of them are gone.
//!
//! Services know their host by number, and a host knows its services, so that what happens to one host costs what is on
//! that host, not what is in the house.

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use super::topology::Reach;
use crate::model::{HostName, ServiceIx};
use crate::time::Wall;

/// A host's place in the table. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostIx(u32);

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub name: HostName,
    /// Its last sample, and when it came.
    pub metrics: Vec<(Arc<str>, f64)>,
    pub sampled_at: Option<Wall>,
    /// What the configuration names on it, in the order of the configuration.
    pub services: Vec<ServiceIx>,
    reach: Reach,
}

impl Host {
    /// Whether it is there. Changed by [`Hosts::change`] only.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }
}

/// How many hosts are what, so that nobody has to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Hosts of which anything is heard when they are well.
    pub peopled: usize,
    /// Of these, gone now.
    pub gone: usize,
    /// Hosts with an incident of their own.
    pub blamed: usize,
}

/// Every host that was ever named.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    table: Vec<Host>,
    by_name: BTreeMap<HostName, HostIx>,
    tally: Tally,
}

impl Hosts {
    /// The number of the host `name`; a name never heard before gets one.
    pub(super) fn number(&mut self, name: &HostName) -> HostIx {
        if let Some(ix) = self.by_name.get(name) {
            return *ix;
        }
        let ix = HostIx(u32::try_from(self.table.len()).unwrap_or(u32::MAX));
        self.table.push(Host {
            name: Arc::clone(name),
            metrics: Vec::new(),
            sampled_at: None,
            services: Vec::new(),
            reach: Reach::default(),
        });
        self.by_name.insert(Arc::clone(name), ix);
        ix
    }

    /// Every number, in the order of the names.
    pub(super) fn numbers(&self) -> Vec<HostIx> {
        self.by_name.values().copied().collect()
    }

    /// Every host, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Host> {
        self.by_name.values().map(|ix| &self[*ix])
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The host's figures and services, to be changed.
    pub(super) fn get_mut(&mut self, ix: HostIx) -> &mut Host {
        &mut self.table[ix.0 as usize]
    }

    /// Changes whether a host is there, and keeps the tally.
    pub(super) fn change<R>(&mut self, ix: HostIx, change: impl FnOnce(&mut Reach) -> R) -> R {
        let reach = &mut self.table[ix.0 as usize].reach;
        let before = reach.counts();
        let result = change(reach);
        let after = reach.counts();
        let Tally { peopled, gone, blamed } = &mut self.tally;
        for (count, before, after) in [
            (peopled, before.peopled, after.peopled),
            (gone, before.gone, after.gone),
            (blamed, before.blamed, after.blamed),
        ] {
            *count = *count + after - before;
        }
        result
    }
}

impl Index<HostIx> for Hosts {
    type Output = Host;

    fn index(&self, ix: HostIx) -> &Host {
        &self.table[ix.0 as usize]
    }
}
