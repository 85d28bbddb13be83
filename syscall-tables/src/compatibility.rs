//! Writes `docs/compatibility.md` from the table.

use std::fmt::Write as _;

use crate::{Row, Support, X86_64};

/// The text of `docs/compatibility.md`.
pub fn document() -> String {
    let count = |of: fn(&Support) -> bool| X86_64.iter().filter(|row| of(&row.support)).count();
    let full = count(|support| matches!(support, Support::Full));
    let partial = count(|support| matches!(support, Support::Partial(_)));
    let not_yet = count(|support| matches!(support, Support::NotYet(_)));
    let never = count(|support| matches!(support, Support::Never(..)));
    let mut text = format!(
        "# System calls\n\n\
         <!-- Written by `cargo run -p syscall-tables --bin compat-table` from syscall-tables/src/x86_64.rs. -->\n\n\
         The {all} system calls that Linux 6.18 has on x86-64, and what a program in the sandbox gets from each.\n\n\
         | Support | Calls | Meaning |\n\
         |---|---:|---|\n\
         | full | {full} | works as on Linux |\n\
         | partial | {partial} | works, but for what the note says |\n\
         | not yet | {not_yet} | fails with the error in the note, mostly the one of a kernel without the call |\n\
         | never | {never} | fails with the error in the note, as it does on Linux for programs without privileges |\n\n\
         | Number | Name | Support | Note |\n\
         |---:|---|---|---|\n",
        all = X86_64.len(),
    );
    for Row { nr, name, support, .. } in X86_64 {
        let (level, note) = match support {
            Support::Full => ("full", String::new()),
            Support::Partial(caveat) => ("partial", (*caveat).to_owned()),
            Support::NotYet(errno) => ("not yet", errno.name().to_owned()),
            Support::Never(errno, reason) => ("never", format!("{}: {reason}", errno.name())),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {nr} | `{name}` | {level} | {note} |");
    }
    text
}

#[cfg(test)]
mod tests {
    /// Set `UPDATE_DOCS` to rewrite the document instead.
    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
        let text = super::document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == text,
            "docs/compatibility.md is out of date: cargo run -p syscall-tables --bin compat-table"
        );
    }
}
