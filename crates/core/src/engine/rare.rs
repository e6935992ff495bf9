//! Parts of a service that most services do without: of a million that only beat, few have a unit, and fewer an incident.

use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use super::service::Unit;
use crate::flap::Flaps;
use crate::remedy::Remedy;

/// One such part. It reads as its default, and takes no more than a pointer, until it is first written.
#[derive(Debug)]
pub(super) struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// The part where it was ever written; who only wants to clear it need not make one.
    pub(super) fn written(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(written) => written,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

/// What reads as its default.
pub(super) trait Blank: Default + 'static {
    /// The default, for as long as the process lives.
    fn blank() -> &'static Self;
}

macro_rules! blank {
    ($($part:ty),+) => {
        $(impl Blank for $part {
            fn blank() -> &'static Self {
                static BLANK: LazyLock<$part> = LazyLock::new(<$part>::default);
                &BLANK
            }
        })+
    };
}

blank!(Unit, Remedy, Flaps);
