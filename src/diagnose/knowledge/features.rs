//! Which text fits this kernel. What exists is asked of the machine; only where nothing can be asked does the version
//! decide, and distributions backport: a version never decides anything but words.

use crate::model::{Host, Reading, Sysctls};

/// What a feature is judged by.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    version: Option<(u32, u32)>,
    sysctls: Option<&'a Sysctls>,
}

/// A switch for text: `::when NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Name.
    pub name: &'static str,
    /// What a kernel that has it does.
    pub doc: &'static str,
    test: Test,
}

#[derive(Clone, Copy, Debug)]
enum Test {
    /// From this version on; an unknown kernel counts as new.
    Since(u32, u32),
    /// Where this sysctl exists; in its place, from this version on.
    Sysctl(&'static str, u32, u32),
    /// Where this sysctl exists; never assumed.
    Left(&'static str),
}

macro_rules! features {
    ($($name:literal $test:expr, $doc:literal;)*) => {
        /// Every switch that a document may use.
        pub const FEATURES: &[Feature] = &[$(Feature { name: $name, doc: $doc, test: $test }),*];
    };
}

features! {
    "syn-drop-when-full" Test::Since(4, 10),
        "a full accept queue makes the kernel drop SYNs; before, the handshake went on and the server showed SYN_RECV";
    "tw-recycle" Test::Left("net.ipv4.tcp_tw_recycle"),
        "net.ipv4.tcp_tw_recycle still exists (removed in Linux 4.12)";
    "tw-reuse-on-loopback" Test::Since(4, 18), "tcp_tw_reuse has the value 2, loopback only, and starts with it";
    "tw-reuse-delay" Test::Sysctl("net.ipv4.tcp_tw_reuse_delay", 6, 14),
        "how old a TIME_WAIT must be for reuse is a sysctl";
    "somaxconn-4096" Test::Since(5, 4), "net.core.somaxconn starts with 4096 instead of 128";
    "snd-wnd" Test::Since(5, 4), "tcp_info tells the peer's window";
    "cgroup-id" Test::Since(5, 8), "sock_diag tells the cgroup of a socket";
    "conntrack-one-per-bucket" Test::Since(5, 15),
        "nf_conntrack_max starts at the number of buckets; before, at four times that";
    "kill-time-wait" Test::Since(6, 0), "SOCK_DESTROY can end a TIME_WAIT";
    "rcv-wnd" Test::Since(6, 2), "tcp_info tells our own window";
    "syn-linear-timeouts" Test::Sysctl("net.ipv4.tcp_syn_linear_timeouts", 6, 5),
        "the first SYNs are repeated each second";
    "bound-inactive" Test::Since(6, 8), "bound but unconnected sockets can be listed";
    "kill-orphans" Test::Since(6, 12), "SOCK_DESTROY ends sockets whose program has closed them";
    "delack-timer" Test::Since(7, 0), "sock_diag tells a pending delayed ACK";
    "host-sysctls" Test::Sysctl("net.ipv4.tcp_max_orphans", 0, 0),
        "this namespace is the first one, where the host's own sysctls are shown";
    "conntrack" Test::Left("net.netfilter.nf_conntrack_max"), "connection tracking is loaded";
}

impl<'a> Kernel<'a> {
    /// The kernel of a machine, as one of its namespaces shows it.
    #[must_use]
    pub fn of(host: &Host, sysctls: &'a Sysctls) -> Self {
        Self { version: host.kernel_version(), sysctls: Some(sysctls) }
    }

    /// A kernel of which nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { version: None, sysctls: None }
    }

    /// Whether it has a feature; a name that is not in [`FEATURES`] is not there.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        let since = |major, minor| self.version.is_none_or(|v| v >= (major, minor));
        let exists = |sysctl| self.sysctls.map(|s| !matches!(s.reading(sysctl), Reading::Absent));
        match FEATURES.iter().find(|f| f.name == name).map(|f| f.test) {
            Some(Test::Since(major, minor)) => since(major, minor),
            Some(Test::Sysctl(sysctl, major, minor)) => exists(sysctl).unwrap_or_else(|| since(major, minor)),
            Some(Test::Left(sysctl)) => exists(sysctl).unwrap_or(false),
            None => false,
        }
    }
}

/// The lines of a body that this kernel should see.
pub(super) fn select(body: &str, kernel: Kernel<'_>) -> String {
    let mut shown = true;
    let mut text = String::with_capacity(body.len());
    for line in body.lines() {
        match line.strip_prefix("::").map(|d| d.split_once(' ').unwrap_or((d, ""))) {
            Some(("when", name)) => shown = kernel.has(name.trim()),
            Some(("else", _)) => shown = !shown,
            Some(_) => shown = true,
            None if shown => {
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sysctl::SPECS;
    use crate::testkit;

    fn sysctls(present: &[&str]) -> Sysctls {
        let reading =
            |name| if present.contains(&name) { Reading::Known("1".into()) } else { Reading::Absent };
        Sysctls::new(SPECS.iter().map(|s| reading(s.name)).collect())
    }

    #[test]
    fn versions_are_read_whatever_follows_them() {
        let version = |release: &str| Host { kernel: release.into(), ..testkit::host() }.kernel_version();
        assert_eq!(version("6.18.44"), Some((6, 18)));
        assert_eq!(version("4.18.0-553.el8_10.x86_64"), Some((4, 18)));
        assert_eq!(version("5.4-rc1"), Some((5, 4)));
        assert_eq!(version("7"), None);
        assert_eq!(version("linux"), None);
        assert_eq!(version("99999999999.1"), None);
    }

    #[test]
    fn what_exists_decides_before_the_version_does() {
        let host = Host { kernel: "4.9.0".into(), ..testkit::host() };
        let backported = sysctls(&["net.ipv4.tcp_syn_linear_timeouts", "net.ipv4.tcp_tw_recycle"]);
        let kernel = Kernel::of(&host, &backported);
        assert!(kernel.has("syn-linear-timeouts") && kernel.has("tw-recycle"));
        assert!(!kernel.has("syn-drop-when-full") && !kernel.has("conntrack"));
        let none = sysctls(&[]);
        let host = Host { kernel: "6.18.44".into(), ..testkit::host() };
        let kernel = Kernel::of(&host, &none);
        assert!(kernel.has("syn-drop-when-full") && !kernel.has("syn-linear-timeouts"));
        assert!(!kernel.has("tw-recycle") && !kernel.has("no such feature"));
    }

    #[test]
    fn an_unknown_kernel_counts_as_a_new_one() {
        let kernel = Kernel::unknown();
        assert!(
            kernel.has("syn-drop-when-full") && kernel.has("tw-reuse-delay") && !kernel.has("tw-recycle")
        );
    }

    #[test]
    fn lines_are_there_where_the_feature_is() {
        let body = "a\n::when syn-drop-when-full\nnew\n::else\nold\n::end\nb\n";
        assert_eq!(select(body, Kernel::unknown()), "a\nnew\nb\n");
        let host = Host { kernel: "4.4.0".into(), ..testkit::host() };
        assert_eq!(select(body, Kernel::of(&host, &sysctls(&[]))), "a\nold\nb\n");
    }

    #[test]
    fn features_read_sysctls_that_are_read() {
        for f in FEATURES {
            if let Test::Sysctl(name, ..) | Test::Left(name) = f.test {
                assert!(SPECS.iter().any(|s| s.name == name), "{name}");
            }
        }
    }
}
