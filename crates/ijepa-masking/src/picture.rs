//! RGB pixels and the little that masks and maps need to be drawn.

/// RGB pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbPicture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width * height * 3` bytes.
    pub pixels: Vec<u8>,
}

impl RgbPicture {
    /// Pixels between the panels of a [`sheet`](Self::sheet) and around them.
    pub const GAP: usize = 8;
    /// Colour of patches that are not shown.
    pub const HIDDEN: [u8; 3] = [225, 225, 228];

    /// Rows of panels with white gaps; columns are as wide as their widest panel, rows as high as
    /// their highest.
    pub fn sheet(rows: &[Vec<Self>]) -> Self {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let panels = rows.iter().filter_map(|row| row.get(column));
            panels.map(|panel| panel.width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let highest = |row: &Vec<Self>| row.iter().map(|panel| panel.height).max().unwrap_or(0);
        let heights: Vec<usize> = rows.iter().map(highest).collect();
        let along =
            |sizes: &[usize]| Self::GAP + sizes.iter().map(|size| size + Self::GAP).sum::<usize>();
        let mut sheet = Self::white(along(&widths), along(&heights));
        let mut y = Self::GAP;
        for (row, height) in rows.iter().zip(&heights) {
            let mut x = Self::GAP;
            for (panel, width) in row.iter().zip(&widths) {
                sheet.paste([x, y], panel);
                x += width + Self::GAP;
            }
            y += height + Self::GAP;
        }
        sheet
    }

    /// A white picture.
    pub fn white(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![255; width * height * 3],
        }
    }

    /// The red, green and blue of one pixel.
    ///
    /// # Panics
    ///
    /// Panics if the pixel is outside the picture.
    pub fn pixel(&self, [x, y]: [usize; 2]) -> [u8; 3] {
        assert!(
            x < self.width && y < self.height,
            "pixel ({x}, {y}) is outside the picture"
        );
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Colours the rectangle of `[width, height]` pixels whose upper left corner is `[x, y]`.
    ///
    /// # Panics
    ///
    /// Panics if it is not inside the picture.
    pub fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], color: [u8; 3]) {
        assert!(x + width <= self.width, "the rectangle is too wide");
        for row in y..y + height {
            let start = (row * self.width + x) * 3;
            for pixel in self.pixels[start..start + width * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&color);
            }
        }
    }

    /// Outlines the rectangle of `[width, height]` pixels whose upper left corner is `[x, y]`,
    /// inside it, by `line` pixels.
    ///
    /// # Panics
    ///
    /// Panics if it is not inside the picture.
    pub fn outline(
        &mut self,
        [x, y]: [usize; 2],
        [width, height]: [usize; 2],
        line: usize,
        color: [u8; 3],
    ) {
        let line = line.min(width).min(height);
        for y in [y, y + height - line] {
            self.fill([x, y], [width, line], color);
        }
        for x in [x, x + width - line] {
            self.fill([x, y], [line, height], color);
        }
    }

    /// Copies `other` to where its upper left corner is `[x, y]`.
    ///
    /// # Panics
    ///
    /// Panics if it is not inside the picture.
    pub fn paste(&mut self, [x, y]: [usize; 2], other: &Self) {
        assert!(x + other.width <= self.width, "the picture is too wide");
        if other.width == 0 {
            return;
        }
        for (row, pixels) in other.pixels.chunks_exact(other.width * 3).enumerate() {
            let start = ((y + row) * self.width + x) * 3;
            self.pixels[start..start + pixels.len()].copy_from_slice(pixels);
        }
    }

    /// The same picture at another size, each pixel a copy of the nearest one.
    ///
    /// # Panics
    ///
    /// Panics if the picture has no pixels.
    #[must_use]
    pub fn scaled(&self, [width, height]: [usize; 2]) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            let row = y * self.height / height;
            for x in 0..width {
                pixels.extend(self.pixel([x * self.width / width, row]));
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_and_pictures_land_where_they_should() {
        let mut small = RgbPicture::white(2, 2);
        small.fill([1, 0], [1, 2], [9, 8, 7]);
        let mut large = RgbPicture::white(8, 6);
        large.paste([3, 1], &small.scaled([4, 4]));
        for y in 0..6 {
            for x in 0..8 {
                let inside = (5..7).contains(&x) && (1..5).contains(&y);
                let expected = if inside { [9, 8, 7] } else { [255; 3] };
                assert_eq!(large.pixel([x, y]), expected, "{x} {y}");
            }
        }
    }

    #[test]
    fn every_pixel_of_another_size_is_a_copy_of_the_nearest() {
        let mut picture = RgbPicture::white(3, 2);
        for (x, y) in (0..3).flat_map(|x| (0..2).map(move |y| (x, y))) {
            picture.fill([x, y], [1, 1], [x as u8, y as u8, 9]);
        }
        let cases: [(&[u8], &[u8]); 2] =
            [(&[0, 0, 0, 1, 1, 2, 2], &[0, 0, 0, 1, 1]), (&[0, 1], &[0])];
        for (columns, rows) in cases {
            let scaled = picture.scaled([columns.len(), rows.len()]);
            assert_eq!([scaled.width, scaled.height], [columns.len(), rows.len()]);
            for (y, &row) in rows.iter().enumerate() {
                for (x, &column) in columns.iter().enumerate() {
                    assert_eq!(scaled.pixel([x, y]), [column, row, 9], "{x} {y}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the rectangle is too wide")]
    fn nothing_is_drawn_into_the_next_row() {
        RgbPicture::white(4, 4).fill([3, 0], [2, 1], [0; 3]);
    }

    #[test]
    fn a_panel_without_pixels_leaves_its_place_white() {
        let rows = [vec![RgbPicture::white(0, 4), RgbPicture::white(3, 4)]];
        let sheet = RgbPicture::sheet(&rows);
        assert_eq!(
            [sheet.width, sheet.height],
            [3 * RgbPicture::GAP + 3, 2 * RgbPicture::GAP + 4]
        );
    }

    #[test]
    fn sheets_align_rows_and_columns() {
        const GREEN: [u8; 3] = [0, 200, 90];
        const BLUE: [u8; 3] = [70, 180, 255];
        let panel = |width, height, color| {
            let mut panel = RgbPicture::white(width, height);
            panel.fill([0, 0], [width, height], color);
            panel
        };
        let rows = [
            vec![panel(10, 20, GREEN), panel(30, 20, BLUE)],
            vec![panel(10, 5, BLUE)],
        ];
        let sheet = RgbPicture::sheet(&rows);
        assert_eq!(
            [sheet.width, sheet.height],
            [3 * RgbPicture::GAP + 40, 3 * RgbPicture::GAP + 25]
        );
        assert_eq!(sheet.pixel([RgbPicture::GAP, RgbPicture::GAP]), GREEN);
        assert_eq!(
            sheet.pixel([2 * RgbPicture::GAP + 10, RgbPicture::GAP]),
            BLUE
        );
        assert_eq!(
            sheet.pixel([RgbPicture::GAP, 2 * RgbPicture::GAP + 20]),
            BLUE
        );
        assert_eq!(
            sheet.pixel([2 * RgbPicture::GAP + 10, 2 * RgbPicture::GAP + 20]),
            [255; 3]
        );
    }
}
