//! Resource limits of the sentry process itself.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Context, Result};

/// No core files (they would hold guest memory), and as many descriptors as the host allows: guests' files are held here.
///
/// # Errors
/// As setrlimit(2): none in practice.
pub fn set() -> Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).context("setrlimit(RLIMIT_CORE)")?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit(RLIMIT_NOFILE)")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit(RLIMIT_NOFILE)")?;
    }
    Ok(())
}
