//! The virtual file system.
//!
//! Reading order: `inode.rs` (what a file is), `dentry.rs` and `path.rs` (its names), `mount.rs`, `walk.rs` (from a path to a
//! place), `file.rs` (open files), `fd_table.rs` (descriptors), `io.rs` (how bytes move), then `types/`.

pub mod assemble;
pub mod close;
pub mod dentry;
pub mod describe;
pub mod device;
pub mod directory;
pub mod entries;
pub mod fasync;
pub mod fd_table;
pub mod file;
pub mod file_limits;
pub mod inode;
pub mod inotify_hook;
pub mod io;
pub mod locks;
pub mod mount;
pub mod name_hash;
pub mod open;
pub mod path;
pub mod permission;
pub mod registry;
#[cfg(test)]
mod tests;
pub mod times;
pub mod types;
pub mod walk;
