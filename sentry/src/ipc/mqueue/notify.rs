//! mq_notify(3): one process may ask to be told, once, of a message in an empty queue that nobody waits for.

use std::sync::Arc;

use linux_abi::{Errno, Result};

use super::Queue;
use crate::{
    net::socket::Socket,
    signal::{
        info::{Fields, SI_MESGQ, SigInfo},
        send,
    },
    task::{Pid, Task, ThreadGroup},
};

/// How long a cookie of `SIGEV_THREAD` is, and what its last byte says (`NOTIFY_COOKIE_LEN`, `NOTIFY_WOKENUP`, `NOTIFY_REMOVED`).
const COOKIE: usize = 32;
const WOKEN_UP: u8 = 1;
const REMOVED: u8 = 2;

/// How somebody is told.
pub enum Notify {
    /// Not at all, but nobody else is.
    None,
    /// By a signal; zero is none.
    Signal { signo: i32, value: u64 },
    /// By a message on a netlink socket, on which the C library's thread waits.
    Thread { socket: Arc<dyn Socket>, cookie: [u8; COOKIE] },
}

/// Who is told, and how.
pub struct Notification {
    owner: Arc<ThreadGroup>,
    how: Notify,
}

impl Notification {
    /// A message from `sender` arrived. To be called without locks.
    pub fn send(self, sender: &Task) {
        match self.how {
            Notify::None | Notify::Signal { signo: 0, .. } => {}
            Notify::Signal { signo, value } => {
                let fields = Fields::Queue { pid: sender.pid(), uid: sender.creds().ruid, value };
                let info = SigInfo { signo, errno: 0, code: SI_MESGQ, fields };
                // A full queue loses it, as on Linux.
                let _ = send::send_to_group(&sender.kernel, &self.owner, info);
            }
            Notify::Thread { socket, cookie } => tell(&*socket, cookie, WOKEN_UP),
        }
    }

    fn removed(self) {
        if let Notify::Thread { socket, cookie } = self.how {
            tell(&*socket, cookie, REMOVED);
        }
    }
}

fn tell(socket: &dyn Socket, mut cookie: [u8; COOKIE], what: u8) {
    cookie[COOKIE - 1] = what;
    // Without room it is lost.
    let _ = socket.kernel_message(&cookie);
}

impl Queue {
    /// Registers the process of `task`.
    ///
    /// # Errors
    /// `EBUSY` if somebody is registered.
    pub fn register(&self, task: &Task, how: Notify) -> Result<()> {
        let mut state = self.lock();
        if state.notify.is_some() {
            return Err(Errno::EBUSY);
        }
        state.notify = Some(Notification { owner: Arc::clone(&task.group), how });
        Ok(())
    }

    /// Ends the registration of the process of `task`, if it is its.
    pub fn unregister(&self, task: &Task) -> bool {
        let taken = self.lock().notify.take_if(|notify| Arc::ptr_eq(&notify.owner, &task.group));
        let was = taken.is_some();
        if let Some(notify) = taken {
            notify.removed();
        }
        was
    }

    /// What reading the queue's file shows (`mqueue_read_file`).
    pub fn describe(&self) -> String {
        let state = self.lock();
        let (kind, signo, pid): (i32, i32, Pid) = match &state.notify {
            None => (0, 0, 0),
            Some(Notification { owner, how }) => {
                let (kind, signo) = match how {
                    Notify::Signal { signo, .. } => (linux_abi::time::SIGEV_SIGNAL, *signo),
                    Notify::None => (linux_abi::time::SIGEV_NONE, 0),
                    Notify::Thread { .. } => (linux_abi::time::SIGEV_THREAD, 0),
                };
                (kind, signo, owner.pid)
            }
        };
        format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
    }
}
