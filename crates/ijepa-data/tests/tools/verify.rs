//! Files that cannot be read, with the reason.

use std::fs;
use std::path::PathBuf;

use ijepa_data::{DataError, FolderSource, Reading, verify};

use crate::{photos, spoil};

#[test]
fn every_bad_file_is_found_with_its_reason() {
    let root = photos();
    let mut expected = spoil(root.path());
    let source = FolderSource::open(root.path()).unwrap();
    // Not there any more, while its folder is.
    let gone = root.path().join("red fox/02.png");
    fs::remove_file(&gone).unwrap();
    expected.push(gone);
    for workers in [0, 1, 3] {
        let mut done = 0;
        let bad = verify(&source, Reading::default(), workers, |it| done = it).unwrap();
        assert_eq!(done, 14);
        let paths: Vec<PathBuf> = bad.iter().map(|it| it.path.as_str().into()).collect();
        assert_eq!(paths, expected);
        assert!(
            bad[1].why.ends_with("is empty, which is not read"),
            "{}",
            bad[1].why
        );
    }
    // A disk that is away is nobody's fault.
    let mut reading = Reading::default();
    reading.retry.retries = 0;
    fs::rename(root.path().join("cat"), root.path().join(".cat")).unwrap();
    for class in ["dog", "red fox"] {
        fs::remove_dir_all(root.path().join(class)).unwrap();
    }
    let error = verify(&source, reading, 2, |_| ()).unwrap_err();
    assert!(
        matches!(error, DataError::GaveUp { attempts: 1, .. }),
        "{error}"
    );
}
