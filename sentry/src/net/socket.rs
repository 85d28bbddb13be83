//! What every socket can do, whatever its family.

/// A socket. All operations are non-blocking.
pub trait Socket: Send + Sync {}
