//! Products of matrices that lie anyhow, in pieces of any size.

use super::*;

/// Backwards, and with a step between columns.
#[test]
fn a_matrix_may_lie_anyhow() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let matrix = Matrix::new(&values, 5, [2, 2], [-3, -2]);
    let unit = [1.0, 0.0, 0.0, 1.0];
    let mut found = [0.0; 4];
    let matrices = [matrix, Matrix::of_rows(&unit, 2)];
    product_here(&mut found, false, matrices, Operands::Exact);
    assert_eq!(found, [6.0, 4.0, 3.0, 1.0]);
}

/// Pieces that end inside of the last unit, on either side, and small ones.
#[test]
fn products_are_the_same_for_any_number_of_threads() {
    let shapes = [
        (500, 70, 97),
        (49, 300, 500),
        (97, 1, 9000),
        (1, 9000, 97),
        (3, 900, 300),
        (48, 700, 192),
        (192, 700, 48),
        (97, 1300, 97),
    ];
    for (rows, inner, cols) in shapes {
        let (lhs, rhs) = (noise(rows * inner), noise(cols * inner));
        for (lhs, rhs) in [
            (Matrix::of_rows(&lhs, inner), Matrix::of_rows(&rhs, cols)),
            (
                Matrix::new(&lhs, 0, [rows, inner], [1, rows as isize]),
                Matrix::of_rows(&rhs, cols),
            ),
        ] {
            let mut expected = vec![1.0; rows * cols];
            product_here(&mut expected, true, [lhs, rhs], Operands::Exact);
            for threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let mut found = vec![1.0; rows * cols];
                let add = || add_product(&mut found, [lhs, rhs], Operands::Exact);
                pool.build().unwrap().install(add);
                let shape = [rows, inner, cols];
                assert!(found == expected, "{shape:?} on {threads} threads");
            }
            product_here(&mut expected, false, [lhs, rhs], Operands::Exact);
            let mut found = Vec::with_capacity(rows * cols);
            let room = &mut found.spare_capacity_mut()[..rows * cols];
            product_into(room, [lhs, rhs], None, Operands::Exact);
            // SAFETY: every value has been written.
            unsafe { found.set_len(rows * cols) };
            assert!(found == expected);
        }
    }
}

fn noise(len: usize) -> Vec<f32> {
    let value = |at: usize| (at * 7919 % 1009) as f32 / 1009.0 - 0.5;
    (0..len).map(value).collect()
}

/// All ways in which operands lie: transposed or not, and with a step between values.
fn operands(rows: usize, cols: usize, values: &[f32]) -> [Matrix<'_>; 3] {
    let (row, col) = (rows as isize, cols as isize);
    [
        Matrix::new(values, 0, [rows, cols], [col, 1]),
        Matrix::new(values, 0, [rows, cols], [1, row]),
        Matrix::new(values, 1, [rows, cols], [2 * col, 2]),
    ]
}

/// Tiles, panels and blocks that are whole and not, in an output whose rows have room between them.
#[test]
fn products_are_exact_however_their_operands_lie() {
    let shapes = [
        [1, 1, 1],
        [4, 7, 4],
        [6, 512, 16],
        [13, 1030, 785],
        [50, 600, 40],
    ];
    for [rows, inner, cols] in shapes {
        let (left, right) = (noise(2 * rows * inner + 1), noise(2 * inner * cols + 1));
        let row = noise(cols);
        for lhs in operands(rows, inner, &left) {
            for rhs in operands(inner, cols, &right) {
                let sums = sums(lhs, rhs);
                for onto in [Onto::Nothing, Onto::Output, Onto::Row(&row)] {
                    let addend = |at: usize| match onto {
                        Onto::Nothing => 0.0,
                        Onto::Output => 2.0,
                        Onto::Row(row) => row[at % cols],
                    };
                    let expected: Vec<f32> =
                        (0..sums.len()).map(|at| sums[at] + addend(at)).collect();
                    check_into_room(&expected, [rows, cols], |output| {
                        // SAFETY: the output is initialised and ours alone.
                        unsafe { output.write(0, cols + 3, onto, [lhs, rhs], Operands::Exact) }
                    });
                    #[cfg(target_arch = "x86_64")]
                    if avx2::is_supported() {
                        check_into_room(&expected, [rows, cols], |output| {
                            // SAFETY: the processor can, and the output has room and is ours alone.
                            unsafe { avx2::multiply(output.start, cols + 3, onto, [lhs, rhs]) }
                        });
                    }
                }
            }
        }
    }
}

