//! What the allocator does with memory that is freed.

/// Makes all threads allocate from one heap. glibc gives each thread its own, and a heap keeps what another thread frees as
/// long as anything behind it is in use: where rows go from thread to thread, memory grows with their number. Call it before
/// there are threads. It does nothing with another allocator.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "the call has no other effect than on later allocations"))]
pub(crate) fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
