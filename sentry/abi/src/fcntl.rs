//! stub
pub const O_NONBLOCK: u32 = 0o4000;
pub const O_PATH: u32 = 0o10000000;
