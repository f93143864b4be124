//! Reading small files of `/proc` into one buffer that is reused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use crate::model::Reading;

/// No file of `/proc` that is read here is larger; what is beyond would be cut off.
const LARGEST: usize = 16 << 20;
/// Most files fit at once: `seq_file` gives at most a page a call, a sysctl at most what is asked for.
const FIRST: usize = 16 << 10;
/// `ip_local_reserved_ports` with every second port reserved needs 189 KiB.
const LARGEST_SYSCTL: usize = 256 << 10;
const USUAL_SYSCTL: usize = 1 << 10;

/// A buffer for one file after another.
#[derive(Debug, Default)]
pub struct ProcFile {
    buffer: Vec<u8>,
}

/// Files that are read again and again, by path, and stay open: the kernel makes their text anew when it is read from the
/// beginning (`seq_read_iter` in `fs/seq_file.c`, `proc_sys_call_handler` in `fs/proc/proc_sysctl.c`), and finding a file by
/// its name costs more than that.
#[derive(Debug, Default)]
pub struct Kept(HashMap<&'static str, File>);

impl Kept {
    /// Closes all of them.
    pub fn close(&mut self) {
        self.0.clear();
    }
}

impl ProcFile {
    /// The whole text of a file. Absent if it does not exist; unreadable, with the reason, on any other error.
    pub fn read(&mut self, path: &str) -> Reading<&[u8]> {
        let filled = File::open(path).and_then(|file| self.fill(&file));
        self.told(path, filled)
    }

    /// The same of a file that is kept open.
    pub fn read_kept(&mut self, kept: &mut Kept, path: &'static str) -> Reading<&[u8]> {
        let filled = kept.filled(path, |file| self.fill(file));
        self.told(path, filled)
    }

    /// The text of a sysctl, trimmed. A sysctl answers only a `read` from its beginning and cuts its text off at the size that
    /// was asked for (`do_proc_dointvec`, `proc_do_large_bitmap` in `kernel/sysctl.c`), so it must be asked whole.
    pub fn sysctl(&mut self, path: &str) -> Reading<Box<str>> {
        let filled = File::open(path).and_then(|file| self.fill_at_once(&file));
        self.told(path, filled).map(trimmed)
    }

    /// The same of a sysctl that is kept open.
    pub fn sysctl_kept(&mut self, kept: &mut Kept, path: &'static str) -> Reading<Box<str>> {
        let filled = kept.filled(path, |file| self.fill_at_once(file));
        self.told(path, filled).map(trimmed)
    }

    fn told(&self, path: &str, filled: io::Result<usize>) -> Reading<&[u8]> {
        match filled {
            Ok(n) => Reading::Known(self.buffer.get(..n).unwrap_or_default()),
            Err(e) => failed(path, &e),
        }
    }

    fn fill(&mut self, file: &File) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            let wanted = (filled + FIRST).min(LARGEST);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            match file.read_at(self.buffer.get_mut(filled..).unwrap_or_default(), filled as u64) {
                Ok(0) => return Ok(filled),
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn fill_at_once(&mut self, file: &File) -> io::Result<usize> {
        let mut size = USUAL_SYSCTL;
        loop {
            if self.buffer.len() < size {
                self.buffer.resize(size, 0);
            }
            let n = file.read_at(self.buffer.get_mut(..size).unwrap_or_default(), 0)?;
            if n < size || size == LARGEST_SYSCTL {
                return Ok(n);
            }
            size = LARGEST_SYSCTL;
        }
    }
}

impl Kept {
    fn filled(
        &mut self,
        path: &'static str,
        mut read: impl FnMut(&File) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if let Some(file) = self.0.get(path) {
            if let Ok(n) = read(file) {
                return Ok(n);
            }
            // What it belonged to is gone, or there is another by its name now.
            self.0.remove(path);
        }
        let file = File::open(path)?;
        let n = read(&file)?;
        self.0.insert(path, file);
        Ok(n)
    }
}

fn trimmed(text: &[u8]) -> Box<str> {
    String::from_utf8_lossy(text).trim_ascii().into()
}

/// What an error of opening or reading `path` means.
fn failed<T>(path: &str, error: &io::Error) -> Reading<T> {
    match error.kind() {
        ErrorKind::NotFound => Reading::Absent,
        ErrorKind::PermissionDenied => Reading::Unreadable(format!("reading {path}: permission denied")),
        _ => Reading::Unreadable(format!("reading {path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn a_file_is_read_whole_and_the_buffer_is_reused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        let mut text = String::new();
        for n in 0..20_000 {
            writeln!(text, "line {n}").unwrap();
        }
        std::fs::write(&path, &text).unwrap();
        let mut file = ProcFile::default();
        assert_eq!(file.read(path.to_str().unwrap()), Reading::Known(text.as_bytes()));
        std::fs::write(&path, "short").unwrap();
        assert_eq!(
            file.read(path.to_str().unwrap()),
            Reading::Known(&b"short"[..]),
            "nothing of the longer one"
        );
    }

    #[test]
    fn a_long_sysctl_is_not_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ip_local_reserved_ports");
        let ports = (0..32_768).map(|p| (p * 2).to_string()).collect::<Vec<_>>().join(",");
        std::fs::write(&path, format!("{ports}\n")).unwrap();
        assert!(ports.len() < LARGEST_SYSCTL);
        let got = ProcFile::default().sysctl(path.to_str().unwrap());
        assert_eq!(got.known().map(|t| t.len()), Some(ports.len()));
    }

    #[test]
    fn a_file_that_is_kept_says_what_is_so_now_and_is_looked_for_again_when_it_fails() {
        let (mut file, mut kept) = (ProcFile::default(), Kept::default());
        let mut read = |kept: &mut Kept, path| match file.read_kept(kept, path) {
            Reading::Known(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        let status = "/proc/thread-self/comm";
        rustix::thread::set_name(c"before").unwrap();
        assert_eq!(read(&mut kept, status), "before\n");
        rustix::thread::set_name(c"after").unwrap();
        assert_eq!(read(&mut kept, status), "after\n");
        assert_eq!(kept.0.len(), 1);
        // A directory cannot be read: as a file that the kernel took away.
        kept.0.insert(status, File::open("/proc").unwrap());
        assert_eq!(read(&mut kept, status), "after\n");
        kept.close();
        assert!(kept.0.is_empty());
        assert_eq!(file.read_kept(&mut kept, "/proc/no/such"), Reading::Absent);
        assert!(kept.0.is_empty());
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        let by_name = file.sysctl(range);
        assert!(by_name.known().is_some());
        for _ in 0..2 {
            assert_eq!(file.sysctl_kept(&mut kept, range), by_name);
        }
    }

    #[test]
    fn a_missing_file_is_absent_and_a_directory_is_unreadable() {
        let mut file = ProcFile::default();
        assert_eq!(file.read("/proc/sys/net/no/such"), Reading::Absent);
        assert_eq!(file.sysctl("/proc/sys/net/no/such"), Reading::Absent);
        let Reading::Unreadable(why) = file.read("/proc/sys/net") else { panic!("a directory has no text") };
        assert!(why.starts_with("reading /proc/sys/net: "), "{why}");
    }
}
