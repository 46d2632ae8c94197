//! What the operating system's dice say in a simulated thread.
//!
//! Hash maps, gossip and QUIC ask the C library for their seeds, by `getrandom`. This executable
//! has one of its own, which draws from a seed in threads that are given one, and asks the system in
//! all others. TLS goes past it, so keys and nonces differ from run to run: what depends on them
//! is neither the length of a datagram nor its time.

#![allow(unsafe_code, reason = "there is no safe way to stand in for a function of the C library")]

use std::cell::Cell;

use super::dice::next;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on, this thread's entropy is drawn from `seed`.
pub(crate) fn draw_from(seed: u64) {
    STATE.set(Some(seed));
}

/// Stands in for the C library's.
///
/// # Safety
///
/// As of the original: `len` bytes from `buffer` on may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, len: usize, flags: u32) -> isize {
    let Some(mut state) = STATE.get() else {
        // SAFETY: the system's has the same contract as this.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) as isize };
    };
    for at in 0..len {
        // SAFETY: the caller lends us this many bytes.
        unsafe { buffer.add(at).write((next(&mut state) >> 56) as u8) };
    }
    STATE.set(Some(state));
    len as isize
}
