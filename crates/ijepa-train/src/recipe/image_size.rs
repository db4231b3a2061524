//! The size of training images.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
    ser::SerializeTuple,
};

/// Height and width of the training images in pixels.
///
/// Recipes spell it as one integer when the image is square and as `[height, width]` otherwise;
/// both forms are read for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Pixel rows.
    pub height: usize,
    /// Pixel columns.
    pub width: usize,
}

impl ImageSize {
    /// A square image.
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    /// Whether both sides are equal.
    const fn is_square(self) -> bool {
        self.height == self.width
    }
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_square() {
            return self.height.serialize(serializer);
        }
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.height)?;
        pair.serialize_element(&self.width)?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for ImageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ImageSizeVisitor)
    }
}

struct ImageSizeVisitor;

impl<'de> Visitor<'de> for ImageSizeVisitor {
    type Value = ImageSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or [height, width]")
    }

    fn visit_u64<E: Error>(self, side: u64) -> Result<ImageSize, E> {
        usize::try_from(side)
            .map(ImageSize::square)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(side), &self))
    }

    fn visit_i64<E: Error>(self, side: i64) -> Result<ImageSize, E> {
        usize::try_from(side)
            .map(ImageSize::square)
            .map_err(|_| E::invalid_value(Unexpected::Signed(side), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<ImageSize, A::Error> {
        let mut side = |position| {
            sides
                .next_element::<usize>()?
                .ok_or_else(|| A::Error::invalid_length(position, &self))
        };
        let (height, width) = (side(0)?, side(1)?);
        if sides.next_element::<usize>()?.is_some() {
            return Err(A::Error::invalid_length(3, &self));
        }
        Ok(ImageSize { height, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ImageSize, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_square_is_one_number_and_a_rectangle_two() {
        let rectangle = ImageSize {
            height: 192,
            width: 224,
        };
        assert_eq!(read("224"), Ok(ImageSize::square(224)));
        assert_eq!(read("[224, 224]"), Ok(ImageSize::square(224)));
        assert_eq!(read("[192, 224]"), Ok(rectangle));
        assert_eq!(serde_json::to_string(&rectangle).unwrap(), "[192,224]");
        assert_eq!(serde_json::to_string(&ImageSize::square(32)).unwrap(), "32");
    }

    #[test]
    fn other_values_say_what_is_expected() {
        for (json, found) in [
            ("-1", "invalid value: integer `-1`"),
            ("[1]", "invalid length 1"),
            ("[1, 2, 3]", "invalid length 3"),
            ("\"big\"", "invalid type: string \"big\""),
        ] {
            let message = read(json).unwrap_err();
            let expected = format!("{found}, expected a whole number or [height, width]");
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}
