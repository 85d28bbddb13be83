//! Random bytes (getrandom(2)).

/// Fills `bytes` from the host kernel's generator.
pub fn fill(bytes: &mut [u8]) {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: `rest` is valid for writes of its length for the duration of the call.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        // Without flags it fails only for a bad address or when a signal interrupts it.
        done += usize::try_from(got).unwrap_or(0);
    }
}
