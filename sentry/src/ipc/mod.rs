//! System V IPC (sysvipc(7), `ipc/` in the kernel): shared memory, semaphore sets, message queues. And POSIX message queues, which
//! have little in common with them (`mqueue/`).
//!
//! * [`Ipc`] is what there is, once a sandbox.
//! * [`table::Table`] gives each kind its identifiers and keys; [`Perm`] is who owns an object and who may use it.
//! * `shm.rs`, `sem.rs`, `msg.rs`: one kind each; `show.rs`: /proc/sysvipc.
//!
//! A call that must wait looks its object up again by identifier each time it wakes, so nothing keeps a removed object alive but
//! the mappings of a shared memory segment.
//!
//! Lock order: each kind has one lock, a leaf but for wait queues.

pub mod mqueue;
pub mod msg;
pub mod sem;
pub mod shm;
pub mod show;
pub mod table;

use linux_abi::{Errno, Result, ipc::IpcPerm};

use crate::{
    credentials::{Caps, Credentials},
    task::Task,
};

/// All objects of a sandbox.
#[derive(Default)]
pub struct Ipc {
    pub shm: parking_lot::Mutex<shm::Segments>,
    pub sem: parking_lot::Mutex<sem::Sets>,
    pub msg: parking_lot::Mutex<msg::Queues>,
}

/// `struct kern_ipc_perm`.
#[derive(Clone, Copy, Debug)]
pub struct Perm {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    /// The nine permission bits.
    pub mode: u32,
    pub seq: u16,
}

impl Perm {
    /// Of a new object; its sequence number is the table's to set.
    pub fn new(task: &Task, key: i32, flags: i32) -> Perm {
        let creds = task.creds();
        Perm {
            key,
            uid: creds.euid,
            gid: creds.egid,
            cuid: creds.euid,
            cgid: creds.egid,
            mode: flags.cast_unsigned() & 0o777,
            seq: 0,
        }
    }

    /// Whether `creds` may do what the bits of `flags` ask, wherever in them they are (`ipcperms`).
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, creds: &Credentials, flags: i32) -> Result<()> {
        let asked = flags.cast_unsigned();
        let asked = asked >> 6 | asked >> 3 | asked;
        let granted = if creds.euid == self.cuid || creds.euid == self.uid {
            self.mode >> 6
        } else if creds.in_effective_group(self.cgid) || creds.in_effective_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if asked & !granted & 7 != 0 && !creds.capable(Caps::IPC_OWNER) {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// Whether `creds` may change or remove the object.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn check_owner(&self, creds: &Credentials) -> Result<()> {
        if creds.euid == self.cuid || creds.euid == self.uid || creds.capable(Caps::SYS_ADMIN) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// `IPC_SET`.
    ///
    /// # Errors
    /// `EINVAL` for ids that are none.
    pub fn update(&mut self, from: &IpcPerm) -> Result<()> {
        if from.uid == u32::MAX || from.gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        self.uid = from.uid;
        self.gid = from.gid;
        self.mode = from.mode & 0o777;
        Ok(())
    }

    /// As guests see it.
    pub fn to_abi(self) -> IpcPerm {
        IpcPerm {
            key: self.key,
            uid: self.uid,
            gid: self.gid,
            cuid: self.cuid,
            cgid: self.cgid,
            mode: self.mode,
            seq: self.seq,
            ..IpcPerm::default()
        }
    }
}

/// How a `*ctl` command names its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// By identifier (`IPC_STAT`).
    Id(i32),
    /// By place in the table (`*_STAT`).
    Index(i32),
    /// By place in the table, whoever may read it (`*_STAT_ANY`).
    AnyIndex(i32),
}

/// Seconds since 1970.
fn now() -> i64 {
    crate::fs::inode::FileTime::now().sec
}
