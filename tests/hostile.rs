//! Hostile guests: `guest/hostile/bombs.c` takes as much of one thing as it can get, and everybody else must stay well.
//!
//! Each bomb runs to its limit and back on both platforms: the guest hears an errno, the sentry lives, and what was taken can be
//! had again. Some run without end: then the sandbox must end when it is told to, soon, and leave nothing on the host.
//!
//!     BOMBS_ONLY=fork,pipes cargo test -p conformance --test hostile systrap -- --nocapture
use std::{
    env, fs,
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread::sleep,
    time::{Duration, Instant},
};

use conformance::{Failures, Outcome, Place, Sandbox, binary_directory, compile, here, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// No bomb takes so long on a machine that is not overloaded; the slowest of them some five seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a sandbox may take to end once it is told to.
const END: Duration = Duration::from_secs(10);
/// One at a time: bombs disturb each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Name and what stops it (`0`: nothing, there is enough of it).
const BOMBS: &[(&str, &str)] = &[
    ("dup", "0"),
    ("open", "0"),
    ("open_host", "0"),
    ("memfd", "ENOSPC"),
    ("eventfd", "0"),
    ("epoll", "0"),
    ("inotify", "0"),
    ("timerfd", "0"),
    ("listeners", "0"),
    ("pipes", "0"),
    ("streams", "0"),
    ("datagrams", "0"),
    ("connections", "0"),
    ("in_flight", "ETOOMANYREFS"),
    ("fork", "EAGAIN"),
    ("threads", "EAGAIN"),
    ("tmpfs", "ENOSPC"),
    ("shm", "ENOSPC"),
    ("overlay", "ENOSPC"),
    ("inodes", "ENOSPC"),
    ("mappings", "ENOMEM"),
    ("signals", "EAGAIN"),
    ("timers", "EAGAIN"),
    ("watches", "ENOENT"),
    ("names", "ENOENT"),
    ("locks", "ENOLCK"),
    ("deep", "0"),
    ("loops", "ELOOP"),
    ("iovecs", "EINVAL"),
];

/// Those that must not hold up the end of a sandbox.
const ENDLESS: &[&str] = &[
    "fork", "threads", "dup", "memfd", "pipes", "streams", "memory", "shared", "tmpfs", "mappings", "names",
    "nonsense",
];

#[test]
fn systrap() -> Result<(), Failures> {
    to_the_limit(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    to_the_limit(Place::Ptrace)
}

#[test]
fn endless_systrap() -> Result<(), Failures> {
    endless(Place::Systrap)
}

#[test]
fn endless_ptrace() -> Result<(), Failures> {
    endless(Place::Ptrace)
}

/// A sandbox with limits of its own, ready to run bombs.
struct Bombs {
    sandbox: Sandbox,
    options: Vec<String>,
}

impl Bombs {
    fn new(place: Place) -> Result<Option<Bombs>, Failures> {
        let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(None) };
        compile(&here().join("guest/hostile/bombs.c"), &[], &[]).map_err(|error| Failures(vec![error]))?;
        let directory = binary_directory().display().to_string();
        let options = ["-v", &format!("{directory}:/abi:ro")];
        Ok(Some(Bombs { sandbox, options: options.map(str::to_owned).to_vec() }))
    }

    fn command(&self, more: &[&str], words: &[&str]) -> Command {
        let mut options = self.options.clone();
        if !more.contains(&"--pids") {
            options.extend(["--pids", "200"].map(str::to_owned));
        }
        if !more.contains(&"--memory") {
            options.extend(["--memory", "512m"].map(str::to_owned));
        }
        options.extend(more.iter().map(|word| (*word).to_owned()));
        let program = ["/abi/bombs"].iter().chain(words).map(|word| (*word).to_owned()).collect::<Vec<_>>();
        self.sandbox.command(&options, &program)
    }

    fn run(&self, more: &[&str], name: &str) -> Outcome {
        run(&mut self.command(more, &[name]), LIMIT)
    }
}

fn wanted(name: &str) -> bool {
    env::var("BOMBS_ONLY").map_or(true, |only| only.split(',').any(|word| word == name))
}

fn to_the_limit(place: Place) -> Result<(), Failures> {
    let _turn = ONE_AT_A_TIME.lock();
    let Some(bombs) = Bombs::new(place)? else { return Ok(()) };
    let mut failures = Vec::new();
    let mut check = |name: &str, more: &[&str], fits: &dyn Fn(&str, &Outcome) -> bool| {
        if !wanted(name) {
            return;
        }
        let started = Instant::now();
        let outcome = bombs.run(more, name);
        let text = String::from_utf8_lossy(&outcome.stdout).trim().to_owned();
        println!("{}: {text} ({} ms)", place.name(), started.elapsed().as_millis());
        if !fits(&text, &outcome) {
            failures.push(format!("{name}: {text:?}, {}", outcome.summary()));
        }
    };
    for (name, errno) in BOMBS {
        check(name, &[], &|text, outcome| outcome.code == Some(0) && ends_with(text, errno));
    }
    // About as many as a sandbox without options may have.
    check("fork", &["--pids", "2000", "--memory", "4g"], &|text, outcome| {
        outcome.code == Some(0) && ends_with(text, "EAGAIN")
    });
    // Killed as by Linux's killer, and only that process.
    for name in ["memory", "shared", "memfd_map"] {
        check(name, &[], &|text, outcome| outcome.code == Some(0) && ends_with(text, "9"));
    }
    for name in ["directory", "directory_overlay"] {
        check(name, &["--memory", "4g"], &|text, outcome| outcome.code == Some(0) && ends_with(text, "0"));
    }
    // What happens to the guest is its affair; the sentry must not end.
    check("nonsense", &["--timeout", "60"], &|_, outcome| !matches!(outcome.code, None | Some(124 | 125)));
    let host = fs::read_dir("/proc").map_or(0, Iterator::count);
    if host > 2000 {
        failures.push(format!("{host} entries in the host's /proc"));
    }
    Failures(failures).into_result()
}

fn ends_with(text: &str, word: &str) -> bool {
    text.split_whitespace().next_back() == Some(word)
}

/// How a sandbox is told to end.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// `SIGKILL` to `sandbox run`.
    Kill,
    /// `SIGTERM` to it, which the guest gets and dies of.
    Terminate,
    /// `--timeout`.
    Timeout,
}

