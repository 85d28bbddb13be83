//! Start-up time and memory of a sandbox: `cargo bench -p runsc-cli --bench startup`.
//!
//! Prints the median time of `sandbox run -- true` from start to exit, the phases of one start, and the proportional set size of
//! all processes while the guest sleeps. Fails if a bar is missed.

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// From start to exit.
const TIME_BAR: Duration = Duration::from_millis(15);
/// All processes, guest included.
const MEMORY_BAR_KIB: u64 = 6 * 1024;
const RUNS: usize = 20;

fn sandbox(platform: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(["run", "--platform", platform]).args(args).stdin(Stdio::null());
    command
}

fn main() -> ExitCode {
    let mut missed = false;
    for platform in ["systrap", "ptrace"] {
        let Some(mut times) = (0..RUNS).map(|_| time_of_true(platform)).collect::<Option<Vec<_>>>() else {
            println!("{platform}: skipped: sandboxes do not run here");
            continue;
        };
        times.sort_unstable();
        let median = times[RUNS / 2];
        println!(
            "{platform}: true, start to exit: median {median:.1?}, best {:.1?} of {RUNS}; bar {TIME_BAR:.0?}",
            times[0]
        );
        for line in phases(platform) {
            println!("{platform}:   {line}");
        }
        let (total, list) = memory_of_a_sleeping_guest(platform);
        println!("{platform}: Pss with a sleeping guest: {total} KiB; bar {MEMORY_BAR_KIB} KiB");
        for line in list {
            println!("{platform}:   {line}");
        }
        missed |= median > TIME_BAR || total > MEMORY_BAR_KIB;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn time_of_true(platform: &str) -> Option<Duration> {
    let started = Instant::now();
    let status = sandbox(platform, &["--", "true"]).stderr(Stdio::null()).status().ok()?;
    status.success().then(|| started.elapsed())
}

/// What `--debug` says about one start.
fn phases(platform: &str) -> Vec<String> {
    let output = sandbox(platform, &["--debug", "--", "true"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("sandbox: debug: "));
    lines.map(str::to_owned).collect()
}

/// In KiB: the sum, and a line for each process.
fn memory_of_a_sleeping_guest(platform: &str) -> (u64, Vec<String>) {
    let Ok(mut child) = sandbox(platform, &["--", "sleep", "100"]).spawn() else { return (0, Vec::new()) };
    sleep(Duration::from_secs(1));
    let (mut total, mut lines) = (0, Vec::new());
    for pid in descendants(child.id()) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let pss = rollup.lines().find_map(|line| {
            line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        });
        let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
        let name = if name.is_empty() { "stub".to_owned() } else { name };
        match pss {
            Some(pss) => {
                total += pss;
                lines.push(format!("{pss:6} {name}"));
            }
            // Only root may look at processes that have made themselves undumpable.
            None => lines.push(format!("     ? {name}")),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    (total, lines)
}

/// A process and all below it.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let all = fs::read_dir("/proc").into_iter().flatten();
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        found.extend(pids.filter(|pid| parent_of(*pid) == Some(parent)).collect::<Vec<_>>());
        at += 1;
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
