//! The kinds of files and filesystems, one module each.
pub mod console;
pub mod epoll;
pub mod eventfd;
pub mod pipe;
mod pipe_buffer;
pub mod pipe_inode;
pub mod tmpfs;
pub mod hostfile;
pub mod pidfd;
pub mod stdio;
pub mod tty_hook;
pub mod proc;
pub mod timerfd;
pub mod dev;
pub mod tty;
pub mod sysfs;
pub mod inotify;
pub mod signalfd;
