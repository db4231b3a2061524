//! Choices that are written as words.

/// Reads and writes each `$value` of `$type` as its word.
macro_rules! words {
    ($type:ident, $what:literal, $expected:literal, $($word:literal => $value:ident),+) => {
        impl std::str::FromStr for $type {
            type Err = crate::error::DataError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(crate::error::DataError::UnknownValue {
                        what: $what,
                        found: text.to_owned(),
                        expected: $expected,
                    }),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$value => $word,)+
                })
            }
        }
    };
}

pub(crate) use words;