fn endless(place: Place) -> Result<(), Failures> {
    let _turn = ONE_AT_A_TIME.lock();
    let Some(bombs) = Bombs::new(place)? else { return Ok(()) };
    let mut failures = Vec::new();
    for (name, order) in
        ENDLESS.iter().zip([Order::Kill, Order::Terminate, Order::Timeout].into_iter().cycle())
    {
        if wanted(name) {
            let result = end(&bombs, name, order);
            println!("{}: {name}: {order:?}: {result:?}", place.name());
            if let Err(why) = result {
                failures.push(format!("{name}: {order:?}: {why}"));
            }
        }
    }
    Failures(failures).into_result()
}

/// Lets a bomb go off for a second and ends the sandbox. Returns how long that took.
fn end(bombs: &Bombs, name: &str, order: Order) -> Result<Duration, String> {
    let mut command = match order {
        Order::Timeout => bombs.command(&["--timeout", "3"], &[name, "forever"]),
        _ => bombs.command(&[], &[name, "forever"]),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    sleep(Duration::from_secs(1));
    let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
    let all = descendants(pid);
    if all.len() < 2 {
        let _ = child.wait();
        return Err(format!("{} processes after a second", all.len()));
    }
    let told = Instant::now();
    let signal = match order {
        Order::Kill => Some(Signal::SIGKILL),
        Order::Terminate => Some(Signal::SIGTERM),
        Order::Timeout => None,
    };
    if let Some(signal) = signal {
        kill(Pid::from_raw(pid), signal).map_err(|error| error.to_string())?;
    }
    let ended = ends(&mut child, told + END);
    let took = told.elapsed();
    // Whatever lives is a failure, and must not live on.
    let left = eventually_gone(&all, told + END);
    for pid in &left {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("lives after {END:?}"));
    }
    if !left.is_empty() {
        return Err(format!("{} of its processes are left", left.len()));
    }
    let group = format!("sandbox-{pid}");
    match find_group(&group) {
        Some(path) => Err(format!("{path} is left")),
        None => Ok(took),
    }
}

fn ends(child: &mut Child, until: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => sleep(Duration::from_millis(5)),
            Ok(None) => return false,
            _ => return true,
        }
    }
}

/// The living processes below `pid`.
fn descendants(pid: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(pid)?))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&next) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == next).map(|(pid, _)| *pid));
        at += 1;
    }
    found.remove(0);
    found
}

/// The parent of a process that is no zombie.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok()).flatten()
}

fn eventually_gone(pids: &[i32], until: Instant) -> Vec<i32> {
    loop {
        let left: Vec<i32> = pids.iter().copied().filter(|pid| parent(*pid).is_some()).collect();
        if left.is_empty() || Instant::now() >= until {
            return left;
        }
        sleep(Duration::from_millis(5));
    }
}

/// A control group of that name, which its sandbox should have removed. The janitor gets a moment for it.
fn find_group(name: &str) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(3);
    loop {
        let mut command = Command::new("find");
        command.args(["/sys/fs/cgroup", "-maxdepth", "5", "-type", "d", "-name", name]);
        let found = run(&mut command, Duration::from_secs(10));
        let text = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if text.is_empty() {
            return None;
        }
        if Instant::now() >= until {
            return Some(text);
        }
        sleep(Duration::from_millis(20));
    }
}
