//! /proc/sysvipc.

use crate::kernel::Kernel;

/// /proc/sysvipc/shm.
pub fn shm(kernel: &Kernel) -> Vec<u8> {
    let head = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";
    let segments = kernel.ipc.shm.lock();
    with_lines(head, segments.iter().map(|(id, segment)| segment.show(id)))
}

/// /proc/sysvipc/sem.
pub fn sem(kernel: &Kernel) -> Vec<u8> {
    let head = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
    let sets = kernel.ipc.sem.lock();
    with_lines(head, sets.iter().map(|(id, set)| set.show(id)))
}

/// /proc/sysvipc/msg.
pub fn msg(kernel: &Kernel) -> Vec<u8> {
    let head = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";
    let queues = kernel.ipc.msg.lock();
    with_lines(head, queues.iter().map(|(id, queue)| queue.show(id)))
}

fn with_lines(head: &str, lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut text = head.to_owned();
    text.extend(lines);
    text.into_bytes()
}
