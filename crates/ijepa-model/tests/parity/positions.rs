//! Position tables, bit for bit.

use ijepa_masking::PatchGrid;
use ijepa_model::sin_cos_positions;

use crate::support::golden;

fn table(dim: usize, side: usize) -> Vec<f32> {
    let grid = PatchGrid::new(side, side).unwrap();
    sin_cos_positions(grid, dim).try_into_vec().unwrap()
}

#[test]
fn tables_are_bit_equal_to_the_reference() {
    let golden = golden("pos_embed");
    for (dim, side) in [(24, 4), (192, 14), (384, 14), (1024, 14), (1280, 16)] {
        let expected = golden.f32s(&format!("pos_{dim}_{side}"));
        let found = table(dim, side);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{dim} wide, {side}x{side}");
    }
    let every_seventh: Vec<f32> = table(1280, 28)
        .chunks(1280)
        .step_by(7)
        .flatten()
        .copied()
        .collect();
    assert_eq!(every_seventh, golden.f32s("pos_1280_28_every7th"));
}

#[test]
fn rectangular_tables_name_rows_and_columns() {
    let grid = PatchGrid::new(2, 3).unwrap();
    let wide: Vec<f32> = sin_cos_positions(grid, 8).try_into_vec().unwrap();
    let square = table(8, 3);
    // Patch (1, 2) is number 5 of the 2x3 grid and of the 3x3 grid alike.
    assert_eq!(wide[5 * 8..6 * 8], square[5 * 8..6 * 8]);
    assert_ne!(wide[4 * 8..5 * 8], square[5 * 8..6 * 8]);
}
