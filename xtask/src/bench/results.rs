//! The results of a run: figures of each subject, and with which programs they were measured; as JSON.

use serde::{Deserialize, Serialize};

/// A figure of several samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The value of the sample in the middle, which is what is compared.
    pub median: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Figure {
    /// A figure that was measured once.
    #[must_use]
    pub const fn exact(value: u64) -> Self {
        Self { median: value, min: value, max: value }
    }
}
