//! The names of this machine for the filter language.

use crate::model::Ip;
use crate::query::filter::Lookup;
use crate::sys::names;

/// Knows what this machine knows. An unknown host may be asked of a name server, which takes its time: not for the drawing
/// thread.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl Lookup for SystemNames {
    fn service(&self, name: &str) -> Option<u16> {
        names::service_port(name)
    }

    fn interface(&self, name: &str) -> Option<u32> {
        names::interface_index(name)
    }

    fn cgroup(&self, path: &str) -> Option<u64> {
        names::cgroup_id(path)
    }

    fn user(&self, name: &str) -> Option<u32> {
        names::user_id(name)
    }

    fn host(&self, name: &str) -> Vec<Ip> {
        names::host_addresses(name).into_iter().map(Ip::from).collect()
    }
}
