//! Pixels inside a page.

use base64::{Engine, prelude::BASE64_STANDARD};
use ijepa_masking::RgbPicture;

use crate::png;

/// `picture` as the address of an image.
pub(crate) fn data_uri(picture: &RgbPicture) -> String {
    format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(png(picture))
    )
}
