//! Linux's own asynchronous input and output (io_setup(2), `linux/aio_abi.h`).

/// `pread`.
pub const IOCB_CMD_PREAD: u16 = 0;
/// `pwrite`.
pub const IOCB_CMD_PWRITE: u16 = 1;
/// `fsync`.
pub const IOCB_CMD_FSYNC: u16 = 2;
/// `fdatasync`.
pub const IOCB_CMD_FDSYNC: u16 = 3;
/// `poll`, once.
pub const IOCB_CMD_POLL: u16 = 5;
/// `preadv`.
pub const IOCB_CMD_PREADV: u16 = 7;
/// `pwritev`.
pub const IOCB_CMD_PWRITEV: u16 = 8;
/// `aio_resfd` is an eventfd to be signalled.
pub const IOCB_FLAG_RESFD: u32 = 1;
/// `aio_reqprio` is a priority.
pub const IOCB_FLAG_IOPRIO: u32 = 2;

uapi! {
    /// `struct iocb`: a request.
    pub struct Iocb {
        /// Given back in the event.
        pub data: u64,
        /// The kernel's.
        pub key: u32,
        /// `RWF_*`.
        pub rw_flags: u32,
        /// `IOCB_CMD_*`.
        pub opcode: u16,
        /// Priority.
        pub reqprio: i16,
        /// The file.
        pub fildes: u32,
        /// Address of the buffer or the vector; events to poll for.
        pub buf: u64,
        /// Its length.
        pub nbytes: u64,
        /// Position in the file.
        pub offset: i64,
        /// Zero.
        pub reserved: u64,
        /// `IOCB_FLAG_*`.
        pub flags: u32,
        /// An eventfd.
        pub resfd: u32,
    }

    /// `struct io_event`: what became of a request.
    pub struct IoEvent {
        /// The request's `data`.
        pub data: u64,
        /// Its address.
        pub obj: u64,
        /// What the call returned, or a negative errno.
        pub res: i64,
        /// Zero.
        pub res2: i64,
    }
}
