//! What the conformance tests share: finding the binaries, running a program with a time limit, natively and in the
//! sandbox, and failures that print as a list.
//!
//! A test that cannot run here says why and passes; that happens only if the sandbox has not been built, or with
//! `SANDBOX_OPTIONAL=1` if it does not start on this machine.
#![forbid(unsafe_code)]

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

mod compile;
mod native;
mod run;

pub use compile::{binary_directory, compile, sources};
pub use native::native_command;
pub use run::{Outcome, run};

/// An ordinary user: no name needed, only no privileges.
pub const PLAIN_USER: u32 = 1000;

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this machine's own kernel.
    Native,
    /// `sandbox run --platform systrap`.
    Systrap,
    /// `sandbox run --platform ptrace`.
    Ptrace,
}

impl Place {
    /// The name in reports and lists of expectations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Place::Native => "native",
            Place::Systrap => "systrap",
            Place::Ptrace => "ptrace",
        }
    }
}

/// Failures of a test, one a line. What a test function returns, so that its `Debug` form is for people.
pub struct Failures(pub Vec<String>);

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} failures", self.0.len())?;
        self.0.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Failures {
    /// `Ok` if there are none.
    ///
    /// # Errors
    /// The failures themselves.
    pub fn into_result(self) -> Result<(), Failures> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// The directory of this package, where the guest programs are.
#[must_use]
pub fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A binary of the workspace: from the variable (`SANDBOX_BIN`, `RUNSC_BIN`), else the newest of the usual profiles.
#[must_use]
pub fn workspace_binary(name: &str, target_tmp: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(format!("{}_BIN", name.to_uppercase())) {
        return Some(PathBuf::from(path));
    }
    let target = Path::new(target_tmp).parent()?;
    let built = ["release", "fast", "debug"].map(|profile| target.join(profile).join(name));
    built
        .into_iter()
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
}

/// The sandbox, ready for use at a place, or the reason why the test is left out.
pub struct Sandbox {
    binary: PathBuf,
    platform: &'static str,
}

impl Sandbox {
    /// Finds the binary and lets it run one program.
    ///
    /// # Errors
    /// It is there but does not work, and `SANDBOX_OPTIONAL` is not set.
    pub fn find(place: Place, target_tmp: &str) -> Result<Option<Sandbox>, Failures> {
        let Some(binary) = workspace_binary("sandbox", target_tmp) else {
            println!("skipped: no sandbox binary (build it, or set SANDBOX_BIN)");
            return Ok(None);
        };
        let sandbox = Sandbox { binary, platform: place.name() };
        let probe = run(&mut sandbox.command(&[], &["/bin/true".to_owned()]), Duration::from_secs(30));
        if probe.code == Some(0) {
            return Ok(Some(sandbox));
        }
        let reason = format!("sandbox run --platform {} /bin/true: {}", place.name(), probe.summary());
        if env::var_os("SANDBOX_OPTIONAL").is_some() {
            println!("skipped: {reason}");
            return Ok(None);
        }
        Err(Failures(vec![reason]))
    }

    /// `sandbox run` with these options before the program. The guest starts in `/` unless they say otherwise.
    #[must_use]
    pub fn command(&self, options: &[String], program: &[String]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.binary);
        command.args(["run", "--platform", self.platform]);
        if !options.iter().any(|option| option == "-w") {
            command.args(["-w", "/"]);
        }
        command.args(options).arg("--").args(program);
        command
    }
}
