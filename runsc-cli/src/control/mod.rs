//! How `runsc` talks to the sentry and the gofer: [`wire`] is the transport, [`protocol`] the messages, [`client`]
//! the side of `runsc`, and `boot/server.rs` the side of the sentry.

pub mod client;
pub mod protocol;
pub mod wire;
