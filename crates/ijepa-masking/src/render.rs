//! Pictures of masks, as text and as RGB pixels.

use std::fmt::Write;

use crate::{MaskGroup, MaskReport, PatchIndices, RgbPicture};

type Rgb = [u8; 3];

const CONTEXT: Rgb = [58, 63, 74];
/// Colours of the targets, told apart also by readers with colour-blindness (Okabe and Ito 2008).
const TARGETS: [Rgb; 6] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [213, 94, 0],
];

impl MaskGroup {
    /// One image as text: `c` context, digits targets, `*` several targets, `#` context and
    /// target, `.` neither.
    ///
    /// # Panics
    ///
    /// Panics if there is no such image.
    pub fn to_text(&self, image: usize) -> String {
        let mut cells = vec!['.'; self.grid.num_patches()];
        for (number, target) in self.targets.iter().enumerate() {
            let digit = char::from_digit(number as u32 % 10, 10).unwrap_or('*');
            for &patch in target.row(image) {
                let cell = &mut cells[patch as usize];
                *cell = if *cell == '.' { digit } else { '*' };
            }
        }
        for &patch in self.contexts.iter().flat_map(|context| context.row(image)) {
            let cell = &mut cells[patch as usize];
            *cell = if matches!(*cell, '.' | 'c') { 'c' } else { '#' };
        }
        let mut text = String::new();
        for row in cells.chunks(self.grid.cols()) {
            let row: Vec<String> = row.iter().map(char::to_string).collect();
            let _ = writeln!(text, "{}", row.join(" "));
        }
        text
    }

    /// The first `images` images side by side, `cell` pixels a patch: one row of panels with the
    /// context, then one row for each target.
    ///
    /// # Panics
    ///
    /// Panics if the group has fewer images or `cell` is zero.
    pub fn to_rgb(&self, images: usize, cell: usize) -> RgbPicture {
        assert!(cell > 0, "a patch needs at least one pixel");
        let [rows, cols] = [self.grid.rows(), self.grid.cols()];
        let masks: Vec<_> = self
            .contexts
            .iter()
            .map(|mask| (mask, CONTEXT))
            .chain(self.targets.iter().zip(TARGETS.iter().copied().cycle()))
            .collect();
        let panel = |mask: &PatchIndices, color, image| {
            let mut panel = RgbPicture::white(cols * cell, rows * cell);
            for patch in 0..self.grid.num_patches() {
                let inside = mask.row(image).contains(&(patch as u32));
                let corner = [patch % cols * cell, patch / cols * cell];
                // A one-pixel grid line keeps patches countable.
                let side = cell.max(2) - 1;
                panel.fill(
                    corner,
                    [side; 2],
                    if inside { color } else { RgbPicture::HIDDEN },
                );
            }
            panel
        };
        let row = |(mask, color)| (0..images).map(|image| panel(mask, color, image)).collect();
        let rows: Vec<Vec<RgbPicture>> = masks.into_iter().map(row).collect();
        RgbPicture::sheet(&rows)
    }
}

impl MaskReport {
    /// The two inclusion maps side by side, context left: white never, dark always.
    ///
    /// # Panics
    ///
    /// Panics if `cell`, the pixels a patch, is zero.
    pub fn to_rgb(&self, cell: usize) -> RgbPicture {
        assert!(cell > 0, "a patch needs at least one pixel");
        let maps = [
            (&self.context_inclusion, CONTEXT),
            (&self.target_inclusion, TARGETS[0]),
        ];
        let (rows, cols) = (maps[0].0.len(), maps[0].0[0].len());
        let panels = maps.map(|(map, color)| {
            let mut panel = RgbPicture::white(cols * cell, rows * cell);
            for (y, row) in map.iter().enumerate() {
                for (x, &share) in row.iter().enumerate() {
                    panel.fill([x * cell, y * cell], [cell; 2], blend(color, share));
                }
            }
            panel
        });
        RgbPicture::sheet(&[panels.into()])
    }
}

