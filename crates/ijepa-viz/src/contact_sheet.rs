//! Images beside each other.

use ijepa_masking::RgbPicture;

use crate::frame::GREEN;

/// Pixels of the frame around the first picture.
const FRAME: usize = 4;

/// `first` in a green frame, and below it `others` in rows of `columns`.
///
/// # Panics
///
/// Panics if `columns` is 0.
///
/// ```
/// use ijepa_masking::RgbPicture;
///
/// let picture = RgbPicture::white(32, 32);
/// let sheet = ijepa_viz::contact_sheet(&picture, &vec![picture.clone(); 3], 2);
/// assert_eq!((sheet.width, sheet.height), (3 * 8 + 2 * 32, 4 * 8 + 3 * 32));
/// ```
pub fn contact_sheet(first: &RgbPicture, others: &[RgbPicture], columns: usize) -> RgbPicture {
    let mut framed = first.clone();
    let [width, height] = [framed.width, framed.height];
    framed.outline([0, 0], [width, height], FRAME, GREEN);
    let rows = others.chunks(columns).map(<[_]>::to_vec);
    let rows: Vec<Vec<RgbPicture>> = [vec![framed]].into_iter().chain(rows).collect();
    RgbPicture::sheet(&rows)
}
