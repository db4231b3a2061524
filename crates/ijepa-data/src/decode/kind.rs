//! What a file is by its content.

use image::ImageFormat;

use crate::npy::is_array;

/// Names of files by what they begin with: bytes, where they stand, name.
const SIGNATURES: &[(&[u8], usize, &str)] = &[
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", 0, "JPEG XL"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"8BPS", 0, "Photoshop (PSD)"),
    (b"CR\x02\0", 8, "camera raw (CR2)"),
    (b"IIU\0", 0, "camera raw (RW2)"),
    (b"IIRO", 0, "camera raw (ORF)"),
    (b"IIRS", 0, "camera raw (ORF)"),
    (b"MMOR", 0, "camera raw (ORF)"),
    (b"FUJIFILMCCD-RAW", 0, "camera raw (RAF)"),
    (b"FOVb", 0, "camera raw (X3F)"),
    (b"\x76\x2f\x31\x01", 0, "OpenEXR"),
    (b"#?RADIANCE", 0, "Radiance HDR"),
    (b"\0\0\x01\0", 0, "ICO"),
    (b"DDS ", 0, "DDS"),
    (b"qoif", 0, "QOI"),
    (b"DICM", 128, "DICOM"),
    (b"%PDF", 0, "PDF"),
    (b"\x1f\x8b", 0, "compressed (gzip)"),
    (b"\x28\xb5\x2f\xfd", 0, "compressed (Zstandard)"),
    (b"\xfd7zXZ\0", 0, "compressed (xz)"),
    (b"BZh", 0, "compressed (bzip2)"),
    (
        b"version https://git-lfs",
        0,
        "a Git LFS pointer, not the file itself",
    ),
];

/// Names of ISO base media files by their brand.
const BRANDS: &[(&[&[u8; 4]], &str)] = &[
    (&[b"avif", b"avis"], "AVIF"),
    (
        &[
            b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
        ],
        "HEIC",
    ),
    (&[b"crx "], "camera raw (CR3)"),
];

/// Bytes in which the first element of a text must begin.
const TEXT_START: usize = 1024;

/// The kind of an image file by its first bytes.
pub(super) fn format_of(bytes: &[u8]) -> Result<ImageFormat, image::ImageError> {
    const BIG_TIFF: [&[u8]; 2] = [b"II+\0", b"MM\0+"];
    match BIG_TIFF.iter().any(|start| bytes.starts_with(start)) {
        true => Ok(ImageFormat::Tiff),
        false => image::guess_format(bytes),
    }
}

/// The usual ending of the names of files of this kind, told by the content, such as `jpg`; none
/// for a file that is no image of a kind that is read.
///
/// # Examples
///
/// ```
/// assert_eq!(ijepa_data::extension(b"GIF89a"), Some("gif"));
/// assert_eq!(ijepa_data::extension(b"a text"), None);
/// ```
pub fn extension(bytes: &[u8]) -> Option<&'static str> {
    if is_array(bytes) {
        return Some("npy");
    }
    match format_of(bytes).ok()? {
        ImageFormat::Jpeg => Some("jpg"),
        ImageFormat::Png => Some("png"),
        ImageFormat::Gif => Some("gif"),
        ImageFormat::Bmp => Some("bmp"),
        ImageFormat::Pnm => Some("ppm"),
        ImageFormat::WebP => Some("webp"),
        ImageFormat::Tiff => Some("tif"),
        _ => None,
    }
}

/// The name of a kind of file that is known but not read.
pub(crate) fn unread_kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("empty");
    }
    let begins = |&&(signature, at, _): &&(&[u8], usize, _)| {
        bytes
            .get(at..)
            .is_some_and(|rest| rest.starts_with(signature))
    };
    let signature = SIGNATURES.iter().find(begins);
    signature
        .map(|&(_, _, name)| name)
        .or_else(|| media_kind(bytes))
        .or_else(|| text_kind(&bytes[..bytes.len().min(TEXT_START)]))
}

/// The kind of an ISO base media file, whose brands follow `ftyp`: the main one, a version, and
/// those that it is compatible with.
fn media_kind(bytes: &[u8]) -> Option<&'static str> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let header = &bytes[4..bytes.len().min(size.clamp(4, 256))];
    let brands = header.strip_prefix(b"ftyp")?.as_chunks::<4>().0;
    let kind = |(names, kind): &(&[&[u8; 4]], &'static str)| {
        let found = brands.iter().any(|brand| names.contains(&brand));
        found.then_some(*kind)
    };
    Some(BRANDS.iter().find_map(kind).unwrap_or("a video"))
}

fn text_kind(start: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if !text.starts_with('<') {
        None
    } else if text.contains("<svg") {
        Some("SVG")
    } else {
        (text.starts_with("<!doctype html") || text.starts_with("<html")).then_some("a web page")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named() {
        for (bytes, expected) in [
            (&b""[..], "empty"),
            (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "camera raw (CR3)"),
            (b"\0\0\0\x18ftypisom\0\0\0\x01isommp41", "a video"),
            (b"\xff\x0a\xfa\x1f", "JPEG XL"),
            (b"II*\0\x10\0\0\0CR\x02\0", "camera raw (CR2)"),
            (b"8BPS\0\x01", "Photoshop (PSD)"),
            (b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<svg xmlns", "SVG"),
            (b"<!DOCTYPE html><html>", "a web page"),
        ] {
            assert_eq!(unread_kind(bytes), Some(expected), "{bytes:?}");
        }
        for bytes in [
            &b"plain text"[..],
            b"\0\0\0\x18",
            b"\0\0\0\0ftyp",
            b"<note/>",
            &[7; 9],
        ] {
            assert!(
                !matches!(unread_kind(bytes), Some(kind) if kind != "a video"),
                "{bytes:?}"
            );
        }
    }
}
