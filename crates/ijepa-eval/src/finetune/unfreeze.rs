//! How much of an encoder is trained.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Trainable blocks of an encoder; norm and head always are.
///
/// Recipes spell it `"all"` or as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unfreeze {
    /// The whole encoder, its patch embedding included.
    #[default]
    All,
    /// This many blocks, counted from the end.
    Last(usize),
}

/// What is written for [`Unfreeze::All`].
const ALL: &str = "all";

impl Unfreeze {
    /// Blocks of `depth` that are not trained; none if the patch embedding is trained, too.
    pub(crate) fn frozen(self, depth: usize) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Last(blocks) => Some(depth.saturating_sub(blocks)),
        }
    }
}

impl fmt::Display for Unfreeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Last(blocks) => blocks.fmt(f),
        }
    }
}

impl FromStr for Unfreeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == ALL => Ok(Self::All),
            Ok(blocks) => Ok(Self::Last(blocks)),
            Err(_) => Err("expected all or a whole number of blocks".to_owned()),
        }
    }
}

impl Serialize for Unfreeze {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str(ALL),
            Self::Last(blocks) => blocks.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Unfreeze {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Blocks(usize),
            Word(String),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Blocks(blocks) => Ok(Self::Last(blocks)),
            Spelling::Word(word) if word == ALL => Ok(Self::All),
            Spelling::Word(word) => Err(D::Error::custom(word)),
        }
    }
}
