//! The micro-benchmark `bench/sysb.c` runs to its end in the sandbox and prints every row that it prints on Linux.
use std::time::Duration;

use conformance::{Failures, Outcome, Place, Sandbox, binary_directory, compile, here, native_command, run};

/// Seconds for each of its rows.
const SECONDS: &str = "0.02";
/// Natively it takes a second.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn systrap() -> Result<(), Failures> {
    every_row(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    every_row(Place::Ptrace)
}

fn every_row(place: Place) -> Result<(), Failures> {
    let one = |text: String| Failures(vec![text]);
    let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let binary = compile(&here().join("bench/sysb.c"), &[], &["-w"]).map_err(one)?;
    let native = run(native_command(&binary, false).arg(SECONDS), LIMIT);
    let wanted = rows(&native);
    if native.code != Some(0) || wanted.is_empty() {
        return Err(one(format!("natively: {}", native.summary())));
    }
    let volume = ["-v".to_owned(), format!("{}:/abi:ro", binary_directory().display())];
    let guest = run(&mut sandbox.command(&volume, &["/abi/sysb".to_owned(), SECONDS.to_owned()]), LIMIT);
    let found = rows(&guest);
    if guest.code == Some(0) && found == wanted {
        return Ok(());
    }
    let missing = wanted.iter().find(|row| !found.contains(row));
    Err(one(format!("{}; first row that is missing: {missing:?}", guest.summary())))
}

/// The names of the rows, each printed with a figure.
fn rows(outcome: &Outcome) -> Vec<String> {
    let text = String::from_utf8_lossy(&outcome.stdout);
    text.lines()
        .filter_map(|line| {
            let (name, figure) = line.split_at_checked(28)?;
            figure.split_whitespace().next()?.parse::<f64>().ok()?;
            Some(name.trim().to_owned())
        })
        .collect()
}
