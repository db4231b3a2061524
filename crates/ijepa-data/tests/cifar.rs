//! CIFAR-10 and CIFAR-100 in their official binary form.

use std::fs;

use ijepa_data::{CifarSource, DataError, DataSpec, Source};
use tempfile::TempDir;

/// An image of one colour behind its label bytes.
fn record(labels: &[u8], [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut bytes = labels.to_vec();
    bytes.extend([[red; 1024], [green; 1024], [blue; 1024]].as_flattened());
    bytes
}

#[test]
fn cifar10_labels_names_and_pixels_are_read_file_by_file() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&home).unwrap();
    for number in 1..=5u8 {
        let records = record(&[number], [number, 20, 30]).repeat(2);
        fs::write(home.join(format!("data_batch_{number}.bin")), records).unwrap();
    }
    let source = CifarSource::cifar10(folder.path()).unwrap();
    assert_eq!(source.len(), 10);
    assert_eq!(
        (source.label(4), source.classes()[3].as_str()),
        (Some(3), "cat")
    );
    let image = source.read(4).unwrap();
    assert_eq!(
        (image.width(), image.height(), image.pixel(31, 31)),
        (32, 32, [3, 20, 30])
    );
    assert!(source.name(5).ends_with("data_batch_3.bin#1"));
    let error = CifarSource::cifar10(folder.path().join("test")).unwrap_err();
    assert!(matches!(error, DataError::NoSplit { split: "test", .. }));

    fs::write(home.join("data_batch_2.bin"), [11; 3073]).unwrap();
    let error = CifarSource::cifar10(folder.path()).unwrap_err();
    assert!(matches!(
        error,
        DataError::Inconsistent {
            what: "a label",
            found: 11,
            ..
        }
    ));
    fs::write(home.join("data_batch_2.bin"), [1; 3000]).unwrap();
    let error = CifarSource::cifar10(&home).unwrap_err();
    assert!(matches!(
        error,
        DataError::Inconsistent {
            expected: 3073,
            found: 3000,
            ..
        }
    ));
}

#[test]
fn cifar100_takes_the_fine_label_of_either_split() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("cifar-100-binary");
    fs::create_dir(&home).unwrap();
    let train = [record(&[4, 0], [1, 2, 3]), record(&[19, 99], [7, 8, 9])].concat();
    fs::write(home.join("train.bin"), train).unwrap();
    fs::write(home.join("test.bin"), record(&[0, 51], [5, 5, 5])).unwrap();

    let open = |split: &str| {
        let spec: DataSpec = format!("cifar100:{}{split}", folder.path().display())
            .parse()
            .unwrap();
        spec.open().unwrap()
    };
    let train = open("");
    assert_eq!(train.len(), 2);
    assert_eq!([train.label(0), train.label(1)], [Some(0), Some(99)]);
    assert_eq!(train.read(1).unwrap().pixel(0, 31), [7, 8, 9]);
    let classes = train.classes();
    assert_eq!(
        (classes.len(), &*classes[0], &*classes[99]),
        (100, "apple", "worm")
    );
    let test = open("/test");
    assert_eq!((test.len(), test.label(0)), (1, Some(51)));
    assert!(test.name(0).ends_with("test.bin#0"));

    // A coarse label is not looked at; a fine one of 100 would be class 101.
    fs::write(home.join("test.bin"), record(&[255, 100], [0; 3])).unwrap();
    let error = CifarSource::cifar100(folder.path().join("test")).unwrap_err();
    let named = home.join("test.bin");
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is damaged: a label is 100, expected 99",
            named.display()
        )
    );
}

#[test]
fn a_folder_of_something_else_says_which_files_are_missing() {
    let folder = TempDir::new().unwrap();
    let error = CifarSource::cifar100(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no CIFAR-100 train files in `{}`, expected train.bin (test.bin), or train-*.parquet \
             (test-*.parquet)",
            folder.path().display()
        )
    );
    let error = CifarSource::cifar100("/no/such/test").unwrap_err();
    assert_eq!(error.to_string(), "data folder `/no/such` does not exist");
}
