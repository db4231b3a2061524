//! The same images as files, shards and row groups.

use std::fs;
use std::path::Path;

use ijepa_data::{Augment, Batch, DataSpec, Loader, LoaderConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::{STRUCT, file, png, row};

/// The same 45 images as a folder, as four shards and as nine row groups.
fn every_layout(folder: &Path) -> [DataSpec; 3] {
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    (0..45)
        .for_each(|level| fs::write(photos.join(format!("{level:02}.png")), png(level)).unwrap());
    for shard in 0..4 {
        let path = folder.join(format!("{shard}.tar"));
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        for level in (0..45).filter(|level| level * 4 / 45 == shard) {
            let image = png(level as u8);
            let mut header = tar::Header::new_ustar();
            header.set_size(image.len() as u64);
            let name = format!("{level:02}.png");
            tar.append_data(&mut header, name, &image[..]).unwrap();
        }
        tar.finish().unwrap();
    }
    let group = |first| (first..first + 5).map(|level| row(level, 0)).collect();
    let groups = (0..9).map(|number| group(5 * number)).collect();
    fs::write(folder.join("a.parquet"), file(STRUCT, &groups, None)).unwrap();
    let root = folder.display();
    [
        format!("folder:{root}/photos"),
        format!("tar:{root}/{{0..3}}.tar,window=2"),
        format!("parquet:{root}/a.parquet,window=2"),
    ]
    .map(|spec| spec.parse().unwrap())
}

#[test]
fn batches_of_every_layout_depend_on_the_step_alone() {
    let folder = TempDir::new().unwrap();
    let batches = |spec: &DataSpec, workers, start_step| -> Vec<Batch> {
        let config = LoaderConfig {
            seed: 5,
            start_step,
            workers,
            max_bad_fraction: 0.0,
            ..LoaderConfig::new(
                6,
                Augment {
                    size: [3, 3],
                    ..Augment::default()
                },
            )
        };
        let loader = Loader::new(spec.open().unwrap(), config).unwrap();
        let rest = 23 - start_step as usize;
        loader.take(rest).collect::<Result<_, _>>().unwrap()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for spec in every_layout(folder.path()) {
        let expected = batches(&spec, 0, 0);
        // Each image at most once an epoch of seven steps.
        for epoch in expected.chunks(7) {
            let mut images: Vec<u32> = epoch.iter().flat_map(|it| it.indices.clone()).collect();
            images.sort_unstable();
            assert!(images.windows(2).all(|pair| pair[0] < pair[1]), "{spec}");
        }
        for workers in [1, 2, 7] {
            assert!(
                batches(&spec, workers, 0) == expected,
                "{spec}, {workers} workers"
            );
            let start = rng.random_range(1..23);
            let tail = batches(&spec, workers, start);
            assert!(
                tail == expected[start as usize..],
                "{spec} from step {start}"
            );
        }
    }
}

#[test]
fn parts_with_row_groups_are_mixed_with_others() {
    let folder = TempDir::new().unwrap();
    let [photos, _, rows] = every_layout(folder.path());
    let both = DataSpec::open_all(&[rows.clone(), photos, rows], None).unwrap();
    let order = both.layout().order(1, 0);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..135).collect::<Vec<u32>>());
    let photos = |part: &[u32]| {
        part.iter()
            .filter(|image| (45..90).contains(*image))
            .count()
    };
    for third in order.chunks(45) {
        assert!((5..30).contains(&photos(third)), "{order:?}");
    }
    // At most three row groups of a part of nine are in use, two of them as told.
    let first: Vec<u32> = order.into_iter().filter(|&image| image < 45).collect();
    for window in first.chunks(9) {
        let mut groups: Vec<u32> = window.iter().map(|image| image / 5).collect();
        groups.sort_unstable();
        groups.dedup();
        assert!(groups.len() <= 4, "{groups:?}");
    }
}
