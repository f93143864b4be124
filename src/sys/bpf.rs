//! A BPF program with one buffer that it writes, run when it is asked for (bpf(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const MAP_FREEZE: libc::c_long = 22;

const MAP_TYPE_ARRAY: u32 = 2;
/// The value can be mapped (Linux 5.5).
const F_MMAPABLE: u32 = 1 << 10;
/// A program that is run by a system call and nothing else (Linux 5.14); the kernel takes it only as one that may sleep.
const PROG_TYPE_SYSCALL: u32 = 31;
const F_SLEEPABLE: u32 = 1 << 4;
/// The functions that such a program calls are for programs under a licence that goes with the kernel's.
const LICENCE: &std::ffi::CStr = c"Dual MIT/GPL";

/// The part of `union bpf_attr` for `BPF_MAP_CREATE`, `BPF_MAP_FREEZE`.
#[derive(Default)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    rest: [u32; 11],
}

/// The part of `union bpf_attr` for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    rest: [u64; 12],
}

/// The part of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[derive(Default)]
#[repr(C)]
struct Run {
    program: u32,
    returned: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// A loaded program and its buffer.
pub struct Program {
    loaded: OwnedFd,
    /// Keeps nothing alive that the program does not, but says in `fdinfo` whose buffer it is.
    _map: OwnedFd,
    buffer: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the value alone and is tied to no thread.
#[expect(unsafe_code, reason = "the mapping is a pointer")]
unsafe impl Send for Program {}

impl Program {
    /// Loads a program that `write` makes for the descriptor of an array map with one value of `len` bytes, its buffer.
    ///
    /// # Errors
    /// `EPERM` without `CAP_BPF` and `CAP_PERFMON` (or `CAP_SYS_ADMIN`), `EINVAL` or `EACCES` where the kernel's verifier
    /// refuses the program, `InvalidInput` where `write` makes none.
    pub fn load(len: usize, write: impl FnOnce(RawFd) -> Option<Vec<u8>>) -> io::Result<Self> {
        let value_size = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut create = MapCreate {
            kind: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size,
            entries: 1,
            flags: F_MMAPABLE,
            ..MapCreate::default()
        };
        let map = descriptor(bpf(MAP_CREATE, &mut create)?)?;
        let number = u32::try_from(map.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // From now on only programs write to it, no system call.
        bpf(MAP_FREEZE, &mut MapCreate { kind: number, ..MapCreate::default() })?;
        let code = write(map.as_raw_fd()).ok_or(io::ErrorKind::InvalidInput)?;
        let mut load = Load {
            kind: PROG_TYPE_SYSCALL,
            instructions: u32::try_from(code.len() / 8).map_err(|_| io::ErrorKind::InvalidInput)?,
            code: code.as_ptr() as u64,
            licence: LICENCE.as_ptr() as u64,
            flags: F_SLEEPABLE,
            ..Load::default()
        };
        let loaded = descriptor(bpf(PROG_LOAD, &mut load)?)?;
        // SAFETY: a new mapping where the kernel likes; it overlaps nothing that is known.
        #[expect(unsafe_code, reason = "mapping memory")]
        let mapped = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &map, 0)
        }?;
        let buffer = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { loaded, _map: map, buffer, len })
    }

    /// Runs it in the calling thread. It is given `context`, and changes it.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub fn run<const N: usize>(&mut self, context: &mut [u64; N]) -> io::Result<()> {
        let mut run = Run {
            program: u32::try_from(self.loaded.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
            context_size_in: u32::try_from(size_of_val(context)).map_err(|_| io::ErrorKind::InvalidInput)?,
            context_in: std::ptr::from_mut(context) as u64,
            ..Run::default()
        };
        bpf(PROG_TEST_RUN, &mut run).map(drop)
    }

    /// What it has written.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        // SAFETY: `buffer` is a mapping of `len` bytes that lasts as long as `self`. It is written by the program alone, because
        // the map is frozen, and the program runs only in `run`, which borrows `self` mutably.
        #[expect(unsafe_code, reason = "the mapping is a pointer")]
        unsafe {
            std::slice::from_raw_parts(self.buffer.as_ptr(), self.len)
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this address and length, and no slice of it outlives `self`.
        #[expect(unsafe_code, reason = "unmapping memory")]
        let unmapped = unsafe { rustix::mm::munmap(self.buffer.as_ptr().cast(), self.len) };
        // Refused, it stays until the end of the process.
        let _ = unmapped;
    }
}

/// The kernel's description of its own types (`CONFIG_DEBUG_INFO_BTF`).
///
/// # Errors
/// `ENOENT` where the kernel has none.
pub fn kernel_types() -> io::Result<Vec<u8>> {
    std::fs::read("/sys/kernel/btf/vmlinux")
}

/// bpf(2) with a part of `union bpf_attr`.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes no more than `size_of::<T>()` bytes of `attributes`, whose unused rest is zero; what it
    // points to (instructions, licence, context) outlives the call, and the sizes beside the pointers are those of the objects.
    #[expect(unsafe_code, reason = "no crate in use has bpf(2)")]
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}

fn descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(number).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just given it to us, and nobody else has it.
    #[expect(unsafe_code, reason = "bpf(2) returns a number")]
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
