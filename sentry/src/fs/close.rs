//! What closing a descriptor does besides forgetting it.

use std::sync::Arc;

use super::{
    fd_table::FdTable,
    file::{File, FileCx},
};
use crate::task::Task;

/// A descriptor of `file` in `table` was closed by `task` (`filp_close`).
pub fn close(task: &Task, table: &FdTable, file: &Arc<File>) {
    table.release_locks(file);
    file.ops().on_close(FileCx { task, file });
}

/// `task` lets go of `files`; the last user closes every descriptor.
pub fn close_all(task: &Task, files: Arc<FdTable>) {
    if let Some(files) = Arc::into_inner(files) {
        for file in files.remove_range(0, u32::MAX, |_| true) {
            close(task, &files, &file);
        }
    }
}
