//! Where sandboxes must work besides root's own shell: as an ordinary user, and inside a container, which is to say in user, pid,
//! mount and network namespaces of somebody else, as root of them and as nobody in particular.
//!
//! The limits hold there too, without a control group. Where the machine does not allow such namespaces, a line says so.
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command, time::Duration};

use conformance::{Failures, PLAIN_USER, Place, binary_directory, compile, here, run, workspace_binary};

const LIMIT: Duration = Duration::from_secs(60);

/// A way to be somebody else: a name and the words before the command.
type Who = (&'static str, Vec<String>);

fn everybody() -> Vec<Who> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let user = words(&format!("setpriv --reuid {PLAIN_USER} --regid {PLAIN_USER} --clear-groups"));
    let container = words("unshare --user --map-root-user --pid --fork --mount-proc --net --ipc --uts");
    vec![
        ("user", user.clone()),
        ("container", container.clone()),
        ("user-container", [user, container].concat()),
    ]
}

#[test]
fn systrap() -> Result<(), Failures> {
    everywhere(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    everywhere(Place::Ptrace)
}

fn everywhere(place: Place) -> Result<(), Failures> {
    let one = |text: String| Failures(vec![text]);
    let Some(sandbox) = readable_by_all(place).map_err(one)? else {
        println!("skipped: no sandbox binary (build it, or set SANDBOX_BIN), or not root");
        return Ok(());
    };
    compile(&here().join("guest/hostile/bombs.c"), &[], &[]).map_err(one)?;
    let volume = format!("{}:/abi:ro", binary_directory().display());
    let mut failures = Vec::new();
    for (who, before) in everybody() {
        let command = |words: &[&str]| {
            let mut command = Command::new("env");
            command.args(&before).args(words);
            command
        };
        let probe = run(&mut command(&["unshare", "--user", "--pid", "--fork", "true"]), LIMIT);
        if probe.code != Some(0) {
            println!("skipped: {who}: {}", probe.summary());
            continue;
        }
        let sandboxed = |words: &[&str]| {
            let start =
                [&*sandbox.to_string_lossy(), "run", "--platform", place.name(), "-w", "/", "-v", &volume]
                    .map(str::to_owned);
            let all: Vec<&str> = start.iter().map(String::as_str).chain(words.iter().copied()).collect();
            run(&mut command(&all), LIMIT)
        };
        for (words, code, output) in [
            (&["--", "/bin/sh", "-c", "id -u; echo x > /tmp/x; cat /tmp/x; exit 3"][..], 3, "0\nx\n"),
            (&["--memory", "256m", "--", "/abi/bombs", "memory"], 0, "memory: signal 9\n"),
            (&["--pids", "50", "--", "/abi/bombs", "fork"], 0, "fork: 49 EAGAIN\n"),
        ] {
            let outcome = sandboxed(words);
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            if outcome.code != Some(code) || text != output {
                failures.push(format!("{who}: {words:?}: {text:?}, {}", outcome.summary()));
            }
        }
    }
    Failures(failures).into_result()
}

/// A copy of the binary where an ordinary user can execute it, if we are root.
fn readable_by_all(place: Place) -> Result<Option<PathBuf>, String> {
    let binary = workspace_binary("sandbox", env!("CARGO_TARGET_TMPDIR"));
    let Some(binary) = binary.filter(|_| nix::unistd::geteuid().is_root()) else { return Ok(None) };
    let copy = binary_directory().join(format!("sandbox-{}", place.name()));
    let fail = |error: std::io::Error| format!("{}: {error}", copy.display());
    fs::create_dir_all(binary_directory()).map_err(fail)?;
    let _ = fs::remove_file(&copy);
    fs::copy(&binary, &copy).map_err(fail)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(fail)?;
    Ok(Some(copy))
}
