//! The host descriptors of a regular file: asked for when it is opened, and kept for the next time.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};

use gofer_proto::{OpenFlags, Opened};
use linux_abi::{Errno, Result};
use parking_lot::Mutex;

use super::GoferInode;

impl GoferInode {
    /// A descriptor of the file that is open anyway.
    pub(super) fn open_descriptor(&self) -> Option<Arc<OwnedFd>> {
        let reader = self.reader.lock().upgrade();
        reader.or_else(|| self.writer.lock().upgrade())
    }

    /// Its last name is gone: only who has it open keeps it.
    pub(super) fn let_go(&self) {
        let kept = [&self.reader, &self.writer].map(|slot| slot.lock().upgrade());
        kept.iter().flatten().for_each(|descriptor| self.fs.discard(descriptor));
    }

    /// A host descriptor for reading a regular file.
    ///
    /// # Errors
    /// The gofer's.
    pub fn host_file(&self) -> Result<Arc<OwnedFd>> {
        self.fs.guess.opened(self.node);
        self.descriptor(&self.reader, OpenFlags::empty())
    }

    /// A host descriptor for writing (and, if the host lets us, reading) a regular file.
    pub(in super::super) fn writable_file(&self) -> Result<Arc<OwnedFd>> {
        match self.descriptor(&self.writer, OpenFlags::RDWR) {
            Err(Errno::EACCES) => self.descriptor(&self.writer, OpenFlags::WRONLY),
            other => other,
        }
    }

    pub(super) fn descriptor(&self, slot: &Mutex<Weak<OwnedFd>>, flags: OpenFlags) -> Result<Arc<OwnedFd>> {
        let mut slot = slot.lock();
        if let Some(open) = slot.upgrade() {
            return Ok(open);
        }
        let opened = match self.fs.client.open(self.node, flags) {
            Err(Errno::EMFILE) => {
                self.fs.discard_all();
                self.fs.client.open(self.node, flags)?
            }
            opened => opened?,
        };
        let Opened::File(descriptor) = opened else { return Err(Errno::EISDIR) };
        Ok(self.opened(&mut slot, descriptor))
    }

    /// Keeps a descriptor for whoever opens the file next.
    pub(super) fn opened(&self, slot: &mut Weak<OwnedFd>, descriptor: OwnedFd) -> Arc<OwnedFd> {
        let descriptor = Arc::new(descriptor);
        *slot = Arc::downgrade(&descriptor);
        self.fs.keep(&descriptor);
        descriptor
    }
}
