//! Features as colours.

use crate::Pca;

/// Share of the patches that are darker or lighter than the ends of the colour range.
const CLIPPED: f64 = 0.01;

/// The first three principal components of features as red, green and blue: rows of one colour are
/// alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Colors {
    /// The colour of every row, `[rows]`.
    pub patches: Vec<[u8; 3]>,
    /// Shares of the variance that red, green and blue show, in `[0, 1]`.
    pub explained: [f64; 3],
}

impl Colors {
    /// # Shapes
    ///
    /// - `features`: `[rows, dim]`
    ///
    /// # Panics
    ///
    /// As [`Pca::fit`].
    pub fn of(features: &[f32], dim: usize) -> Self {
        let pca = Pca::fit(features, dim, 3);
        let rows = features.chunks_exact(dim).map(|row| pca.project(row));
        let rows: Vec<Vec<f64>> = rows.collect();
        let ranges: [[f64; 2]; 3] = std::array::from_fn(|component| {
            let along = rows
                .iter()
                .map(|row| row.get(component).copied().unwrap_or(0.0));
            let mut along: Vec<f64> = along.collect();
            along.sort_by(f64::total_cmp);
            let clipped = (along.len() as f64 * CLIPPED) as usize;
            [along[clipped], along[along.len() - 1 - clipped]]
        });
        let color = |row: &Vec<f64>| {
            std::array::from_fn(|component| {
                let [low, high] = ranges[component];
                let value = row.get(component).copied().unwrap_or(0.0);
                let share = if high > low {
                    (value - low) / (high - low)
                } else {
                    0.5
                };
                (255.0 * share.clamp(0.0, 1.0)).round() as u8
            })
        };
        let explained = pca.explained(features);
        let share = |component: usize| explained.get(component).copied().unwrap_or(0.0);
        Self {
            patches: rows.iter().map(color).collect(),
            explained: std::array::from_fn(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_features_have_similar_colors() {
        let rows: Vec<f32> = (0..20)
            .flat_map(|i| {
                let side = if i < 10 { 4.0 } else { -4.0 };
                [side, (i % 2) as f32, 0.1 * (i % 3) as f32, 7.0]
            })
            .collect();
        let colors = Colors::of(&rows, 4).patches;
        let red: Vec<u8> = colors.iter().map(|color| color[0]).collect();
        assert!(red[..10].iter().all(|&value| value.abs_diff(red[0]) < 10));
        assert!(red[10..].iter().all(|&value| value.abs_diff(red[0]) > 240));
        assert!(colors[0][1].abs_diff(colors[1][1]) > 200, "{colors:?}");
    }
}
