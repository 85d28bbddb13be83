//! Runs the guest programs of `guest/` natively and in the sandbox: as root and as an ordinary user, on each platform.
//!
//! Every check passes on Linux first; what fails in the sandbox is a difference. Known ones are in
//! `guest/expectations.txt`, which must only shrink: a listed check that passes is an error too. So is a check that is
//! skipped in the sandbox but not natively, unless it is listed.
//!
//!     cargo test -p conformance --test abi                      everything (native, native_user, systrap, ...)
//!     ABI_ONLY=signals,exec cargo test -p conformance --test abi systrap -- --nocapture
//!     ABI_ONLY=files_open ABI_TEST=o_path cargo test ...        one check
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
    thread,
    time::Duration,
};

use conformance::{
    Failures, Outcome, PLAIN_USER, Place, Sandbox, binary_directory, compile, here, native_command, run,
    sources,
};

/// A program has at most 60 tests; natively none takes more than a few seconds.
const PROGRAM_LIMIT: Duration = Duration::from_secs(240);

/// One place at a time, so that the machine is not asked for more than it has.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn native() -> Result<(), Failures> {
    suite(Place::Native, false)
}

#[test]
fn native_user() -> Result<(), Failures> {
    suite(Place::Native, true)
}

#[test]
fn systrap() -> Result<(), Failures> {
    suite(Place::Systrap, false)
}

