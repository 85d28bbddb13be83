//! Rewrites `docs/compatibility.md`, or prints it with `--print`.
#![forbid(unsafe_code)]

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let text = syscall_tables::compatibility::document();
    if env::args().any(|argument| argument == "--print") {
        print!("{text}");
        return Ok(());
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::create_dir_all(&docs)?;
    fs::write(docs.join("compatibility.md"), text)
}
