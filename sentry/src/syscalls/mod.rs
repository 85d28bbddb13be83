//! Dispatch.
pub mod pipe;
pub mod epoll;
pub mod eventfd;
pub mod poll;
mod temporary_mask;
mod timeout;
