//! Many sandboxes at once, and many processes and threads one after the other: all start, all end, and nothing stays behind.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write, stdin},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use crate::common::{alive, children, descendants, eventually, impossible, status};

const TOGETHER: usize = 100;
/// How much a sentry that does the same again may grow, in KiB.
const GROWTH_KIB: u64 = 2048;

/// A sandbox whose guest reads lines and answers each.
struct Talking {
    runsc: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Talking {
    fn start(program: &[&str]) -> Talking {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
        command.args(["run", "--"]).args(program).current_dir("/");
        let mut runsc = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (runsc.stdin.take().unwrap(), BufReader::new(runsc.stdout.take().unwrap()));
        Talking { runsc, to, from }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.to, "{question}").unwrap();
        self.line()
    }

    fn pid(&self) -> i32 {
        self.runsc.id().try_into().unwrap()
    }

    /// Closes the guest's input, upon which it ends.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.to);
        let mut rest = String::new();
        self.from.read_to_string(&mut rest).unwrap();
        (self.runsc.wait().unwrap().code(), rest)
    }
}

#[test]
fn a_hundred_sandboxes_start_and_end() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let script = "echo up; read line; echo \"got $line\"; read line || echo end";
    let mut all: Vec<Talking> = (0..TOGETHER).map(|_| Talking::start(&["/bin/sh", "-c", script])).collect();
    for sandbox in &mut all {
        assert_eq!(sandbox.line(), "up");
    }
    let pids: Vec<i32> = all.iter().flat_map(|sandbox| descendants(sandbox.pid())).collect();
    // Sentry, gofer, zygote and guest.
    assert!(pids.len() >= 4 * TOGETHER, "{} processes", pids.len());
    for (number, sandbox) in all.iter_mut().enumerate() {
        assert_eq!(sandbox.ask(&number.to_string()), format!("got {number}"));
    }
    for sandbox in all {
        assert_eq!(sandbox.end(), (Some(0), "end\n".to_owned()));
    }
    for pid in pids {
        assert!(eventually(|| !alive(pid)), "{pid} lives");
    }
}

/// The guest of the next test: for each line it reads, it makes processes and threads that end.
#[test]
#[ignore = "runs inside a sandbox"]
fn guest_that_makes_processes() {
    for line in stdin().lines() {
        let count: usize = line.unwrap().parse().unwrap();
        for _ in 0..count {
            thread::spawn(|| ()).join().unwrap();
        }
        // Commands are made by vfork; those of the shell by fork, with and without execve.
        for _ in 0..count / 4 {
            assert!(Command::new("/bin/true").status().unwrap().success());
        }
        let script = format!("i=0; while [ $i -lt {count} ]; do (:); i=$((i+1)); done");
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        let script = format!("i=0; while [ $i -lt {} ]; do /bin/true; i=$((i+1)); done", count / 4);
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        println!("done");
    }
}

/// What a sentry holds on the host: processes, threads, descriptors, mappings, and resident memory in KiB.
fn holdings(sentry: i32) -> ([usize; 4], u64) {
    let count = |what: &str| fs::read_dir(format!("/proc/{sentry}/{what}")).map_or(0, Iterator::count);
    let maps = fs::read_to_string(format!("/proc/{sentry}/maps")).unwrap_or_default().lines().count();
    let resident = status(sentry, "RssAnon").unwrap();
    let resident = resident.split_whitespace().next().unwrap().parse().unwrap();
    ([children(sentry).len(), count("task"), count("fd"), maps], resident)
}

#[test]
fn nothing_stays_of_what_ended() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    // CHURN=1000 makes 10,000 of each.
    let count: usize = std::env::var("CHURN").map_or(60, |count| count.parse().unwrap());
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    let guest = "many::guest_that_makes_processes";
    let mut sandbox = Talking::start(&[own, "--ignored", "--exact", guest, "--nocapture", "--quiet"]);
    let answer = |sandbox: &mut Talking| {
        writeln!(sandbox.to, "{count}").unwrap();
        while !sandbox.line().ends_with("done") {}
    };
    let sentry = || children(sandbox.pid()).into_iter().find(|pid| children(*pid).len() > 1);
    assert!(eventually(|| sentry().is_some()));
    let sentry = sentry().unwrap();
    let mut seen = Vec::new();
    for _ in 0..10 {
        answer(&mut sandbox);
        // Sentry threads wait a second for other guest threads.
        thread::sleep(Duration::from_millis(1500));
        seen.push(holdings(sentry));
        println!("{:?}", seen.last());
    }
    // At first, memory is put by: threads, their heaps, tables.
    let [.., before, _, _, _, _, _, _, after] = *seen else { return };
    // Each thread's heap is some mappings.
    let more = [2, 2, 2, 40];
    let allowed = |((after, before), more)| after <= before + more;
    assert!(after.0.into_iter().zip(before.0).zip(more).all(allowed), "{before:?}, {after:?}");
    assert!(after.1 <= before.1 + GROWTH_KIB, "{before:?}, {after:?}");
    let pids = descendants(sandbox.pid());
    assert_eq!(sandbox.end().0, Some(0));
    for pid in pids {
        assert!(eventually(|| !alive(pid)), "{pid} lives");
    }
}
