//! Mounts: which filesystem is attached where (mount_namespaces(7)).

/// One attached filesystem tree.
pub struct Mount {}
