//! Damaged programs: 200 mutations of two ELF files, made the same every time, must do in the sandbox what they do on Linux:
//! fail with the same errno, or run and end the same. The sentry outlives all of them.
//!
//! Headers are damaged, not code: what runs natively is never anything but the program it was.
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use conformance::{Failures, Outcome, Place, Sandbox, binary_directory, compile, here, native_command, run};

const MUTATIONS: usize = 200;
const LIMIT: Duration = Duration::from_secs(120);
/// Length of the ELF header, and of a program header (elf(5)).
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
/// Where the fields are that a loader looks at, and how long: of the ELF header from `e_ident`, of a program header.
const HEADER_FIELDS: [(usize, usize); 10] =
    [(0, 4), (4, 1), (16, 2), (18, 2), (20, 4), (24, 8), (32, 8), (52, 2), (54, 2), (56, 2)];
const SEGMENT_FIELDS: [(usize, usize); 7] = [(0, 4), (4, 4), (8, 8), (16, 8), (32, 8), (40, 8), (48, 8)];
/// Values at which sums and comparisons go wrong.
const VALUES: [u64; 14] = [
    0,
    1,
    2,
    3,
    7,
    0xfff,
    0x1001,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_f000,
    0x8000_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];

#[test]
fn systrap() -> Result<(), Failures> {
    same_as_native(Place::Systrap)
}

#[test]
fn ptrace() -> Result<(), Failures> {
    same_as_native(Place::Ptrace)
}

fn same_as_native(place: Place) -> Result<(), Failures> {
    let one = |text: String| Failures(vec![text]);
    let Some(sandbox) = Sandbox::find(place, env!("CARGO_TARGET_TMPDIR"))? else { return Ok(()) };
    let driver = compile(&here().join("guest/hostile/execs.c"), &[], &[]).map_err(one)?;
    let corpus = corpus(place.name()).map_err(one)?;
    let native = run(native_command(&driver, true).arg(&corpus), LIMIT);
    let volume = |path: &Path, to: &str| ["-v".to_owned(), format!("{}:{to}:ro", path.display())];
    let volumes = [volume(&binary_directory(), "/abi"), volume(&corpus, "/corpus")].concat();
    let options = [volumes, vec!["-u".to_owned(), "1000".to_owned()]].concat();
    let guest = run(&mut sandbox.command(&options, &["/abi/execs".to_owned(), "/corpus".to_owned()]), LIMIT);
    let _ = fs::remove_dir_all(&corpus);
    let (wanted, found) = (lines(&native), lines(&guest));
    if native.code != Some(0) || wanted.len() != MUTATIONS + 2 {
        return Err(one(format!("natively {} results, {}", wanted.len(), native.summary())));
    }
    let mut failures = Vec::new();
    if guest.code != Some(0) || found.len() != wanted.len() {
        failures.push(format!("{} results, {}", found.len(), guest.summary()));
    }
    failures.extend(
        wanted
            .iter()
            .zip(&found)
            .filter(|(wanted, found)| wanted != found)
            .map(|(wanted, found)| format!("natively {wanted}; here {found}")),
    );
    Failures(failures).into_result()
}

fn lines(outcome: &Outcome) -> Vec<String> {
    String::from_utf8_lossy(&outcome.stdout).lines().map(str::to_owned).collect()
}

/// A directory with the two programs and their mutations, the number and the damage in the name.
fn corpus(place: &str) -> Result<PathBuf, String> {
    let directory = std::env::temp_dir().join(format!("elf-{place}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    let write = |name: &str, bytes: &[u8]| -> Result<(), String> {
        let path = directory.join(name);
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())
    };
    let tiny = compile(&here().join("guest/hostile/tiny.c"), &[], &["-nostdlib", "-ffreestanding"])?;
    let fixed = fs::read(tiny).map_err(|error| error.to_string())?;
    let dynamic = fs::read(dynamic(place)?).map_err(|error| error.to_string())?;
    write("000-fixed", &fixed)?;
    write("000-dynamic", &dynamic)?;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for number in 1..=MUTATIONS {
        let (what, original) = if number % 3 == 0 { ("dynamic", &dynamic) } else { ("fixed", &fixed) };
        let mut bytes = original.clone();
        let how = mutate(&mut bytes, number, &mut random);
        write(&format!("{number:03}-{what}-{how}"), &bytes)?;
    }
    Ok(directory)
}

/// A position-independent program with an interpreter.
fn dynamic(place: &str) -> Result<PathBuf, String> {
    let binary = binary_directory().join(format!("dynamic-{place}"));
    let source = binary.with_extension("c");
    fs::write(&source, "int main(void) { return 7; }\n").map_err(|error| error.to_string())?;
    let outcome = run(Command::new("cc").arg("-o").arg(&binary).arg(&source), Duration::from_secs(60));
    if outcome.code == Some(0) { Ok(binary) } else { Err(outcome.summary()) }
}

fn mutate(bytes: &mut Vec<u8>, number: usize, random: &mut Random) -> String {
    let segments = usize::from(u16::from_le_bytes([byte(bytes, 56), byte(bytes, 57)]));
    let end = HEADER + segments * PROGRAM_HEADER;
    match number % 8 {
        // Cut within the headers, or anywhere.
        0 => {
            let most = if random.below(2) == 0 { end + 8 } else { bytes.len() };
            let length = random.below(most);
            bytes.truncate(length);
            format!("cut-{length}")
        }
        // A bit of a header.
        1 | 2 => {
            let at = random.below(end);
            let bit = random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            format!("bit-{at}.{bit}")
        }
        // A field of the ELF header.
        3 => {
            let (at, length) = pick(&HEADER_FIELDS, random);
            set(bytes, at, length, random)
        }
        // A field of a segment.
        _ => {
            let (at, length) = pick(&SEGMENT_FIELDS, random);
            set(bytes, HEADER + random.below(segments.max(1)) * PROGRAM_HEADER + at, length, random)
        }
    }
}

fn set(bytes: &mut [u8], at: usize, length: usize, random: &mut Random) -> String {
    let value = pick(&VALUES, random);
    if let Some(field) = bytes.get_mut(at..at + length) {
        for (byte, new) in field.iter_mut().zip(value.to_le_bytes()) {
            *byte = new;
        }
    }
    format!("set-{at}-{value:x}")
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn pick<T: Copy + Default>(from: &[T], random: &mut Random) -> T {
    from.get(random.below(from.len())).copied().unwrap_or_default()
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % end.max(1)
    }
}
