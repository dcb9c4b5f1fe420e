//! The tabs and the kinds of rows that they show, one file each.

pub(crate) mod backends;
pub(crate) mod databases;
pub(crate) mod events;
pub(crate) mod rejects;
pub(crate) mod sessions;

pub(crate) use crate::cli::Tab;

use super::row::{Head, heads};

impl Tab {
    /// All, in the order of their keys.
    pub(crate) const ALL: [Self; 5] = [
        Self::Sessions,
        Self::Databases,
        Self::Backends,
        Self::Rejects,
        Self::Events,
    ];

    /// Its name on the screen.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Sessions => "Sessions",
            Self::Databases => "Databases",
            Self::Backends => "Backends",
            Self::Rejects => "Rejects",
            Self::Events => "Events",
        }
    }

    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Databases => "databases",
            Self::Backends => "backends",
            Self::Rejects => "rejects",
            Self::Events => "events",
        }
    }

    /// Its place among all.
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// The tab `steps` to the right, round the corner.
    pub(crate) fn beside(self, steps: usize) -> Self {
        let at = (self.number() + steps) % Self::ALL.len();
        Self::ALL.get(at).copied().unwrap_or_default()
    }

    /// Its columns.
    pub(crate) fn heads(self) -> Vec<Head> {
        match self {
            Self::Sessions => heads::<sessions::Session>(),
            Self::Databases => heads::<databases::Database>(),
            Self::Backends => heads::<backends::Backend>(),
            Self::Rejects => heads::<rejects::Reject>(),
            Self::Events => heads::<events::Event>(),
        }
    }

    /// The column that it is sorted by at first.
    pub(crate) fn first_sort(self) -> &'static str {
        match self {
            Self::Sessions | Self::Databases | Self::Backends => "out",
            Self::Rejects | Self::Events => "time",
        }
    }
}
