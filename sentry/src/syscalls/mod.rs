//! Dispatch.
pub mod pipe;
