//! Memory: the metadata of a guest address space. The pages are the platform's.
use std::sync::Arc;
use platform::AddressSpace;

/// A guest address space (`struct mm_struct`).
pub struct Mm {
    /// The platform's side.
    pub space: Arc<dyn AddressSpace>,
}