/// The product of two matrices, summed in f64.
fn sums(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let sum = |at: usize| {
        let (row, col) = (at / rhs.cols, at % rhs.cols);
        let products =
            (0..lhs.cols).map(|k| f64::from(lhs.value(row, k)) * f64::from(rhs.value(k, col)));
        products.sum::<f64>() as f32
    };
    (0..lhs.rows * rhs.cols).map(sum).collect()
}

/// Has a product written to an output of twos whose rows are three values further apart than they
/// are long, and checks that it is as expected and nothing else has changed.
fn check_into_room(expected: &[f32], [rows, cols]: [usize; 2], write: impl Fn(Output<'_>)) {
    let mut found = vec![2.0; rows * (cols + 3)];
    write(Output::of(&mut found));
    for (found, expected) in found.chunks(cols + 3).zip(expected.chunks(cols)) {
        ijepa_testkit::assert_close("product", &found[..cols], expected, 1e-5);
        assert_eq!(found[cols..], [2.0; 3]);
    }
}

#[test]
fn products_in_bf16_are_close_and_the_same_for_any_number_of_threads() {
    check_narrow(Operands::Bf16, 1e-2, multiplies_bf16());
}

#[test]
fn products_in_8_bits_are_close_and_the_same_for_any_number_of_threads() {
    check_narrow(Operands::Int8, 2e-2, multiplies_int8());
}

/// One thread, pieces of two and of three, for inner dimensions of one block and of several.
fn check_narrow(narrow: Operands, tolerance: f64, rounds: bool) {
    for (rows, inner, cols) in [(1, 1, 1), (17, 33, 49), (150, 64, 150), (97, 3200, 65)] {
        let (left, right) = (noise(2 * rows * inner + 1), noise(2 * inner * cols + 1));
        for lhs in operands(rows, inner, &left) {
            for rhs in operands(inner, cols, &right) {
                let mut exact = vec![1.0; rows * cols];
                product_here(&mut exact, true, [lhs, rhs], Operands::Exact);
                let mut expected = vec![1.0; rows * cols];
                product_here(&mut expected, true, [lhs, rhs], narrow);
                ijepa_testkit::assert_close("narrow", &expected, &exact, tolerance);
                let mut onto_row = vec![0.0; rows * cols];
                let room = Output::of(&mut onto_row);
                let row = vec![1.0; cols];
                // SAFETY: the values are initialised and ours alone.
                unsafe { room.write(0, cols, Onto::Row(&row), [lhs, rhs], narrow) };
                assert_eq!(onto_row, expected);
                let rounded = expected != exact;
                assert!(rows == 1 || rounded == rounds, "rounding shows");
                for threads in 1..=3 {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                    let mut found = vec![1.0; rows * cols];
                    pool.build().unwrap().install(|| {
                        add_product(&mut found, [lhs, rhs], narrow);
                    });
                    assert_eq!(found, expected, "{threads} threads");
                }
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_stay_so_in_8_bits() {
    for spoilt in [f32::NAN, f32::INFINITY] {
        for side in 0..2 {
            let mut operands = [vec![1.0; 3 * 70], vec![1.0; 70 * 20]];
            operands[side][5] = spoilt;
            let [lhs, rhs] = &operands;
            let mut found = vec![0.0; 3 * 20];
            let matrices = [Matrix::of_rows(lhs, 70), Matrix::of_rows(rhs, 20)];
            product_here(&mut found, false, matrices, Operands::Int8);
            let lost = found.iter().filter(|value| !value.is_finite()).count();
            assert_eq!(lost, [20, 3][side], "{spoilt}");
        }
    }
}
