//! The contents of procfs outside the processes' directories.

use std::fmt::Write;

use crate::{
    kernel::Kernel,
    syscalls::identity::{RELEASE, VERSION},
    task::Task,
};

pub(super) fn filesystems(_kernel: &Kernel, _task: &Task) -> Vec<u8> {
    b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tdevpts\nnodev\tmqueue\nnodev\tpipefs\nnodev\tsockfs\nnodev\toverlay\n".to_vec()
}

pub(super) fn loadavg(kernel: &Kernel, _task: &Task) -> Vec<u8> {
    let tree = kernel.tasks.lock();
    let running = tree.threads().filter(|task| task.state_letter() == 'R').count();
    let last = tree.threads().map(|task| task.tid()).max().unwrap_or(0);
    format!("0.00 0.00 0.00 {running}/{} {last}\n", tree.thread_count()).into_bytes()
}

pub(super) fn meminfo(kernel: &Kernel, _task: &Task) -> Vec<u8> {
    let total = kernel.host.memory / 1024;
    let used = {
        let tree = kernel.tasks.lock();
        let leaders = tree.processes().filter_map(|(pid, _)| tree.threads_of(pid).into_iter().next());
        leaders.filter_map(|task| task.mm().ok()).map(|mm| mm.resident()).sum::<u64>() / 1024
    };
    let free = total.saturating_sub(used);
    let mut text = String::new();
    for (name, value) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
        ("Shmem", 0),
        ("Slab", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 34_359_738_367),
        ("VmallocUsed", 0),
    ] {
        let _ = writeln!(text, "{:<15} {value:>8} kB", format!("{name}:"));
    }
    text.push_str("HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n");
    text.into_bytes()
}

pub(super) fn stat(kernel: &Kernel, _task: &Task) -> Vec<u8> {
    let idle = kernel.uptime().as_millis() / 10;
    let mut text = format!("cpu  0 0 0 {} 0 0 0 0 0 0\n", idle * u128::from(kernel.host.cpus));
    for cpu in 0..kernel.host.cpus {
        let _ = writeln!(text, "cpu{cpu} 0 0 0 {idle} 0 0 0 0 0 0");
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let boot = since.saturating_sub(kernel.uptime()).as_secs();
    let threads = kernel.tasks.lock().thread_count();
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {boot}\nprocesses {threads}\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    text.into_bytes()
}

pub(super) fn uptime(kernel: &Kernel, _task: &Task) -> Vec<u8> {
    let up = kernel.uptime();
    let centis = up.subsec_millis() / 10;
    format!("{}.{centis:02} {}.{centis:02}\n", up.as_secs(), up.as_secs()).into_bytes()
}

pub(super) fn version(_kernel: &Kernel, _task: &Task) -> Vec<u8> {
    format!("Linux version {RELEASE} (root@localhost) (gcc) {VERSION}\n").into_bytes()
}

pub(super) fn vmstat(_kernel: &Kernel, _task: &Task) -> Vec<u8> {
    b"nr_free_pages 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n".to_vec()
}
