//! Where the fields of the kernel's sockets lie.

use crate::wire::btf::Btf;

/// Where everything lies that the program reads, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    pub(super) types: Types,
    pub(super) nsproxy: i16,
    pub(super) net_ns: i16,
    pub(super) ns_inum: i16,
    pub(super) hashinfo: i16,
    pub(super) ehash: i16,
    pub(super) ehash_mask: i16,
    pub(super) common: Common,
    pub(super) full: Full,
    pub(super) tw_substate: i16,
    pub(super) tw_mark: i16,
    pub(super) tw_expires: i16,
    pub(super) num_retrans: i16,
    pub(super) rsk_expires: i16,
    pub(super) ir_mark: i16,
    pub(super) cgroup_kn: i16,
    pub(super) kn_id: i16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Types {
    pub(super) word: u32,
    pub(super) common: u32,
    pub(super) full: u32,
    pub(super) time_wait: u32,
    pub(super) request: u32,
    pub(super) cast: u32,
    pub(super) lock: u32,
    pub(super) unlock: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Common {
    pub(super) daddr: i16,
    pub(super) saddr: i16,
    pub(super) dport: i16,
    pub(super) num: i16,
    pub(super) family: i16,
    pub(super) state: i16,
    pub(super) interface: i16,
    pub(super) net: i16,
    pub(super) v6_daddr: i16,
    pub(super) v6_saddr: i16,
    pub(super) cookie: i16,
    pub(super) node: i16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full {
    pub(super) uid: i16,
    pub(super) inode: i16,
    pub(super) mark: i16,
    pub(super) shutdown: i16,
    pub(super) cgroup: i16,
    pub(super) flags: i16,
    pub(super) bind_no_port: i32,
    pub(super) pending: i16,
    pub(super) retransmits: i16,
    pub(super) probes_out: i16,
    pub(super) retransmit_expires: i16,
    pub(super) keepalive_pending: i16,
    pub(super) keepalive_expires: i16,
    pub(super) rcv_nxt: i16,
    pub(super) copied_seq: i16,
    pub(super) write_seq: i16,
    pub(super) snd_una: i16,
}

/// A structure that begins with an integer of 64 bits: what a word of memory is read as.
const WORD: &str = "bpf_iter_num";
const COMMON: &str = "sock_common";
const FULL: &str = "tcp_sock";
const TIME_WAIT: &str = "inet_timewait_sock";
const REQUEST: &str = "inet_request_sock";
const CAST: &str = "bpf_rdonly_cast";
const LOCK: &str = "bpf_rcu_read_lock";
const UNLOCK: &str = "bpf_rcu_read_unlock";
/// Kernels that have it keep keepalive in it, and use `sk_timer` for nothing or for something else (Linux 6.19, and stable
/// ones that took it over).
const KEEPALIVE: &str = "icsk_keepalive_timer";
const BIND_NO_PORT: &str = "INET_FLAGS_BIND_ADDRESS_NO_PORT";

impl Layout {
    /// Finds everything in a kernel's BTF; `None` if this kernel does not have it all, or has it in another form.
    #[must_use]
    pub fn read(btf: &[u8]) -> Option<Self> {
        let names = [
            WORD,
            COMMON,
            FULL,
            TIME_WAIT,
            REQUEST,
            CAST,
            LOCK,
            UNLOCK,
            "task_struct",
            "nsproxy",
            "net",
            "inet_hashinfo",
            "inet_ehash_bucket",
            "cgroup",
            "kernfs_node",
        ];
        let btf = Btf::new(btf, &names, &[BIND_NO_PORT])?;
        let at = |of: &'static str, path: &str, size: u32| {
            let place = btf.place(of, path).filter(|place| place.size == size)?;
            i16::try_from(place.offset).ok()
        };
        let word = at(WORD, "__opaque", 8).filter(|offset| *offset == 0).and_then(|_| btf.id(WORD))?;
        // A bucket is the head of a chain and nothing else.
        at("inet_ehash_bucket", "chain.first", 8).filter(|offset| *offset == 0)?;
        Some(Self {
            types: Types {
                word,
                common: btf.id(COMMON)?,
                full: btf.id(FULL)?,
                time_wait: btf.id(TIME_WAIT)?,
                request: btf.id(REQUEST)?,
                cast: btf.id(CAST)?,
                lock: btf.id(LOCK)?,
                unlock: btf.id(UNLOCK)?,
            },
            nsproxy: at("task_struct", "nsproxy", 8)?,
            net_ns: at("nsproxy", "net_ns", 8)?,
            ns_inum: at("net", "ns.inum", 4)?,
            hashinfo: at("net", "ipv4.tcp_death_row.hashinfo", 8)?,
            ehash: at("inet_hashinfo", "ehash", 8)?,
            ehash_mask: at("inet_hashinfo", "ehash_mask", 4)?,
            common: Common::read(&at)?,
            full: Full::read(&at, i32::try_from(btf.enumerator(BIND_NO_PORT)?).ok()?)?,
            tw_substate: at(TIME_WAIT, "tw_substate", 1)?,
            tw_mark: at(TIME_WAIT, "tw_mark", 4)?,
            tw_expires: at(TIME_WAIT, "tw_timer.expires", 8)?,
            num_retrans: at(REQUEST, "req.num_retrans", 1)?,
            rsk_expires: at(REQUEST, "req.rsk_timer.expires", 8)?,
            ir_mark: at(REQUEST, "ir_mark", 4)?,
            cgroup_kn: at("cgroup", "kn", 8)?,
            kn_id: at("kernfs_node", "id", 8)?,
        })
    }
}

/// Finds a field of a structure that has this size.
type At<'a> = &'a dyn Fn(&'static str, &str, u32) -> Option<i16>;

impl Common {
    fn read(at: At) -> Option<Self> {
        let at = |path: &str, size| at(COMMON, path, size);
        Some(Self {
            daddr: at("skc_daddr", 4)?,
            saddr: at("skc_rcv_saddr", 4)?,
            dport: at("skc_dport", 2)?,
            num: at("skc_num", 2)?,
            family: at("skc_family", 2)?,
            state: at("skc_state", 1)?,
            interface: at("skc_bound_dev_if", 4)?,
            net: at("skc_net.net", 8)?,
            v6_daddr: at("skc_v6_daddr", 16)?,
            v6_saddr: at("skc_v6_rcv_saddr", 16)?,
            cookie: at("skc_cookie.counter", 8)?,
            node: at("skc_nulls_node.next", 8)?,
        })
    }
}

impl Full {
    fn read(at: At, bind_no_port: i32) -> Option<Self> {
        let of_icsk = |field: &str, size| at(FULL, &format!("inet_conn.{field}"), size);
        let of_sock = |field: &str, size| at(FULL, &format!("inet_conn.icsk_inet.sk.{field}"), size);
        let at = |path: &str, size| at(FULL, path, size);
        // Before the timer's own `expires` there was `icsk_timeout`, which may differ from it.
        if of_icsk("icsk_timeout", 8).is_some() {
            return None;
        }
        Some(Self {
            uid: of_sock("sk_uid.val", 4)?,
            // Linux 6.17; before, the number was read from the inode.
            inode: of_sock("sk_ino", 8)?,
            mark: of_sock("sk_mark", 4)?,
            shutdown: of_sock("sk_shutdown", 1)?,
            cgroup: of_sock("sk_cgrp_data.cgroup", 8)?,
            flags: of_icsk("icsk_inet.inet_flags", 8)?,
            bind_no_port,
            pending: of_icsk("icsk_pending", 1)?,
            retransmits: of_icsk("icsk_retransmits", 1)?,
            probes_out: of_icsk("icsk_probes_out", 1)?,
            retransmit_expires: of_icsk("icsk_retransmit_timer.expires", 8)?,
            keepalive_pending: of_icsk(&format!("{KEEPALIVE}.entry.pprev"), 8)
                .or_else(|| of_sock("sk_timer.entry.pprev", 8))?,
            keepalive_expires: of_icsk(&format!("{KEEPALIVE}.expires"), 8)
                .or_else(|| of_sock("sk_timer.expires", 8))?,
            rcv_nxt: at("rcv_nxt", 4)?,
            copied_seq: at("copied_seq", 4)?,
            write_seq: at("write_seq", 4)?,
            snd_una: at("snd_una", 4)?,
        })
    }
}
