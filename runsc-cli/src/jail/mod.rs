//! How the sentry locks itself in before any guest instruction runs. The order is [`crate::boot`]'s; docs/security.md
//! says what each step is for.

pub mod limits;
pub mod namespaces;
pub mod root;
pub mod seccomp;
