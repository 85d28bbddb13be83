//! The kinds of files and filesystems, one module each.

pub mod console;
pub mod dev;
pub mod epoll;
pub mod eventfd;
pub mod gofer;
pub mod hostfile;
pub mod inotify;
pub mod mqueue;
pub mod overlay;
pub mod pidfd;
pub mod pipe;
mod pipe_buffer;
pub mod pipe_inode;
pub mod pipe_pages;
pub mod proc;
pub mod signalfd;
pub mod stdio;
pub mod sysfs;
pub mod timerfd;
pub mod tmpfs;
pub mod tty;
pub mod tty_hook;
