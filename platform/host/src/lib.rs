//! The safe edge of the host kernel: what nix lacks, wrapped so that no caller needs `unsafe`.

pub mod caps;
pub mod fdpass;
pub mod spawn;
pub mod tty;
