//! Several random views of one image.

use super::{Augment, Transform};
use crate::decode::MAX_PIXELS;
use crate::error::DataError;
use crate::image::{Image, RgbImage8};
use crate::rng::SampleRng;
use crate::view::View;

/// Large and small random views of an image, as DINO and LeJEPA learn from (Caron et al. 2021,
/// §3.1).
///
/// All views of an image are one result: their pixels one after the other, large ones first, as an
/// image of one column.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Augment, MultiCrop, Transform};
///
/// let global = Augment { size: [24, 24], ..Augment::default() };
/// let local = Augment { size: [12, 12], crop_scale: [0.05, 0.3], ..Augment::default() };
/// let views = MultiCrop { global, globals: 2, local, locals: 6 };
/// assert_eq!(views.size(), [2 * 24 * 24 + 6 * 12 * 12, 1]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiCrop {
    /// How a large view is made.
    pub global: Augment,
    /// Large views.
    pub globals: usize,
    /// How a small view is made.
    pub local: Augment,
    /// Small views.
    pub locals: usize,
}

impl MultiCrop {
    /// Pixels of all views of an image.
    fn pixels(&self) -> usize {
        let of = |augment: &Augment| augment.size.iter().product::<usize>();
        self.globals * of(&self.global) + self.locals * of(&self.local)
    }
}

impl Transform for MultiCrop {
    fn size(&self) -> [usize; 2] {
        [self.pixels(), 1]
    }

    fn validate(&self) -> Result<(), DataError> {
        if (self.globals, self.locals) == (0, 0) {
            return Err(DataError::bad_value("views", "0", "at least 1 of an image"));
        }
        self.global.validate()?;
        self.local.validate()?;
        let of = |augment: &Augment| augment.size.map(|side| side as u64).iter().product::<u64>();
        let [globals, locals] = [(self.globals, &self.global), (self.locals, &self.local)]
            .map(|(views, augment)| (views as u64).saturating_mul(of(augment)));
        let pixels = globals.saturating_add(locals);
        let expected = "at most 178956970 pixels of all together";
        match pixels > MAX_PIXELS {
            true => {
                let found = format!("{pixels} pixels");
                Err(DataError::bad_value("views", &found, expected))
            }
            false => Ok(()),
        }
    }

    /// All of the image: every view chooses its own part of it.
    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        Ok(View::whole(width, height))
    }

    fn change(&self, shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        let shown = shown.as_rgb8()?;
        let mut bytes = Vec::with_capacity(3 * self.pixels());
        let globals = std::iter::repeat_n(&self.global, self.globals);
        let locals = std::iter::repeat_n(&self.local, self.locals);
        for augment in globals.chain(locals) {
            bytes.extend_from_slice(augment.apply(shown, rng)?.pixels());
        }
        Ok(RgbImage8::new(1, self.pixels(), bytes)?.into())
    }

    fn needs_colors(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_at_least_one_view() {
        let of = |globals, locals| MultiCrop {
            global: Augment::default(),
            globals,
            local: Augment::default(),
            locals,
        };
        assert!(of(1, 0).validate().is_ok() && of(0, 1).validate().is_ok());
        let message = of(usize::MAX, usize::MAX).validate().unwrap_err();
        assert!(
            message.to_string().ends_with("pixels of all together"),
            "{message}"
        );
        assert_eq!(
            of(0, 0).validate().unwrap_err().to_string(),
            "bad value `0` for `views`, expected at least 1 of an image"
        );
    }
}
