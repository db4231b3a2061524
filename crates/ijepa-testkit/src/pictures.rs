//! Files that readers take for different pictures.

/// A JPEG file of a turned camera: 36x24 pixels as they are stored, 24x36 upright.
pub const TURNED_JPEG: &[u8] = include_bytes!("turned.jpg");

/// A PPM file of 32x32 grey pixels in samples of sixteen bits, from 0 to 4092: twelve of them are used.
pub fn twelve_bits() -> Vec<u8> {
    let samples = (0..32u16 * 32 * 3).flat_map(|at| (at / 3 * 4).to_be_bytes());
    b"P6 32 32 65535\n".iter().copied().chain(samples).collect()
}
