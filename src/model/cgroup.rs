//! Cgroups, and what their paths say about units and containers.

use super::ForeignText;

/// What runs a container, as far as the path of its cgroup tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd through CRI (Kubernetes).
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// A pod of Kubernetes whose runtime the path does not name (cgroupfs driver).
    Kubernetes,
    /// systemd-nspawn and others that register with systemd-machined.
    Machine,
    /// LXC, LXD and Incus.
    Lxc,
}

impl Runtime {
    /// The word on the screen and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
            Self::Machine => "machine",
            Self::Lxc => "lxc",
        }
    }
}

/// A container, as far as the path of its cgroup tells.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Its id or name, whole; empty for a process that is in a pod and in none of its containers.
    pub id: ForeignText,
    /// The UID of its Kubernetes pod.
    pub pod: Option<ForeignText>,
    /// `docker:4f2a9c31d7b0`: what people read. An id of 64 digits is cut to 12, as the runtimes themselves do.
    pub name: ForeignText,
}

/// A cgroup.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cgroup {
    /// Path below the root of its hierarchy.
    pub path: ForeignText,
    /// The systemd unit: `nginx.service`, `session-3.scope`.
    pub unit: Option<ForeignText>,
    /// The container.
    pub container: Option<Container>,
}