#[test]
fn systrap_user() -> Result<(), Failures> {
    suite(Place::Systrap, true)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    suite(Place::Ptrace, false)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs all chosen programs at one place.
fn suite(place: Place, as_user: bool) -> Result<(), Failures> {
    let _turn = ONE_AT_A_TIME.lock();
    let programs = programs()?;
    let sandbox = match place {
        Place::Native => None,
        _ => match Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? {
            None => return Ok(()),
            found => found,
        },
    };
    let expected = Expectations::load(place, as_user)?;
    let failures = Mutex::new(Vec::new());
    let queue = Mutex::new(programs.iter().rev().collect::<Vec<_>>());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(program) = queue.lock().ok().and_then(|mut queue| queue.pop()) {
                    let found = check_program(program, place, as_user, sandbox.as_ref(), &expected);
                    if let Ok(mut failures) = failures.lock() {
                        failures.extend(found);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort();
    Failures(failures).into_result()
}

/// Runs one program; prints its counts and returns what is wrong.
fn check_program(
    program: &Path,
    place: Place,
    as_user: bool,
    sandbox: Option<&Sandbox>,
    expected: &Expectations,
) -> Vec<String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let outcome = execute(program, as_user, sandbox);
    let verdicts = verdicts(&outcome);
    let mut failures = Vec::new();
    let mut counts = [0_usize; 4];
    for test in wanted_tests(program) {
        let verdict = verdicts
            .get(&test)
            .cloned()
            .unwrap_or(Verdict::Failed(format!("not reported ({})", outcome.summary())));
        let listed = expected.lists(&name, &test);
        match verdict {
            Verdict::Passed if listed => {
                failures.push(format!("{name} {test}: passes: take it out of expectations.txt"));
            }
            Verdict::Passed => counts[0] += 1,
            _ if listed => counts[3] += 1,
            Verdict::Skipped(_) if place == Place::Native || runs_as_skip(&name, &test, as_user) => {
                counts[2] += 1;
            }
            Verdict::Skipped(reason) => {
                failures.push(format!("{name} {test}: skipped, though not natively: {reason}"));
            }
            Verdict::Failed(text) => {
                counts[1] += 1;
                failures.push(format!("{name} {test}: {text}"));
            }
        }
    }
    let [passed, failed, skipped, known] = counts;
    let who = if as_user { " as user" } else { "" };
    println!(
        "{}{who}: {name}: {passed} passed, {failed} failed, {skipped} skipped, {known} known failures",
        place.name()
    );
    failures
}

/// Whether the test is skipped natively as well (asked once a program and user).
fn runs_as_skip(program: &str, test: &str, as_user: bool) -> bool {
    static SKIPPED: Mutex<BTreeMap<(String, bool), BTreeSet<String>>> = Mutex::new(BTreeMap::new());
    let Ok(mut skipped) = SKIPPED.lock() else { return false };
    let tests = skipped.entry((program.to_owned(), as_user)).or_insert_with(|| {
        verdicts(&execute(&binary_directory().join(program), as_user, None))
            .into_iter()
            .filter(|(_, verdict)| matches!(verdict, Verdict::Skipped(_)))
            .map(|(test, _)| test)
            .collect()
    });
    tests.contains(test)
}

/// Runs the program, in the sandbox if there is one.
fn execute(program: &Path, as_user: bool, sandbox: Option<&Sandbox>) -> Outcome {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let chosen = env::var("ABI_TEST").ok();
    let mut command = match sandbox {
        None => {
            let mut command = native_command(program, as_user);
            command.args(&chosen).env_clear();
            command
        }
        Some(sandbox) => {
            let mut options = vec!["-v".to_owned(), format!("{}:/abi:ro", binary_directory().display())];
            if as_user {
                options.extend(["-u".to_owned(), PLAIN_USER.to_string()]);
            }
            let mut words = vec![format!("/abi/{name}")];
            words.extend(chosen);
            sandbox.command(&options, &words)
        }
    };
    run(&mut command, PROGRAM_LIMIT)
}

/// What the program said about each of its tests.
fn verdicts(outcome: &Outcome) -> BTreeMap<String, Verdict> {
    let text = String::from_utf8_lossy(&outcome.stdout);
    text.lines()
        .filter_map(|line| {
            if let Some(rest) = line.strip_prefix("not ok ") {
                let (name, text) = rest.split_once(':')?;
                return Some((name.to_owned(), Verdict::Failed(text.trim().to_owned())));
            }
            let rest = line.strip_prefix("ok ")?;
            match rest.split_once(" # SKIP ") {
                Some((name, reason)) => Some((name.to_owned(), Verdict::Skipped(reason.to_owned()))),
                None => Some((rest.to_owned(), Verdict::Passed)),
            }
        })
        .collect()
}

/// The tests a program has, as it lists them on Linux.
fn wanted_tests(program: &Path) -> Vec<String> {
    if let Ok(test) = env::var("ABI_TEST") {
        return vec![test];
    }
    let listed = run(Command::new(program).arg("-l"), Duration::from_secs(10));
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

/// The compiled programs that `ABI_ONLY` leaves (names or beginnings of names, separated by commas).
fn programs() -> Result<Vec<PathBuf>, Failures> {
    static COMPILED: OnceLock<Result<Vec<PathBuf>, Vec<String>>> = OnceLock::new();
    let all = COMPILED.get_or_init(compile_all).clone().map_err(Failures)?;
    let only = env::var("ABI_ONLY").unwrap_or_default();
    let wanted: Vec<&str> = only.split(',').filter(|word| !word.is_empty()).collect();
    let chosen: Vec<PathBuf> = all
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            wanted.is_empty() || wanted.iter().any(|word| name.starts_with(word))
        })
        .collect();
    if chosen.is_empty() {
        Err(Failures(vec![format!("ABI_ONLY={only} names no program")]))
    } else {
        Ok(chosen)
    }
}

fn compile_all() -> Result<Vec<PathBuf>, Vec<String>> {
    let headers = [here().join("guest/check.h")];
    let mut binaries = Vec::new();
    let mut errors = Vec::new();
    for source in sources(&here().join("guest")).map_err(|error| vec![error])? {
        match compile(&source, &headers, &[]) {
            Ok(binary) => binaries.push(binary),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(binaries) } else { Err(errors) }
}

/// The known failures of a place.
struct Expectations(BTreeSet<(String, String)>);

impl Expectations {
    /// Lines `PLATFORM PROGRAM TEST reason`; platform `*` means every sandbox, `systrap-user` only the run as a user.
    fn load(place: Place, as_user: bool) -> Result<Expectations, Failures> {
        let mut entries = BTreeSet::new();
        let mut errors = Vec::new();
        let text = fs::read_to_string(here().join("guest/expectations.txt")).unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some(platform), Some(program), Some(test), Some(_reason)) => {
                    if place != Place::Native
                        && (platform == "*"
                            || platform == place.name()
                            || (as_user && platform.strip_suffix("-user") == Some(place.name())))
                    {
                        entries.insert((program.to_owned(), test.to_owned()));
                    }
                }
                _ => {
                    errors
                        .push(format!("expectations.txt: `{line}` lacks platform, program, test or reason"));
                }
            }
        }
        if errors.is_empty() { Ok(Expectations(entries)) } else { Err(Failures(errors)) }
    }

    fn lists(&self, program: &str, test: &str) -> bool {
        self.0.contains(&(program.to_owned(), test.to_owned()))
    }
}
