//! A socket as an open file.

use std::sync::Arc;

use linux_abi::{Result, fcntl::O_NONBLOCK};

use super::{
    ioctl,
    socket::{Caller, RecvArgs, SendArgs, Socket},
};
use crate::{
    fs::{
        file::{File, FileCx, FileOps},
        inode::Inode,
        io::{Sink, Source},
    },
    task::ThreadCx,
    wait::{Events, Watch},
};

use linux_abi::fcntl::O_RDWR;

/// A socket as an open file. Dropping it closes the socket.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
}

impl SocketFile {
    /// A new open file for `socket`.
    pub fn open(socket: Arc<dyn Socket>, nonblocking: bool) -> Arc<File> {
        let flags = O_RDWR | if nonblocking { O_NONBLOCK } else { 0 };
        let inode: Arc<dyn Inode> = Arc::<super::inode::SocketInode>::clone(&socket.base().inode);
        File::unnamed(Box::new(SocketFile { socket }), flags, inode)
    }

    /// The socket.
    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }
}

impl FileOps for SocketFile {
    fn read(&self, cx: FileCx<'_>, dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        if dst.remaining() == 0 {
            // sock_read_iter: "match SYS5 behaviour".
            return Ok(0);
        }
        let args = RecvArgs::default();
        Ok(self.socket.recv(Caller::Task(cx.task), &args, dst)?.bytes)
    }

    fn write(&self, cx: FileCx<'_>, src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        let mut args = SendArgs { nonblocking: cx.file.nonblocking(), ..SendArgs::default() };
        self.socket.send(Caller::Task(cx.task), &mut args, src)
    }

    fn poll(&self, _file: &File, watch: Option<&mut Watch>) -> Events {
        self.socket.poll(watch)
    }

    fn ioctl(&self, cx: &mut ThreadCx, file: &Arc<File>, request: u32, arg: u64) -> Result<u64> {
        ioctl::ioctl(&self.socket, cx, file, request, arg)
    }

    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(&*self.socket)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.socket.close();
    }
}
