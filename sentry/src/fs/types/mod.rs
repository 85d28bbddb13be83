//! The kinds of files and filesystems, one module each.
pub mod pipe;
