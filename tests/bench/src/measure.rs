//! Alternating rounds over places, and what they found.

use std::process::{Child, Command, Stdio};

use crate::{Result, place::Place};

/// What else the processors do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Idle,
    Busy,
}

/// One row: a value for every place and round, or why there is none.
pub(crate) struct Series {
    pub(crate) name: String,
    /// In the order of the places.
    pub(crate) places: Vec<std::result::Result<Vec<f64>, String>>,
}

/// Smallest, median and largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        Some(Spread {
            least: *values.first()?,
            median: *values.get(values.len() / 2)?,
            most: *values.last()?,
        })
    }
}

impl Series {
    /// The values of a place.
    pub(crate) fn value(&self, place: usize) -> Option<Spread> {
        Spread::of(self.places.get(place)?.clone().ok()?)
    }

    /// A place against native: how many times longer, or for throughputs (`GB/s`) how many times less.
    pub(crate) fn ratio(&self, place: usize) -> Option<Spread> {
        let native = self.places.first()?.as_ref().ok()?;
        let other = self.places.get(place)?.as_ref().ok()?;
        let more_is_better = self.name.ends_with("GB/s");
        Spread::of(
            native
                .iter()
                .zip(other)
                .map(|(native, other)| if more_is_better { native / other } else { other / native })
                .collect(),
        )
    }
}

/// Runs every place once a round, each round beginning with another one. A place that fails once is left out of the row.
pub(crate) fn alternate(
    places: &[Place],
    rounds: usize,
    name: &str,
    mut once: impl FnMut(&Place) -> Result<f64>,
) -> Series {
    let mut found: Vec<std::result::Result<Vec<f64>, String>> =
        places.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..rounds {
        for turn in 0..places.len() {
            let index = (round + turn) % places.len();
            if let (Some(place), Some(slot)) = (places.get(index), found.get_mut(index))
                && let Ok(values) = slot
            {
                match once(place) {
                    Ok(value) => values.push(value),
                    Err(reason) => *slot = Err(reason),
                }
            }
        }
    }
    Series { name: name.to_owned(), places: found }
}

/// One spinning process for each processor, as long as this lives.
pub(crate) struct Busy(Vec<Child>);

impl Busy {
    pub(crate) fn start() -> Result<Busy> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut busy = Busy(Vec::new());
        for _ in 0..processors {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            busy.0.push(command.spawn().map_err(|error| format!("sh: {error}"))?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It spins until it is killed; a failure means it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, native: &[f64], other: &[f64]) -> Series {
        Series { name: name.to_owned(), places: vec![Ok(native.to_vec()), Ok(other.to_vec())] }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let slow_second_round = series("stat", &[100.0, 200.0, 100.0], &[150.0, 300.0, 200.0]);
        assert_eq!(slow_second_round.ratio(1), Some(Spread { least: 1.5, median: 1.5, most: 2.0 }));
    }

    #[test]
    fn more_throughput_is_a_smaller_ratio() {
        assert_eq!(series("tcp GB/s", &[6.0], &[3.0]).ratio(1).map(|ratio| ratio.median), Some(2.0));
    }

    #[test]
    fn a_place_that_failed_has_no_ratio() {
        let mut found = series("stat", &[1.0], &[1.0]);
        found.places[1] = Err("no".to_owned());
        assert_eq!(found.ratio(1), None);
    }
}
