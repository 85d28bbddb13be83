//! Sockets.
pub mod socket;
