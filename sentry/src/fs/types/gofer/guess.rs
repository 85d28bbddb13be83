//! Whether a file will be opened after it was looked up. Programs that go through many files (tar, cp, interpreters looking for
//! modules) do with the next one what they did with the last: then the gofer is asked for both at once.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use gofer_proto::NodeId;

/// How sure one gets.
const MAX: u8 = 8;
/// How many more of the last files were opened than not, for the next one to be opened ahead.
const ENOUGH: u8 = 4;

/// What became of the files that were looked up last. Threads that disturb each other make it a worse guess, no more.
#[derive(Default)]
pub(super) struct Guess {
    /// The last one; 0 is none.
    last: AtomicU64,
    opened: AtomicBool,
    score: AtomicU8,
}

impl Guess {
    /// Whether the next one will be opened.
    pub(super) fn will_open(&self) -> bool {
        self.score.load(Ordering::Relaxed) >= ENOUGH
    }

    /// A regular file was looked up.
    pub(super) fn looked_up(&self, node: NodeId) {
        let score = self.score.load(Ordering::Relaxed);
        let score = if self.opened.swap(false, Ordering::Relaxed) {
            score.saturating_add(1).min(MAX)
        } else {
            score.saturating_sub(1)
        };
        self.score.store(score, Ordering::Relaxed);
        self.last.store(node.0, Ordering::Relaxed);
    }

    /// A file is opened for reading.
    pub(super) fn opened(&self, node: NodeId) {
        if self.last.load(Ordering::Relaxed) == node.0 {
            self.opened.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_goes_on_opening() {
        let guess = Guess::default();
        assert!(!guess.will_open());
        for node in 1..=20 {
            guess.looked_up(NodeId(node));
            guess.opened(NodeId(node));
            assert_eq!(guess.will_open(), node > 4, "{node}");
        }
        // One that is not opened is forgiven, many are not.
        guess.looked_up(NodeId(30));
        guess.looked_up(NodeId(31));
        assert!(guess.will_open());
        (32..50).for_each(|node| guess.looked_up(NodeId(node)));
        assert!(!guess.will_open());
        // What others open says nothing.
        (1..20).for_each(|node| guess.opened(NodeId(node)));
        guess.looked_up(NodeId(50));
        assert!(!guess.will_open());
    }
}
