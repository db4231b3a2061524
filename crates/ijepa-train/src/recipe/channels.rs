//! What a recipe says about the channels of images.

use ijepa_data::MAX_CHANNELS;
use ijepa_model::{Normalization, PerChannel};

use super::{
    DataSettings, RecipeError,
    rules::{POSITIVE, ensure, within},
};

/// Numbers that are finite as f32, and whose quotients are.
const LARGEST: f64 = 1e15;
const SMALLEST: f64 = 1e-15;

impl DataSettings {
    /// How pixels become numbers.
    ///
    /// # Panics
    ///
    /// Panics if there are more numbers than an image can have channels, which no valid recipe has.
    pub fn normalization(&self) -> Normalization {
        let numbers = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            PerChannel::new(&values).expect("a valid recipe has a number for each channel")
        };
        Normalization {
            mean: numbers(&self.mean),
            std: numbers(&self.std),
        }
    }

    /// The channel that a band is, by its name or, where bands have none, its number.
    pub fn band(&self, name: &str) -> Option<usize> {
        let number = || name.parse().ok().filter(|&number| number < self.channels);
        match self.bands.is_empty() {
            true => number(),
            false => self.bands.iter().position(|band| band == name),
        }
    }

    /// Channels that pictures show as red, green and blue, if `picture` says it.
    pub fn picture_channels(&self) -> Option<[usize; 3]> {
        let channels = self.picture.iter().map(|name| self.band(name));
        match channels.collect::<Option<Vec<usize>>>()?[..] {
            [grey] => Some([grey; 3]),
            [red, green, blue] => Some([red, green, blue]),
            _ => None,
        }
    }

    /// Checks that everything fits the number of channels.
    pub(super) fn validate_channels(&self) -> Result<(), RecipeError> {
        let channels = self.channels;
        let range = 1.0..=MAX_CHANNELS as f64;
        within("data.channels", channels as f64, range, "1 to 16")?;
        for (key, found) in [("data.mean", &self.mean), ("data.std", &self.std)] {
            let found = found.len();
            ensure(found == channels, || RecipeError::PerChannel {
                key,
                found,
                channels,
            })?;
        }
        let is_float = self.channel_decoding().is_float();
        ensure(!is_float || self.color_jitter == 0.0, || {
            RecipeError::NoColors {
                color_jitter: self.color_jitter,
            }
        })?;
        self.validate_statistics(is_float)?;
        self.validate_bands()
    }

    /// Bytes have a range, floats have none.
    fn validate_statistics(&self, is_float: bool) -> Result<(), RecipeError> {
        let (means, mean_words) = match is_float {
            true => (-LARGEST..=LARGEST, "a finite number"),
            false => (0.0..=1.0, "0 to 1"),
        };
        let (stds, std_words) = match is_float {
            true => (SMALLEST..=LARGEST, POSITIVE),
            false => (0.001..=1.0, "0.001 to 1"),
        };
        for &mean in &self.mean {
            within("data.mean", mean, means.clone(), mean_words)?;
        }
        for &std in &self.std {
            within("data.std", std, stds.clone(), std_words)?;
        }
        Ok(())
    }

    fn validate_bands(&self) -> Result<(), RecipeError> {
        let (bands, channels) = (&self.bands, self.channels);
        let is_new = |(at, band): (usize, &String)| !bands[..at].contains(band);
        let all_named = bands.len() == channels && bands.iter().enumerate().all(is_new);
        ensure(bands.is_empty() || all_named, || RecipeError::Bands {
            found: bands.join(", "),
            channels,
        })?;
        let is_shown = self.picture.is_empty() || self.picture_channels().is_some();
        ensure(is_shown, || RecipeError::Picture {
            found: self.picture.join(", "),
            bands: match bands.is_empty() {
                true => format!("0 to {}", channels - 1),
                false => bands.join(", "),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;

    fn changed(changes: &[&str]) -> Recipe {
        Recipe::default().with_overrides(changes).unwrap()
    }

    const TWO: [&str; 3] = [
        "data.channels=2",
        "data.mean=[800, -3]",
        "data.std=[20.5, 1e-6]",
    ];

    #[test]
    fn channels_need_a_number_each() {
        changed(&TWO).validate().unwrap();
        let model = changed(&TWO).model_config().unwrap();
        assert_eq!(model.encoder.in_chans, 2);
        for (change, expected) in [
            ("data.channels=0", "`data.channels` is 0, expected 1 to 16"),
            (
                "data.channels=17",
                "`data.channels` is 17, expected 1 to 16",
            ),
            (
                "data.channels=5",
                "`data.mean` has 3 numbers, expected 5, one for each of `data.channels`; `ijepa data \
                 stats --channels 5` prints them",
            ),
            ("data.mean=[2, 0, 0]", "`data.mean` is 2, expected 0 to 1"),
        ] {
            let error = changed(&[change]).validate().unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        for (change, expected) in [
            ("data.std=[1, 0]", "`data.std` is 0, expected more than 0"),
            (
                "data.mean=[1, inf]",
                "`data.mean` is inf, expected a finite number",
            ),
            (
                "data.color_jitter=0.5",
                "`data.color_jitter` is 0.5, expected 0 where images are no bytes of red, green and \
                 blue (`data.channels`, `data.sixteen_bit`)",
            ),
        ] {
            let error = changed(&[TWO.as_slice(), &[change]].concat()).validate();
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
        let kept = ["data.sixteen_bit=keep", "data.mean=[2, 0, 0]"];
        changed(&kept).validate().unwrap();
    }

    #[test]
    fn pictures_show_bands_by_name_or_number() {
        let shown = |changes: &[&str]| {
            let data = changed(&[TWO.as_slice(), changes].concat());
            data.validate().map(|()| data.data.picture_channels())
        };
        let named = "data.bands=[\"nir\", \"red\"]";
        assert_eq!(shown(&[]).unwrap(), None);
        assert_eq!(shown(&["data.picture=[\"1\"]"]).unwrap(), Some([1; 3]));
        let three = "data.picture=[\"red\", \"nir\", \"red\"]";
        assert_eq!(shown(&[named, three]).unwrap(), Some([1, 0, 1]));
        for (changes, expected) in [
            (
                &["data.picture=[\"2\"]"][..],
                "`data.picture` is [2], expected one or three of the bands: 0 to 1",
            ),
            (
                &[named, "data.picture=[\"red\", \"nir\"]"],
                "`data.picture` is [red, nir], expected one or three of the bands: nir, red",
            ),
            (
                &["data.bands=[\"a\", \"a\"]"],
                "`data.bands` is [a, a], expected 2 different names, one for each of `data.channels`",
            ),
        ] {
            assert_eq!(shown(changes).unwrap_err().to_string(), expected);
        }
    }
}
