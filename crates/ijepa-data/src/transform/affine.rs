//! Images turned, sheared and moved, with the arithmetic of Pillow.

use crate::image::RgbImage8;
use crate::resize::Filter;

/// Moves every pixel by an affine map, keeping the image's size.
///
/// Pillow's `image.transform(image.size, AFFINE, matrix, filter, fillcolor=fill)`: the map
/// `[a, b, c, d, e, f]` goes from the output to the input, so the pixel with its centre at
/// `(x, y)` shows the input at `(a x + b y + c, d x + e y + f)`, or `fill` outside the image.
/// Unlike a resize, the kernel never widens, the cubic one has a = -1, and fractions are cut off.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Filter, RgbImage8, affine};
///
/// let image = RgbImage8::new(2, 1, vec![10, 20, 30, 40, 50, 60])?;
/// let moved = affine(&image, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0], Filter::Bicubic, [7, 8, 9]);
/// assert_eq!(moved.pixels(), [40, 50, 60, 7, 8, 9]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
pub fn affine(image: &RgbImage8, matrix: [f64; 6], filter: Filter, fill: [u8; 3]) -> RgbImage8 {
    let [a, b, c, d, e, f] = matrix;
    let (width, height) = (image.width(), image.height());
    let mut output = image.clone();
    let pixels = output.pixels_mut().as_chunks_mut::<3>().0;
    for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            let (from_x, from_y) = (a * x + b * y + c, d * x + e * y + f);
            let inside =
                (0.0..width as f64).contains(&from_x) && (0.0..height as f64).contains(&from_y);
            *pixel = match (inside, filter) {
                (false, _) => fill,
                (true, Filter::Bilinear) => interpolate(image, from_x, from_y, 0, linear),
                (true, Filter::Bicubic) => interpolate(image, from_x, from_y, 1, cubic),
            };
        }
    }
    output
}

/// Turns an image counter-clockwise about its centre, keeping its size.
///
/// Pillow's `image.rotate(degrees, filter, fillcolor=fill)`.
pub fn rotate(image: &RgbImage8, degrees: f64, filter: Filter, fill: [u8; 3]) -> RgbImage8 {
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let (cos, sin) = (fifteen_digits(angle.cos()), fifteen_digits(angle.sin()));
    let (x, y) = (image.width() as f64 / 2.0, image.height() as f64 / 2.0);
    let c = cos * -x + sin * -y + x;
    let f = -sin * -x + cos * -y + y;
    affine(image, [cos, sin, c, -sin, cos, f], filter, fill)
}

/// Python's `round(value, 15)`, which makes right angles exact.
fn fifteen_digits(value: f64) -> f64 {
    format!("{value:.15}")
        .parse()
        .expect("a number was written")
}

/// Interpolates `N` rows of `N` pixels, `before` of them left of and above the point's own;
/// pixels beyond the edge are those at the edge.
fn interpolate<const N: usize>(
    image: &RgbImage8,
    x: f64,
    y: f64,
    before: isize,
    kernel: fn([f64; N], f64) -> f64,
) -> [u8; 3] {
    let (x, y) = (x - 0.5, y - 0.5);
    let (dx, dy) = (x - x.floor(), y - y.floor());
    let neighbours = |start: f64, side: usize| -> [usize; N] {
        let first = start.floor() as isize - before;
        std::array::from_fn(|i| (first + i as isize).clamp(0, side as isize - 1) as usize)
    };
    let columns = neighbours(x, image.width());
    let rows = neighbours(y, image.height());
    std::array::from_fn(|channel| {
        let value = |row: usize, column: usize| {
            f64::from(image.pixels()[(row * image.width() + column) * 3 + channel])
        };
        let along_x = rows.map(|row| kernel(columns.map(|column| value(row, column)), dx));
        kernel(along_x, dy) as u8
    })
}

fn linear([v1, v2]: [f64; 2], d: f64) -> f64 {
    v1 + (v2 - v1) * d
}

/// The cubic through `v2` (at 0) and `v3` (at 1) for a = -1.
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}
