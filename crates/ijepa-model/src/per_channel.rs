//! One number for each channel of images.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A number for each of up to 16 channels.
///
/// # Examples
///
/// ```
/// use ijepa_model::PerChannel;
///
/// let mean = PerChannel::from([0.5, 0.4]);
/// assert_eq!(*mean, [0.5, 0.4]);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct PerChannel {
    /// Zero beyond the channels there are.
    values: [f32; Self::MOST],
    channels: usize,
}

impl PerChannel {
    /// Most channels of an image.
    pub const MOST: usize = 16;

    /// The same number for each of `channels` channels; none if there are more than
    /// [`MOST`](Self::MOST).
    pub fn same(value: f32, channels: usize) -> Option<Self> {
        Self::new(&[value; Self::MOST][..channels.min(Self::MOST)])
            .filter(|_| channels <= Self::MOST)
    }

    /// A number each; none if there are more than [`MOST`](Self::MOST).
    pub fn new(numbers: &[f32]) -> Option<Self> {
        let mut values = [0.0; Self::MOST];
        let channels = numbers.len();
        values.get_mut(..channels)?.copy_from_slice(numbers);
        Some(Self { values, channels })
    }

    /// Those of red, green and blue.
    pub const fn rgb([red, green, blue]: [f32; 3]) -> Self {
        let mut values = [0.0; Self::MOST];
        (values[0], values[1], values[2]) = (red, green, blue);
        let channels = 3;
        Self { values, channels }
    }
}

impl<const N: usize> From<[f32; N]> for PerChannel {
    fn from(numbers: [f32; N]) -> Self {
        const { assert!(N <= Self::MOST, "more numbers than an image has channels") };
        Self::new(&numbers).expect("their number was checked")
    }
}

impl Deref for PerChannel {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.channels]
    }
}

impl fmt::Debug for PerChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for PerChannel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = Vec::<f32>::deserialize(deserializer)?;
        let expected = format!("at most {} numbers", Self::MOST);
        Self::new(&numbers).ok_or_else(|| D::Error::invalid_length(numbers.len(), &&*expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_as_a_list_of_bounded_length() {
        let two = PerChannel::from([0.5, -3.0]);
        let text = serde_json::to_string(&two).unwrap();
        assert_eq!(text, "[0.5,-3.0]");
        assert_eq!(serde_json::from_str::<PerChannel>(&text).unwrap(), two);
        assert_eq!(format!("{two:?}"), "[0.5, -3.0]");
        assert_eq!(PerChannel::rgb([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0].into());
        assert_eq!(PerChannel::same(1.0, 2), Some([1.0, 1.0].into()));
        assert_eq!(PerChannel::same(1.0, 17), None);
        let many = format!("[{}0]", "0,".repeat(16));
        let error = serde_json::from_str::<PerChannel>(&many).unwrap_err();
        assert!(error.to_string().contains("at most 16 numbers"), "{error}");
    }
}
