//! Files of `/proc/PID`: `stat`, `limits`, `cgroup`; and `/etc/passwd`.
//!
//! The name of a process can hold anything, parentheses, spaces and line ends included.

use super::proc_text::{decimal, fields, lines};

/// What is read of `/proc/PID/stat` (`proc_pid_stat(5)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PidStat<'a> {
    /// Name, as the process chose it.
    pub comm: &'a [u8],
    /// State letter.
    pub state: char,
    /// Parent.
    pub ppid: u32,
    /// A thread of the kernel (`PF_KTHREAD`).
    pub kernel_thread: bool,
    /// Threads.
    pub threads: u32,
    /// Start time, clock ticks since boot.
    pub start_time: u64,
}

/// `PF_KTHREAD` of `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Reads `/proc/PID/stat`; `None` if it makes no sense.
#[must_use]
pub fn pid_stat(text: &[u8]) -> Option<PidStat<'_>> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = text.get(open + 1..close)?;
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // Numbered as in the man page, from 3.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let flags: u32 = fields.nth(4)?.parse().ok()?;
    let threads = fields.nth(10)?.parse().ok()?;
    let start_time = fields.nth(1)?.parse().ok()?;
    Some(PidStat { comm, state, ppid, kernel_thread: flags & KERNEL_THREAD != 0, threads, start_time })
}

/// The soft limit of open files out of `/proc/PID/limits`; `None` if there is none, or no such line.
#[must_use]
pub fn soft_nofile(text: &[u8]) -> Option<u64> {
    let line = lines(text).find_map(|l| l.strip_prefix(b"Max open files"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// The real, effective and saved user id out of `/proc/PID/status` (`proc_pid_status(5)`); `None` if there is no such line.
#[must_use]
pub fn user_ids(text: &[u8]) -> Option<[u32; 3]> {
    let line = lines(text).find_map(|l| l.strip_prefix(b"Uid:"))?;
    let mut ids = fields(line).map(|f| decimal(f).and_then(|id| u32::try_from(id).ok()));
    let mut next = || ids.next().flatten();
    Some([next()?, next()?, next()?])
}

/// The path out of `/proc/PID/cgroup` that tells most: that of systemd's own hierarchy, else that of cgroup v2, else that
/// of any controller; the root only where all are at the root (cgroups(7)).
#[must_use]
pub fn cgroup_path(text: &[u8]) -> Option<&[u8]> {
    let rank = |id: &[u8], controllers: &[u8], path: &[u8]| {
        let kind = match (id, controllers) {
            (_, b"name=systemd") => 0,
            (b"0", b"") => 1,
            (_, b"pids" | b"memory") => 2,
            _ => 3,
        };
        (path == b"/", kind)
    };
    lines(text)
        .filter_map(|line| {
            let mut parts = line.splitn(3, |b| *b == b':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            Some((rank(id, controllers, path), path))
        })
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, path)| path)
}

/// User ids and names out of `/etc/passwd` (passwd(5)).
pub fn passwd(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next().filter(|n| !n.is_empty() && !n.starts_with(b"#"))?;
        let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
        Some((uid, name))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_ids_are_read_in_their_order() {
        assert_eq!(user_ids(b"Name:\tUid: 9\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\n"), Some([1, 2, 3]));
        assert_eq!([user_ids(b"Uid:\t1\t2\n"), user_ids(b"Uid:\t-1\t2\t3\n"), user_ids(b"")], [None; 3]);
    }

    #[test]
    fn a_name_may_hold_anything() {
        let tail = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 12 0 4711 1000 2 18446744073709551615";
        for name in ["nginx", ") S 1 (", "a b\nc", "", "((", "\u{1b}[2J"] {
            let text = format!("123 ({name}) {tail}\n");
            let stat = pid_stat(text.as_bytes()).unwrap();
            let want = PidStat {
                comm: name.as_bytes(),
                state: 'S',
                ppid: 7,
                kernel_thread: false,
                threads: 12,
                start_time: 4711,
            };
            assert_eq!(stat, want);
        }
    }

    #[test]
    fn threads_of_the_kernel_are_told_by_their_flag() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        assert!(pid_stat(text).unwrap().kernel_thread);
    }

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let text =
            format!("{head}Max open files            1024                 524288               files     \n");
        assert_eq!(soft_nofile(text.as_bytes()), Some(1024));
        assert_eq!(
            soft_nofile(b"Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(soft_nofile(head.as_bytes()), None);
    }

    #[test]
    fn the_path_that_tells_most_is_taken() {
        let of = |text: &str| cgroup_path(text.as_bytes()).map(|p| String::from_utf8_lossy(p).into_owned());
        assert_eq!(of("0::/system.slice/a.service\n").unwrap(), "/system.slice/a.service");
        assert_eq!(of("4:memory:/m\n1:name=systemd:/s\n0::/u\n").unwrap(), "/s");
        assert_eq!(of("9:name=systemd:/\n4:memory:/docker/1\n0::/\n").unwrap(), "/docker/1");
        assert_eq!(of("4:cpu,cpuacct:/c\n5:pids:/p\n0::/\n").unwrap(), "/p");
        assert_eq!(of("0::/a:b\n").unwrap(), "/a:b");
        assert_eq!(of("1:cpu:/\n0::/\n").unwrap(), "/");
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn users_are_read_and_nonsense_is_left_out() {
        let text =
            b"root:x:0:0:root:/root:/bin/sh\n#no:x:1:1\nbad:x:q:1\n:x:3:3\nnobody:x:65534:65534::/:/x\n";
        let got: Vec<_> = passwd(text).collect();
        assert_eq!(got, [(0, &b"root"[..]), (65_534, b"nobody")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (pid_stat(&text), soft_nofile(&text), cgroup_path(&text), passwd(&text).count());
        }
    }
}
