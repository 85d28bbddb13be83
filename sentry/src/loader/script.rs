//! `#!` lines (`fs/binfmt_script.c`).

use linux_abi::{Errno, Result};

/// What a `#!` line says.
#[derive(Debug, PartialEq, Eq)]
pub struct Interpreter {
    pub path: Vec<u8>,
    /// Everything after the path, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// The most of a file that is looked at (`BINPRM_BUF_SIZE`).
pub const HEAD_SIZE: usize = 256;

/// Decodes the head of a file; `None` if it is no script.
///
/// # Errors
/// `ENOEXEC` for a line without an interpreter or with one that is cut off.
pub fn parse(head: &[u8]) -> Result<Option<Interpreter>> {
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let (line, complete) = match line.iter().position(|&byte| byte == b'\n') {
        Some(end) => (line.get(..end).unwrap_or_default(), true),
        // A file shorter than the head ends its line where it ends.
        None => (line, head.len() < HEAD_SIZE),
    };
    let start = line.iter().position(|byte| !blank(byte)).ok_or(Errno::ENOEXEC)?;
    let line = line.get(start..).unwrap_or_default();
    let path_end = line.iter().position(|byte| blank(byte) || *byte == 0);
    if path_end.is_none() && !complete {
        return Err(Errno::ENOEXEC);
    }
    let path = line.get(..path_end.unwrap_or(line.len())).unwrap_or_default();
    if path.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let rest = line.get(path.len()..).unwrap_or_default();
    let rest = rest.get(..rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())).unwrap_or_default();
    let first = rest.iter().position(|byte| !blank(byte));
    let argument = first.map(|first| {
        let end = rest.iter().rposition(|byte| !blank(byte)).map_or(rest.len(), |last| last + 1);
        rest.get(first..end).unwrap_or_default().to_vec()
    });
    Ok(Some(Interpreter { path: path.to_vec(), argument }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ok = |head: &[u8]| parse(head).unwrap().map(|i| (i.path, i.argument));
        assert_eq!(ok(b"#!/bin/sh\n"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(
            ok(b"#! /usr/bin/env  python3 -u \n"),
            Some((b"/usr/bin/env".to_vec(), Some(b"python3 -u".to_vec())))
        );
        assert_eq!(ok(b"#!/bin/sh"), Some((b"/bin/sh".to_vec(), None)));
        assert_eq!(ok(b"\x7fELF"), None);
        assert_eq!(parse(b"#!   \n"), Err(Errno::ENOEXEC));
        assert_eq!(parse(&[b"#!".as_slice(), &[b'a'; 254]].concat()), Err(Errno::ENOEXEC));
    }
}
