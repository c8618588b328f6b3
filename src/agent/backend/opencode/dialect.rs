//! Which of its two protocols an opencode speaks: each major version has one of its own.

/// One of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// That of 1.x.
    #[default]
    One,
    /// That of 2.x.
    Two,
}

impl Dialect {
    /// The one that a version speaks; `None`: nobody here understands it.
    pub fn of(version: &str) -> Option<Self> {
        match version.split('.').next() {
            Some("1") => Some(Self::One),
            Some("2") => Some(Self::Two),
            _ => None,
        }
    }

    /// How a call says which directory it is about.
    pub fn directory_key(self) -> &'static str {
        match self {
            Self::One => "directory",
            Self::Two => "location[directory]",
        }
    }

    /// Where its stream of events is.
    pub fn events_path(self) -> &'static str {
        match self {
            Self::One => "/global/event",
            Self::Two => "/api/event",
        }
    }

    /// The version that has all that is asked for.
    pub fn needed(self) -> &'static str {
        match self {
            Self::One => "version 1.18 is needed",
            Self::Two => "version 2.0.17 or newer is needed",
        }
    }
}
