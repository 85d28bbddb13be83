//! Real programs: each script of `programs/` runs natively and in the sandbox, and must print the same and exit the same.
//!
//! A script's first line says what it needs (`# needs: gcc make`); where that is missing the script is left out, with a line
//! that says so. Every run has an empty directory of its own, writable in the sandbox too.
//!
//!     cargo test -p conformance --test programs
//!     PROGRAMS_ONLY=git,make cargo test -p conformance --test programs systrap -- --nocapture
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use conformance::{Failures, Outcome, Place, Sandbox, here, native_command, run};

/// Natively no script takes more than a quarter of a minute.
const LIMIT: Duration = Duration::from_secs(180);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn systrap() -> Result<(), Failures> {
    compare(Place::Systrap, &[])
}

#[test]
fn systrap_without_patching() -> Result<(), Failures> {
    compare(Place::Systrap, &["--systrap-disable-syscall-patching"])
}

#[test]
fn ptrace() -> Result<(), Failures> {
    compare(Place::Ptrace, &[])
}

fn compare(place: Place, options: &[&str]) -> Result<(), Failures> {
    let _turn = ONE_AT_A_TIME.lock();
    let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let mut failures = Vec::new();
    for script in scripts() {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(missing) = missing(&script) {
            println!("skipped: {name} needs {missing}");
            continue;
        }
        let native = natively(&script, &name);
        if native.timed_out {
            failures.push(format!("{name}: natively {}", native.summary()));
            continue;
        }
        let guest = in_sandbox(&sandbox, options, &script, &name);
        let same =
            native.stdout == guest.stdout && native.code == guest.code && native.signal == guest.signal;
        println!("{} {name} on {}", if same { "ok" } else { "not ok" }, place.name());
        if !same {
            failures.push(format!("{name}: {}; natively {}", guest.summary(), native.summary()));
            failures.push(first_difference(&native.stdout, &guest.stdout));
        }
    }
    Failures(failures).into_result()
}

fn scripts() -> Vec<PathBuf> {
    let only = env::var("PROGRAMS_ONLY").ok();
    let wanted = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        only.as_ref().is_none_or(|only| only.split(',').any(|name| name == stem))
    };
    let entries = fs::read_dir(here().join("programs")).into_iter().flatten().flatten();
    let mut scripts: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sh"))
        .filter(wanted)
        .collect();
    scripts.sort();
    scripts
}

/// What the script needs and this machine lacks.
fn missing(script: &Path) -> Option<String> {
    let text = fs::read_to_string(script).unwrap_or_default();
    let needs = text.lines().next()?.strip_prefix("# needs:")?.to_owned();
    let path = env::var("PATH").unwrap_or_default();
    let found = |name: &str| {
        name.contains('/') && Path::new(name).exists()
            || path.split(':').any(|dir| Path::new(dir).join(name).is_file())
    };
    needs.split_whitespace().find(|name| !found(name)).map(str::to_owned)
}

/// An empty directory, at the same path for both runs.
fn fresh(name: &str) -> PathBuf {
    let dir = env::temp_dir().join(format!("programs-{}", std::process::id())).join(name);
    let _ = fs::remove_dir_all(&dir);
    let _ = fs::create_dir_all(&dir);
    dir
}

fn natively(script: &Path, name: &str) -> Outcome {
    let dir = fresh(name);
    let outcome = run(native_command("bash", false).arg(script).current_dir(&dir), LIMIT);
    let _ = fs::remove_dir_all(&dir);
    outcome
}

fn in_sandbox(sandbox: &Sandbox, options: &[&str], script: &Path, name: &str) -> Outcome {
    let dir = fresh(name).display().to_string();
    let mut all: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    all.extend(["-v".to_owned(), format!("{dir}:{dir}:rw"), "-w".to_owned(), dir.clone()]);
    for key in ["PATH", "HOME"] {
        all.extend(["-e".to_owned(), format!("{key}={}", env::var(key).unwrap_or_default())]);
    }
    let program = ["bash".to_owned(), script.display().to_string()];
    let outcome = run(&mut sandbox.command(&all, &program), LIMIT);
    let _ = fs::remove_dir_all(&dir);
    outcome
}

fn first_difference(native: &[u8], guest: &[u8]) -> String {
    let (native, guest) = (String::from_utf8_lossy(native), String::from_utf8_lossy(guest));
    let mut lines = native.lines().zip(guest.lines().chain(std::iter::repeat("(nothing)")));
    lines.find(|(a, b)| a != b).map_or_else(
        || {
            format!(
                "    output ends after {} lines natively, {} here",
                native.lines().count(),
                guest.lines().count()
            )
        },
        |(a, b)| format!("    natively {a:?}, here {b:?}"),
    )
}
