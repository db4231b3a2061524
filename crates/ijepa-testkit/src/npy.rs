//! Arrays as files of NumPy.

/// An array of type `descr`, such as `<f4`, and `shape`, such as `(2, 3)`, as `numpy.save` writes it
/// to a `.npy` file: behind a header of 128 bytes.
pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let start = b"\x93NUMPY\x01\x00v\x00".as_slice();
    [start, format!("{header:<117}\n").as_bytes(), data].concat()
}
