//! Text: a line for each row as it is found, and the tables of docs/performance.md.

use std::fmt::Write as _;

use crate::{
    Result,
    measure::{Load, Series, Spread},
    place::Place,
};

/// What the project wants of systrap at most, as a ratio to native on an idle machine.
const GOALS: [(&str, f64); 41] = [
    ("getppid", 1.5),
    ("getpid", 1.5),
    ("clock_gettime", 1.2),
    ("cpu-only loop", 1.02),
    ("fstat", 1.0),
    ("pread 1B", 2.0),
    ("pread 4K", 2.0),
    ("pwrite 4K", 1.0),
    ("stat", 0.8),
    ("stat /usr/bin/env", 0.8),
    ("open+close", 0.8),
    ("open+close /etc/passwd", 0.8),
    ("create+unlink", 0.3),
    ("pipe w+r same thread", 1.0),
    ("unix ping-pong", 1.5),
    ("tcp ping-pong", 1.5),
    ("mmap+munmap 4K", 2.0),
    ("first touch, a page", 1.15),
    ("mmap+touch+munmap 64K", 1.3),
    ("pthread create+join", 2.0),
    ("fork+exit+wait", 1.8),
    ("fork+exit+wait, 1 GB", 1.8),
    ("fork+exec+wait static", 1.8),
    ("fork+exec+wait /bin/true", 1.8),
    ("posix_spawn /bin/true", 1.8),
    ("tcp connect+accept+close", 1.0),
    ("tcp stream GB/s", 0.83),
    ("python-start", 1.2),
    ("python-script", 1.2),
    ("gcc", 1.2),
    ("make-j2", 1.2),
    ("git-status", 1.2),
    ("tar", 1.2),
    ("untar", 1.2),
    ("find", 1.2),
    ("node-start", 1.2),
    ("sqlite", 1.2),
    ("redis", 1.2),
    ("futex ping-pong", 1.5),
    ("udp ping-pong", 1.5),
    ("pipe ping-pong, processes", 1.5),
];

/// The goal of a row, if it has one.
pub(crate) fn goal(name: &str) -> Option<f64> {
    GOALS.iter().find(|(row, _)| *row == name).map(|(_, goal)| *goal)
}

/// Prints what was just found.
pub(crate) fn line(series: &Series, places: &[Place], load: Load) {
    let mut text = format!("{:<28}", series.name);
    for (index, place) in places.iter().enumerate() {
        match (series.places.get(index), series.value(index), series.ratio(index)) {
            (Some(Err(reason)), ..) => {
                let _ = write!(text, "  {}: {reason}", place.name);
            }
            (_, Some(value), _) if index == 0 => {
                let _ = write!(text, "  {} {}", place.name, amount(value.median));
            }
            (_, _, Some(ratio)) => {
                let _ = write!(text, "  {} {}", place.name, spread(ratio));
            }
            _ => {}
        }
    }
    let busy = if load == Load::Busy { " (busy)" } else { "" };
    println!("{text}{busy}");
}

/// All tables, in Markdown that is also readable as it stands.
pub(crate) fn markdown(passes: &[(Load, Vec<Series>)], whole: &[Series], places: &[Place]) -> String {
    let mut text = String::new();
    for (load, series) in passes {
        let title = match load {
            Load::Idle => {
                "Operations, the machine otherwise idle (native in ns; GB/s where the name says so)"
            }
            Load::Busy => "Operations, every processor kept busy by another program",
        };
        table(&mut text, title, series, places, *load == Load::Idle);
    }
    if !whole.is_empty() {
        table(&mut text, "Whole programs (native in ms)", whole, places, true);
    }
    text
}

fn table(text: &mut String, title: &str, series: &[Series], places: &[Place], goals: bool) {
    let _ = writeln!(text, "\n### {title}\n");
    let _ = write!(text, "| {:<26} | {:>10} |", "", "native");
    let mut rule = format!("|{}|{}:|", "-".repeat(28), "-".repeat(11));
    for place in places.iter().skip(1) {
        let _ = write!(text, " {:<22} |", place.name);
        rule += &format!("{}|", "-".repeat(24));
    }
    if goals {
        *text += " goal |";
        rule += "-----:|";
    }
    let _ = writeln!(text, "\n{rule}");
    for row in series {
        let native = row.value(0).map_or("failed".to_owned(), |value| amount(value.median));
        let _ = write!(text, "| {:<26} | {native:>10} |", row.name);
        for index in 1..places.len() {
            let cell = row.ratio(index).map_or("failed".to_owned(), spread);
            let _ = write!(text, " {cell:<22} |");
        }
        if goals {
            let _ = write!(text, " {:>4} |", goal(&row.name).map_or(String::new(), |goal| goal.to_string()));
        }
        text.push('\n');
    }
}

/// `1.25× (1.20–1.31)`.
fn spread(ratio: Spread) -> String {
    format!("{}× ({}–{})", short(ratio.median), short(ratio.least), short(ratio.most))
}

fn short(value: f64) -> String {
    if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") }
}

fn amount(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

const BEGIN: &str = "<!-- tables: written by `bench --write` -->";
const END: &str = "<!-- end of tables -->";

/// The page with its tables replaced.
///
/// # Errors
/// The page lacks the two comments that the tables stand between.
pub(crate) fn replace_tables(page: &str, tables: &str) -> Result<String> {
    let missing = || format!("docs/performance.md has no {BEGIN:?} … {END:?}");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_replaced_between_their_comments() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replace_tables(&page, "new"), Ok(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert!(replace_tables("no comments", "new").is_err());
    }
}
