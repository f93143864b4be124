//! Reading small files of `/proc` into one buffer that is reused.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

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

impl ProcFile {
    /// The whole text of a file. Absent if it does not exist; unreadable, with the reason, on any other error.
    pub fn read(&mut self, path: &str) -> Reading<&[u8]> {
        match self.fill(path) {
            Ok(n) => Reading::Known(self.buffer.get(..n).unwrap_or_default()),
            Err(e) => failed(path, &e),
        }
    }

    /// The text of a sysctl, trimmed. A sysctl answers only the first `read` and cuts its text off at the size that
    /// was asked for (`do_proc_dointvec`, `proc_do_large_bitmap` in `kernel/sysctl.c`), so it must be asked whole.
    pub fn sysctl(&mut self, path: &str) -> Reading<Box<str>> {
        match self.fill_at_once(path) {
            Ok(n) => {
                let text = String::from_utf8_lossy(self.buffer.get(..n).unwrap_or_default());
                Reading::Known(text.trim_ascii().into())
            }
            Err(e) => failed(path, &e),
        }
    }

    fn fill(&mut self, path: &str) -> io::Result<usize> {
        let mut file = File::open(path)?;
        let mut filled = 0;
        loop {
            let wanted = (filled + FIRST).min(LARGEST);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
            match file.read(self.buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return Ok(filled),
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn fill_at_once(&mut self, path: &str) -> io::Result<usize> {
        let mut size = USUAL_SYSCTL;
        loop {
            if self.buffer.len() < size {
                self.buffer.resize(size, 0);
            }
            let n = File::open(path)?.read(self.buffer.get_mut(..size).unwrap_or_default())?;
            if n < size || size == LARGEST_SYSCTL {
                return Ok(n);
            }
            size = LARGEST_SYSCTL;
        }
    }
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
    fn a_missing_file_is_absent_and_a_directory_is_unreadable() {
        let mut file = ProcFile::default();
        assert_eq!(file.read("/proc/sys/net/no/such"), Reading::Absent);
        assert_eq!(file.sysctl("/proc/sys/net/no/such"), Reading::Absent);
        let Reading::Unreadable(why) = file.read("/proc/sys/net") else { panic!("a directory has no text") };
        assert!(why.starts_with("reading /proc/sys/net: "), "{why}");
    }
}