fn blend(color: Rgb, share: f64) -> Rgb {
    color.map(|channel| (255.0 + share * (f64::from(channel) - 255.0)).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::{CONTEXT, TARGETS};
    use crate::{MaskGroup, MaskReport, PatchGrid, PatchIndices, RgbPicture};

    const GAP: usize = RgbPicture::GAP;

    fn group() -> MaskGroup {
        MaskGroup {
            grid: PatchGrid::new(2, 3).unwrap(),
            contexts: vec![PatchIndices::new(2, vec![0, 5])],
            targets: vec![
                PatchIndices::new(2, vec![1, 2]),
                PatchIndices::new(2, vec![2, 5]),
            ],
            relaxations: 0,
        }
    }

    #[test]
    fn text_shows_context_targets_and_overlaps() {
        assert_eq!(group().to_text(0), "c 0 *\n. . #\n");
        let of_patch = |patch| PatchIndices::new(1, vec![patch]);
        let many = MaskGroup {
            grid: PatchGrid::new(2, 6).unwrap(),
            contexts: vec![of_patch(11)],
            targets: (0..11).map(of_patch).collect(),
            relaxations: 0,
        };
        assert_eq!(many.to_text(0), "0 1 2 3 4 5\n6 7 8 9 0 c\n");
    }

    /// What is in a pixel: the number of a panel of `size` pixels, and where in it; `None` between.
    fn panel(at: usize, size: usize) -> Option<(usize, usize)> {
        let at = at.checked_sub(GAP)?;
        let inside = at % (size + GAP);
        (inside < size).then_some((at / (size + GAP), inside))
    }

    #[test]
    fn pixels_show_every_mask_in_its_own_panel() {
        let mask = |rows: [u32; 4]| PatchIndices::new(2, rows.to_vec());
        let (context, first, second) = (mask([0, 5, 1, 4]), mask([1, 2, 0, 3]), mask([2, 5, 2, 3]));
        let group = MaskGroup {
            contexts: vec![context.clone()],
            targets: vec![first.clone(), second.clone()],
            ..group()
        };
        let masks = [
            (context, CONTEXT),
            (first, TARGETS[0]),
            (second, TARGETS[1]),
        ];
        for cell in [4, 1] {
            let picture = group.to_rgb(2, cell);
            let [width, height] = [3 * cell, 2 * cell];
            let expected = (2 * (width + GAP) + GAP, 3 * (height + GAP) + GAP);
            assert_eq!((picture.width, picture.height), expected);
            // A patch leaves its last row and column free, unless it has no other.
            let drawn = |inside: usize| cell == 1 || inside % cell < cell - 1;
            for (x, y) in (0..expected.0).flat_map(|x| (0..expected.1).map(move |y| (x, y))) {
                let color = match (panel(x, width), panel(y, height)) {
                    (Some((image, x)), Some((line, y))) if drawn(x) && drawn(y) => {
                        let (mask, color) = &masks[line];
                        let patch = (y / cell * 3 + x / cell) as u32;
                        match mask.row(image).contains(&patch) {
                            true => *color,
                            false => RgbPicture::HIDDEN,
                        }
                    }
                    _ => [255; 3],
                };
                assert_eq!(picture.pixel([x, y]), color, "{cell}: {x} {y}");
            }
        }
    }

    #[test]
    fn maps_are_darker_where_patches_are_more_often() {
        let maps = [
            vec![vec![0.0, 0.5, 1.0], vec![1.0, 0.0, 0.5]],
            vec![vec![1.0, 0.0, 0.0], vec![0.5, 0.0, 1.0]],
        ];
        let colors = [(CONTEXT, [157, 159, 165]), (TARGETS[0], [128, 185, 217])];
        let [context_inclusion, target_inclusion] = maps.clone();
        let picture = MaskReport {
            context_inclusion,
            target_inclusion,
            ..MaskReport::of(&[group()])
        }
        .to_rgb(3);
        let size = (2 * (9 + GAP) + GAP, 6 + 2 * GAP);
        assert_eq!((picture.width, picture.height), size);
        for (x, y) in (0..size.0).flat_map(|x| (0..size.1).map(move |y| (x, y))) {
            let color = match (panel(x, 9), panel(y, 6)) {
                (Some((map, x)), Some((_, y))) => match (maps[map][y / 3][x / 3], colors[map]) {
                    (1.0, (always, _)) => always,
                    (0.5, (_, often)) => often,
                    _ => [255; 3],
                },
                _ => [255; 3],
            };
            assert_eq!(picture.pixel([x, y]), color, "{x} {y}");
        }
    }
}
