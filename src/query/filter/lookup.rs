//! Answers about names that a filter can contain.

use crate::model::Ip;

/// Knows what names stand for. What is not known is `None` or empty.
pub trait Lookup {
    /// The port of a service (`/etc/services`): that of TCP, or of UDP where TCP has none.
    fn service(&self, name: &str) -> Option<u16>;
    /// The index of a network interface.
    fn interface(&self, name: &str) -> Option<u32>;
    /// The id of a cgroup of the v2 hierarchy by its path in it.
    fn cgroup(&self, path: &str) -> Option<u64>;
    /// The id of a user.
    fn user(&self, name: &str) -> Option<u32>;
    /// The addresses of a host.
    fn host(&self, name: &str) -> Vec<Ip>;
}

/// Knows no names: numbers only.
#[derive(Clone, Copy, Debug)]
pub struct Numbers;

impl Lookup for Numbers {
    fn service(&self, _: &str) -> Option<u16> {
        None
    }
    fn interface(&self, _: &str) -> Option<u32> {
        None
    }
    fn cgroup(&self, _: &str) -> Option<u64> {
        None
    }
    fn user(&self, _: &str) -> Option<u32> {
        None
    }
    fn host(&self, _: &str) -> Vec<Ip> {
        Vec::new()
    }
}
