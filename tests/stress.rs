//! Many sandboxes at once: pipes, futexes and epoll, which live by wake-ups, in 16 sandboxes on a machine that has no processor
//! to spare. A wake-up that is lost shows as a check that does not end in its 20 seconds.
//!
//! `STRESS_ROUNDS=10` for more than the one round of every day.
use std::{env, sync::Mutex, thread, time::Duration};

use conformance::{Failures, Place, Sandbox, binary_directory, compile, here, run};

const SANDBOXES: usize = 16;
const PROGRAMS: [&str; 3] = ["pipes", "futex", "epoll"];
/// A program takes three seconds alone.
const LIMIT: Duration = Duration::from_secs(240);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn systrap() -> Result<(), Failures> {
    together(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    together(Place::Ptrace)
}

fn together(place: Place) -> Result<(), Failures> {
    let _turn = ONE_AT_A_TIME.lock();
    let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    for program in PROGRAMS {
        let source = here().join(format!("guest/{program}.c"));
        compile(&source, &[here().join("guest/check.h")], &[]).map_err(|error| Failures(vec![error]))?;
    }
    let volume = format!("{}:/abi:ro", binary_directory().display());
    let rounds = env::var("STRESS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let failures = Mutex::new(Vec::new());
    for round in 0..rounds {
        thread::scope(|scope| {
            for (number, program) in PROGRAMS.into_iter().cycle().take(SANDBOXES).enumerate() {
                let (sandbox, volume, failures) = (&sandbox, &volume, &failures);
                scope.spawn(move || {
                    let options = ["-v".to_owned(), volume.clone()];
                    let outcome = run(&mut sandbox.command(&options, &[format!("/abi/{program}")]), LIMIT);
                    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
                    let lost = text.lines().filter(|line| line.starts_with("not ok"));
                    let mut found: Vec<String> =
                        lost.map(|line| format!("round {round}, {number}: {program}: {line}")).collect();
                    if !matches!(outcome.code, Some(0 | 1)) {
                        found.push(format!("round {round}, {number}: {program}: {}", outcome.summary()));
                    }
                    if let Ok(mut failures) = failures.lock() {
                        failures.extend(found);
                    }
                });
            }
        });
    }
    Failures(failures.into_inner().unwrap_or_default()).into_result()
}
