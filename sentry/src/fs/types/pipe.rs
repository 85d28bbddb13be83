//! Pipes and FIFOs (pipe(7)).

/// The buffer between the two ends.
pub struct Pipe {}
