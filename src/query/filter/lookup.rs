//! Answers about names that a filter can contain.

use crate::model::Ip;

/// Knows what names stand for. What is not known is `None` or empty, and of which nothing is said, nothing is known.
pub trait Lookup {
    /// The port of a service (`/etc/services`): that of TCP, or of UDP where TCP has none.
    fn service(&self, _name: &str) -> Option<u16> {
        None
    }
    /// The index of a network interface.
    fn interface(&self, _name: &str) -> Option<u32> {
        None
    }
    /// The id of a cgroup of the v2 hierarchy by its path in it.
    fn cgroup(&self, _path: &str) -> Option<u64> {
        None
    }
    /// The id of a user.
    fn user(&self, _name: &str) -> Option<u32> {
        None
    }
    /// The addresses of a host.
    fn host(&self, _name: &str) -> Vec<Ip> {
        Vec::new()
    }
}

/// Knows no names: numbers only.
#[derive(Clone, Copy, Debug)]
pub struct Numbers;

impl Lookup for Numbers {}
