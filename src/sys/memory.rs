//! How the allocator treats socket tables.

/// Blocks from this size on are mapped on their own and go back to the system when they are freed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 * 1024;

/// Lets every large block be mapped on its own. Without this glibc raises its threshold to the size of the first table that
/// is freed, and puts the next ones into a heap in which each look leaves holes: at 500 000 sockets that took 20 bytes a
/// socket. To be called before there are threads.
pub fn map_large_blocks() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "no crate in use has it")]
        // SAFETY: mallopt(3) only sets a number of the allocator, and no other thread allocates yet.
        let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        // Refused, memory is only used less well.
        let _ = set;
    }
}
