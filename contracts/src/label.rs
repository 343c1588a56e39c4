//! Labels: what people call a thing, in Chinese with English beside.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What people call a thing. Names in definitions are for machines; this is what a person is told.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// In Chinese.
    #[serde(default)]
    pub zh: String,
    /// In English.
    #[serde(default)]
    pub en: String,
}

impl Label {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.zh.is_empty() && self.en.is_empty()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.zh.is_empty(), self.en.is_empty()) {
            (false, false) => write!(formatter, "{} {}", self.zh, self.en),
            (true, _) => formatter.write_str(&self.en),
            (_, true) => formatter.write_str(&self.zh),
        }
    }
}
