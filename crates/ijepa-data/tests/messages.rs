//! Every message is one lower-case line that names the file, key or value and what was expected.

use std::error::Error;
use std::path::PathBuf;

use ijepa_data::{DataError, ImageError};

fn check(error: DataError, expected: &str) {
    assert_eq!(error.to_string(), expected);
    assert!(!expected.contains('\n') && !expected.ends_with('.'));
    assert!(!expected.starts_with(char::is_uppercase));
}

fn path() -> PathBuf {
    PathBuf::from("a/b")
}

#[test]
fn messages_state_the_facts() {
    check(
        DataError::Image(ImageError::PixelCount {
            width: 2,
            height: 3,
            expected: 18,
            found: 17,
        }),
        "an RGB image of 2x3 (width x height) needs 18 bytes, found 17",
    );
    check(
        DataError::Vanished { path: path() },
        "`a/b` is gone since its folder was indexed",
    );
    check(
        DataError::Image(ImageError::DecoderPanic {
            name: "x.png".to_owned(),
            why: "index 7".to_owned(),
        }),
        "`x.png` is damaged: its decoder gave up (index 7)",
    );
    check(
        DataError::Image(ImageError::OutputSize {
            width: 0,
            height: 9,
        }),
        "cannot resize to 0x9 (width x height)",
    );
    check(
        DataError::Image(ImageError::CropBox {
            left: 1.5,
            top: 0.0,
            crop_width: 9.0,
            crop_height: 2.0,
            width: 4,
            height: 5,
        }),
        "crop box (left 1.5, top 0, width 9, height 2) does not fit the 4x5 image",
    );
    check(
        DataError::NotAFolder { path: path() },
        "`a/b` is not a folder",
    );
    check(
        DataError::Replaced { path: path() },
        "`a/b` has changed since its images were listed; start again",
    );
    check(
        DataError::CutOff {
            name: "a/b.tar/c.jpg".to_owned(),
        },
        "`a/b.tar/c.jpg` is cut off: its file ends before it does",
    );
    check(
        DataError::NoImages {
            path: path(),
            expected: ".jpg .png",
        },
        "no image in `a/b`, expected files ending in .jpg .png",
    );
    check(
        DataError::MixedFolder {
            path: path(),
            example: "x.jpg".to_owned(),
        },
        "`a/b` has class folders and also images such as `x.jpg` beside them; move these into a \
         class folder or elsewhere, or use `folder:a/b,labels=none` for all images without labels",
    );
    check(
        DataError::SubsetOfOther {
            spec: "scenes:n=1".to_owned(),
        },
        "a subset file restricts folders only, not `scenes:n=1`",
    );
    check(
        DataError::SubsetUnknown {
            path: path(),
            count: 2,
            first: "x.jpg".to_owned(),
        },
        "2 of the names in `a/b` are not in the data, the first is `x.jpg`",
    );
    check(
        DataError::SubsetAmbiguous {
            path: path(),
            name: "x.jpg".to_owned(),
        },
        "`x.jpg` in `a/b` names several images, write it with its folder (`CLASS/x.jpg`)",
    );
    check(
        DataError::SubsetEmpty { path: path() },
        "`a/b` names no image",
    );
    check(
        DataError::TooManyBad {
            bad: 5,
            images: 400,
            allowed: 4,
            enough: 0.013,
            last: "x.jpg".to_owned(),
            why: "cut".to_owned(),
        },
        "5 of 400 images are unreadable so far, more than the 4 allowed; the last is `x.jpg` (cut); \
         remove what `ijepa data verify` lists, or allow a share of 0.013 or more \
         (`data.max_bad_fraction` of recipes)",
    );
    check(
        DataError::WorkerLost { worker: 3 },
        "loader thread 3 ended early",
    );
    check(
        DataError::MissingColumn {
            path: path(),
            expected: "`image`",
            found: "a, b".to_owned(),
        },
        "`a/b` has no binary column `image`; its columns are: a, b",
    );
    check(
        DataError::LabelType {
            path: path(),
            column: "label".to_owned(),
            found: "double".to_owned(),
        },
        "column `label` of `a/b` is double, which makes no classes; expected integers, strings or \
         booleans",
    );
    check(
        DataError::LabelMix {
            path: path(),
            first: PathBuf::from("a/a"),
        },
        "one of `a/a` and `a/b` has integers for labels and the other words",
    );
    check(
        DataError::Inconsistent {
            path: path(),
            what: "a label",
            found: 12,
            expected: 9,
        },
        "`a/b` is damaged: a label is 12, expected 9",
    );
    check(
        DataError::BadEntry {
            path: path(),
            entry: "line 3".to_owned(),
            found: "`x.jpg 205`".to_owned(),
            expected: "an image and its class from 0 to 204",
        },
        "`a/b`, line 3: found `x.jpg 205`, expected an image and its class from 0 to 204",
    );
    check(
        DataError::ListedMissing {
            path: path(),
            name: "x.jpg".to_owned(),
            root: PathBuf::from("c"),
        },
        "`a/b` lists `x.jpg`, which is not in `c`",
    );
    check(
        DataError::NoSplit {
            data: "CIFAR-10",
            split: "test",
            path: path(),
            expected: "test_batch.bin".to_owned(),
        },
        "no CIFAR-10 test files in `a/b`, expected test_batch.bin",
    );
}

#[test]
fn causes_are_sources_and_not_repeated() {
    let cause = || std::io::Error::other("disk on fire");
    for (error, message) in [
        (
            DataError::Read {
                path: path(),
                source: cause(),
            },
            "cannot read `a/b`",
        ),
        (
            DataError::Threads {
                count: 4,
                source: cause(),
            },
            "cannot start 4 reading threads",
        ),
        (
            DataError::Parquet {
                path: path(),
                source: Box::new(cause()),
            },
            "cannot read Parquet file `a/b`",
        ),
        (
            DataError::Json {
                path: path(),
                source: Box::new(cause()),
            },
            "cannot understand JSON file `a/b`",
        ),
        (
            DataError::Image(ImageError::Decode {
                name: "x.jpg".to_owned(),
                source: Box::new(cause()),
            }),
            "cannot decode image `x.jpg`",
        ),
    ] {
        assert_eq!(error.source().unwrap().to_string(), "disk on fire");
        check(error, message);
    }
}
