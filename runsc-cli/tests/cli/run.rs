//! `sandbox run`: what goes in, what comes out, and the exit code.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::AsFd,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};

use crate::common::{Scratch, eventually, impossible, run, stderr};

fn sandbox(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    // This file is two modules: one for each platform.
    let platform = if module_path!().ends_with("ptrace") { "ptrace" } else { "systrap" };
    command.args(["run", "--platform", platform]).args(args).stdin(Stdio::null()).current_dir("/");
    command
}

/// Standard output, standard error and exit code.
fn result(args: &[&str]) -> (String, String, Option<i32>) {
    let output: Output = run(sandbox(args));
    (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output), output.status.code())
}

/// What a script prints; it must succeed without complaint.
fn says(options: &[&str], script: &str) -> String {
    let (out, err, code) = result(&[options, &["--", "/bin/sh", "-c", script]].concat());
    assert_eq!((err.as_str(), code), ("", Some(0)), "{script}: {out}");
    out
}

macro_rules! where_possible {
    () => {
        if let Some(reason) = impossible() {
            println!("{reason}");
            return;
        }
    };
}

#[test]
fn long_argument_lists() {
    where_possible!();
    let many: Vec<String> = (0..3000).map(|n| format!("argument {n}")).collect();
    let script = ["--", "/bin/sh", "-c", r#"echo $# "$1" "${3000}""#, "sh"];
    let words: Vec<&str> = script.into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(result(&words), ("3000 argument 0 argument 2999\n".to_owned(), String::new(), Some(0)));
    // All that Linux takes with the usual limit of the stack (2 MiB, with the pointers), but for the names and the environment.
    let large = "x".repeat(130_000);
    let script = ["--", "/bin/sh", "-c", r#"IFS=; set -- "$#" "$*"; echo $1 ${#2}"#, "sh"];
    let words: Vec<&str> = script.into_iter().chain([large.as_str(); 15]).collect();
    assert_eq!(result(&words), (format!("15 {}\n", 15 * large.len()), String::new(), Some(0)));
}

#[test]
fn exit_codes() {
    where_possible!();
    assert_eq!(result(&["true"]), (String::new(), String::new(), Some(0)));
    assert_eq!(result(&["--", "sh", "-c", "exit 7"]).2, Some(7));
    assert_eq!(result(&["--", "sh", "-c", "kill -9 $$; exit 1"]).2, Some(137));
    assert_eq!(result(&["--", "sh", "-c", "sh -c 'kill -9 $$'"]).2, Some(137));
    let (_, err, code) = result(&["no-such-program"]);
    assert_eq!((err.as_str(), code), ("sandbox: no-such-program: No such file or directory\n", Some(127)));
    assert_eq!(result(&["/no/such/program"]).2, Some(127));
    let (_, err, code) = result(&["/etc/passwd"]);
    assert_eq!((err.as_str(), code), ("sandbox: /etc/passwd: Permission denied\n", Some(126)));
    assert_eq!(result(&["/etc"]).2, Some(126));
    for bad in [
        &["--rootfs", "/nowhere", "true"][..],
        &["--net", "host", "true"],
        &["-v", "x", "true"],
        &["--bogus"],
    ] {
        let (out, err, code) = result(bad);
        assert_eq!((out.as_str(), code), ("", Some(125)), "{bad:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[test]
fn streams_are_passed_through() {
    where_possible!();
    let mut child = sandbox(&["--", "sh", "-c", "cat; echo problem >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text: Vec<u8> = (0..300_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let mut stdin = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == text, "{} of {} bytes", output.stdout.len(), text.len());
    assert_eq!(stderr(&output), "problem\n");
}

#[test]
fn the_guest_s_surroundings() {
    where_possible!();
    assert_eq!(says(&["--hostname", "box"], "hostname; echo $HOSTNAME"), "box\nbox\n");
    assert_eq!(says(&["-e", "A=b c", "-e", "PATH"], "echo $A"), "b c\n");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let env = says(&[], "env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort");
    assert_eq!(env, format!("HOME=/root\nHOSTNAME=sandbox\n{path}\n"));
    assert_eq!(says(&["-w", "/usr"], "pwd"), "/usr\n");
    assert_eq!(says(&[], "pwd"), "/\n");
    assert_eq!(says(&[], "id -u; id -g; echo $$"), "0\n0\n1\n");
    assert_eq!(says(&["-u", "nobody"], "id -u; id -un"), "65534\nnobody\n");
    assert_eq!(says(&["-u", "12:34"], "id -u; id -g; id -G"), "12\n34\n34\n");
    assert_eq!(result(&["-u", "no-such-user", "true"]).2, Some(125));
    assert_eq!(result(&["-w", "/no/such/directory", "true"]).2, Some(127));
}

#[test]
fn writes_do_not_reach_the_host() {
    where_possible!();
    let scratch = Scratch::new();
    let dir = scratch.path().to_str().unwrap();
    fs::write(scratch.path().join("file"), "host").unwrap();
    let script = format!("cd {dir}; echo guest > file; echo new > new; rm -r bundle; cat file new; ls");
    assert_eq!(says(&[], &script), "guest\nnew\nfile\nnew\n");
    assert_eq!(fs::read_to_string(scratch.path().join("file")).unwrap(), "host");
    assert!(!scratch.path().join("new").exists() && scratch.bundle().exists());
}

#[test]
fn volumes() {
    where_possible!();
    let scratch = Scratch::new();
    let dir = scratch.path().to_str().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "host").unwrap();
    let read_only = format!("{dir}:/made/for/this");
    assert_eq!(
        says(
            &["-v", &read_only],
            "cat /made/for/this/file; echo x 2>/dev/null > /made/for/this/file || echo no"
        ),
        "hostno\n"
    );
    let writable = format!("{dir}:/mnt:rw");
    assert_eq!(says(&["-v", &writable], "echo guest > /mnt/file; echo new > /mnt/new"), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), "guest\n");
    assert_eq!(fs::read_to_string(scratch.path().join("new")).unwrap(), "new\n");
    let one_file = format!("{}:/etc/one", file.display());
    assert_eq!(says(&["-v", &one_file], "cat /etc/one"), "guest\n");
    let (_, err, code) = result(&["-v", "/nowhere:/x", "true"]);
    assert_eq!(code, Some(125));
    assert!(err.contains("/nowhere"), "{err}");
}

#[test]
fn another_root() {
    where_possible!();
    let scratch = Scratch::new();
    let rootfs = scratch.bundle().join("rootfs");
    fs::create_dir_all(rootfs.join("bin")).unwrap();
    fs::create_dir_all(rootfs.join("etc")).unwrap();
    if fs::copy("/bin/busybox", rootfs.join("bin/busybox")).is_err() {
        println!("skipped: no busybox");
        return;
    }
    fs::write(rootfs.join("etc/passwd"), "me:x:77:78::/my/home:/bin/sh\n").unwrap();
    let root = rootfs.to_str().unwrap();
    let script = "id -u; echo $HOME; ls /; pwd";
    let (out, err, code) = result(&["--rootfs", root, "-u", "me", "busybox", "sh", "-c", script]);
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        ("77\n/my/home\nbin\ndev\netc\nproc\nsys\n/\n", "", Some(0))
    );
    assert_eq!(crate::common::entries(&rootfs), ["bin", "etc"], "mount points stay in memory");
}

#[test]
fn signals_are_forwarded() {
    where_possible!();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGHUP] {
        let name = signal.as_str().strip_prefix("SIG").unwrap();
        let script =
            format!("trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child = sandbox(&["--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut ready = [0; 6];
        out.read_exact(&mut ready).unwrap();
        kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest, child.wait().unwrap().code()), (format!("got {name}\n"), Some(5)));
    }
}

#[test]
fn the_timeout_ends_everything() {
    where_possible!();
    let started = Instant::now();
    let (out, _, code) =
        result(&["--timeout", "0.7", "--", "sh", "-c", "trap '' TERM; echo on; sleep 100 & sleep 100"]);
    assert_eq!((out.as_str(), code), ("on\n", Some(124)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn three_thousand_arguments_and_two_megabytes() {
    where_possible!();
    let many: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    let mut args = vec!["--", "sh", "-c", "echo $#", "sh"];
    args.extend(many.iter().map(String::as_str));
    assert_eq!(result(&args).0, "3000\n");
    let long = "x".repeat(100_000);
    let mut args = vec!["--", "sh", "-c", "printf %s \"$@\" | wc -c", "sh"];
    args.extend([long.as_str(); 19]);
    assert_eq!(result(&args).0, "1900000\n");
}

/// A terminal of the host with a sandbox on it.
#[test]
fn a_terminal() {
    where_possible!();
    let size = nix::pty::Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(Some(&size), None).unwrap();
    let before = nix::sys::termios::tcgetattr(&pty.slave).unwrap().local_flags;
    let streams = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = sandbox(&["-t", "--", "sh", "-c", "tty; stty size; read line; echo \"<$line>\"; trap 'stty size; exit 3' WINCH; echo on; while :; do sleep 0.05; done"])
        .stdin(streams())
        .stdout(streams())
        .stderr(streams())
        .spawn()
        .unwrap();
    let mut master = File::from(pty.master.try_clone().unwrap());
    let mut seen = String::new();
    let mut read_until = |words: &str| {
        let mut buffer = [0; 1024];
        while !seen.contains(words) {
            let length = master.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        seen.clone()
    };
    let text = read_until("33 101");
    assert!(text.contains("/dev/pts/0"), "{text}");
    File::from(pty.master.try_clone().unwrap()).write_all(b"abx\x7fc\r").unwrap();
    let text = read_until("on\r\n");
    assert!(text.contains("<abc>"), "{text}");
    let larger = nix::pty::Winsize { ws_row: 50, ..size };
    host::tty::set_window_size(pty.slave.as_fd(), &larger).unwrap();
    // The kernel tells the foreground process group of the terminal; this one is nobody's.
    kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGWINCH).unwrap();
    read_until("50 101");
    let mut code = None;
    for _ in 0..500 {
        code = child.try_wait().unwrap().map(|status| status.code());
        if code.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(code, Some(Some(3)));
    assert_eq!(
        nix::sys::termios::tcgetattr(&pty.slave).unwrap().local_flags,
        before,
        "the mode is not restored"
    );
}

#[test]
fn memory_is_limited_where_the_host_lets_us() {
    where_possible!();
    let script = "head -c 300m /dev/zero | tail -c 300m > /dev/null";
    let (_, err, code) = result(&["--memory", "64m", "--", "sh", "-c", script]);
    if err.contains("not enforced") {
        println!("skipped: {err}");
        return;
    }
    assert_ne!(code, Some(0), "{err}");
    assert_eq!(result(&["--memory", "64m", "true"]).2, Some(0));
    let left = fs::read_dir("/sys/fs/cgroup/memory").map(|all| {
        all.filter(|entry| {
            entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("sandbox-"))
        })
        .count()
    });
    assert!(eventually(|| left.as_ref().is_ok_and(|left| *left == 0) || left.is_err()));
}

/// A guest's shell that is asked questions while the host does things.
struct Conversation {
    child: std::process::Child,
    answers: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Conversation {
    fn start(options: &[&str]) -> Conversation {
        let mut command = sandbox(&[options, &["--", "/bin/sh"]].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        Conversation { child, answers }
    }

    /// What a command prints, lines joined by blanks. Asked twice, so that whatever can be remembered is.
    fn asks(&mut self, command: &str) -> String {
        let first = self.once(command);
        assert_eq!(first, self.once(command), "{command}");
        first
    }

    fn once(&mut self, command: &str) -> String {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        writeln!(stdin, "{{ {command}; }} 2>&1; echo; echo .").unwrap();
        let lines = self.answers.by_ref().map(|line| line.unwrap()).take_while(|line| line != ".");
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_host_s_changes_show_at_once() {
    where_possible!();
    let scratch = Scratch::new();
    let host = scratch.path().join("shared");
    let at = |name: &str| host.join(name);
    fs::create_dir_all(at("d/sub")).unwrap();
    fs::write(at("d/sub/x"), "x\n").unwrap();
    let mut guest = Conversation::start(&["-v", &format!("{}:/mnt:rw", host.display())]);
    let gone = "echo /mnt/f*";
    let look = "stat -c '%s %h %a' /mnt/f; cat /mnt/f";
    assert_eq!(guest.asks(gone), "/mnt/f*");
    fs::write(at("f"), "one").unwrap();
    fs::set_permissions(at("f"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(guest.asks(gone), "/mnt/f");
    assert_eq!(guest.asks(look), "3 1 644 one");
    File::options().append(true).open(at("f")).unwrap().write_all(b"two").unwrap();
    assert_eq!(guest.asks(look), "6 1 644 onetwo");
    fs::set_permissions(at("f"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(guest.asks(look), "6 1 640 onetwo");
    // Through another name, in a directory that nobody has looked at.
    fs::hard_link(at("f"), at("d/link")).unwrap();
    assert_eq!(guest.asks(look), "6 2 640 onetwo");
    fs::write(at("d/link"), "linked").unwrap();
    File::options().append(true).open(at("d/link")).unwrap().write_all(b"!").unwrap();
    assert_eq!(guest.asks(look), "7 2 640 linked!");
    fs::write(at("new"), "another").unwrap();
    fs::set_permissions(at("new"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::rename(at("new"), at("f")).unwrap();
    assert_eq!(guest.asks(look), "7 1 600 another");
    fs::remove_file(at("f")).unwrap();
    assert_eq!(guest.asks(gone), "/mnt/f*");
    // Directories that are moved and replaced on the way to a file.
    assert_eq!(guest.asks("cat /mnt/d/sub/x; ls /mnt/d"), "x link sub");
    fs::rename(at("d"), at("e")).unwrap();
    fs::create_dir_all(at("d/sub")).unwrap();
    fs::write(at("d/sub/x"), "y\n").unwrap();
    assert_eq!(guest.asks("cat /mnt/d/sub/x; ls /mnt/d; cat /mnt/e/sub/x"), "y sub x");
    fs::write(at("e/sub/z"), "z").unwrap();
    assert_eq!(guest.asks("ls /mnt/e/sub; stat -c %s /mnt/e/sub/z"), "x z 1");
    std::os::unix::fs::symlink("d", at("s")).unwrap();
    assert_eq!(guest.asks("cat /mnt/s/sub/x"), "y");
    fs::remove_file(at("s")).unwrap();
    std::os::unix::fs::symlink("e", at("s")).unwrap();
    assert_eq!(guest.asks("cat /mnt/s/sub/x"), "x");
    // What the guest itself did, undone by the host, and the other way round.
    for round in 0..20 {
        guest.once("echo made > /mnt/g; mkdir /mnt/dir; mv /mnt/g /mnt/h; ln /mnt/h /mnt/dir/i");
        assert_eq!(fs::read_to_string(at("h")).unwrap(), "made\n", "{round}");
        assert_eq!(
            guest.asks("cat /mnt/h; ls /mnt/dir; ls -d /mnt/g; stat -c %h /mnt/h").matches("made").count(),
            1
        );
        fs::remove_file(at("h")).unwrap();
        fs::remove_dir_all(at("dir")).unwrap();
        fs::write(at("g"), "host\n").unwrap();
        assert_eq!(guest.asks("cat /mnt/g; ls /mnt"), "host d e g s");
        guest.once("rm /mnt/g");
        assert!(!at("g").exists());
        fs::write(at("g"), "again\n").unwrap();
        assert_eq!(guest.asks("cat /mnt/g"), "again");
        guest.once("echo more >> /mnt/g");
        assert_eq!(fs::read_to_string(at("g")).unwrap(), "again\nmore\n");
        fs::remove_file(at("g")).unwrap();
    }
    // More changes than the host keeps events for (`fs.inotify.max_queued_events`).
    assert_eq!(guest.asks("ls /mnt; echo /mnt/last*"), "d e s /mnt/last*");
    for number in 0..20_000 {
        fs::write(at("many"), number.to_string()).unwrap();
        fs::remove_file(at("many")).unwrap();
    }
    fs::write(at("last"), "").unwrap();
    assert_eq!(guest.asks("ls /mnt; echo /mnt/last*"), "d e last s /mnt/last");
}
