//! Directories of the host as volumes: what a guest sees of them is what a native program sees, also if they are large.
use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use conformance::{Failures, Outcome, Place, Sandbox, binary_directory, compile, here, native_command, run};

/// Names in the large directory.
const NAMES: usize = 100_000;
/// Natively a listing takes a tenth of a second.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn systrap() -> Result<(), Failures> {
    large_directory(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    large_directory(Place::Ptrace)
}

/// A root with nothing in it but `large`. Removed at the end.
struct Large(PathBuf);

impl Large {
    fn new(place: Place) -> std::io::Result<Large> {
        // In memory where that is to be had: ext4 makes new files slowly for minutes after so many were removed.
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = parent.join(format!("volumes-{}-{}", place.name(), std::process::id()));
        fs::create_dir(&path)?;
        let large = Large(path);
        fs::create_dir(large.directory())?;
        for number in 0..NAMES {
            File::create(large.directory().join(format!("a name that is not very short {number}")))?;
        }
        Ok(large)
    }

    fn directory(&self) -> PathBuf {
        self.0.join("large")
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn large_directory(place: Place) -> Result<(), Failures> {
    let one = |text: String| Failures(vec![text]);
    let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let binary = compile(&here().join("guest/volumes/listing.c"), &[], &["-static"]).map_err(one)?;
    let large = Large::new(place).map_err(|error| one(error.to_string()))?;
    let path = large.directory().display().to_string();
    let native = run(native_command(&binary, false).arg(&path), LIMIT);
    let wanted = text(&native);
    if native.code != Some(0) || !wanted.contains(&format!("{} names", NAMES + 2)) {
        return Err(one(format!("natively: {wanted:?}, {}", native.summary())));
    }
    // What a program that may not change it prints: two listings.
    let listed = wanted.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    let mut failures = Vec::new();
    for (option, value, wanted) in [
        // Below an overlay changes stay in memory.
        ("--rootfs", large.0.display().to_string(), wanted.clone()),
        ("-v", format!("{path}:/large:ro"), listed + "read-only\n"),
        ("-v", format!("{path}:/large:rw"), wanted.clone()),
    ] {
        let volume = format!("{}:/abi:ro", binary_directory().display());
        let options = ["-v".to_owned(), volume, option.to_owned(), value.clone()];
        let program = ["/abi/listing".to_owned(), "/large".to_owned()];
        let guest = run(&mut sandbox.command(&options, &program), LIMIT);
        if guest.code != Some(0) || text(&guest) != wanted {
            failures.push(format!("{value}: {:?}, not {wanted:?}; {}", text(&guest), guest.summary()));
        }
        let left = fs::read_dir(large.directory()).map_or(0, Iterator::count);
        if left != NAMES {
            failures.push(format!("{value}: {left} names are left on the host"));
        }
    }
    Failures(failures).into_result()
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}
