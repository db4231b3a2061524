//! Lists of images and labels in text and JSON, and CIFAR's records.

#![no_main]

use std::fs;

use ijepa_data::{CifarSource, DataError, ListedSource, Source};
use ijepa_fuzz::{FREE, check, path, read_source, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, content)) = input.split_first() else {
        return;
    };
    write("lists/a.png", b"an image");
    check(input, FREE, 256, || match kind {
        b'l' => read(ListedSource::list(write("lists/list.txt", content))),
        b'f' => {
            let labels = write("labels.txt", content);
            read(ListedSource::labelled_folder(path("lists"), labels));
        }
        b'c' => {
            write("clevr/scenes/CLEVR_train_scenes.json", content);
            read(ListedSource::clevr_count(path("clevr")));
            read(ListedSource::clevr_distance(path("clevr")));
        }
        b'i' => {
            write("inat/train2018.json", content);
            read(ListedSource::inat18(path("inat")));
        }
        b'p' => {
            write("places/train_places205.csv", content);
            read(ListedSource::places205(path("places")));
        }
        _ => {
            for batch in 1..=5 {
                write(&format!("cifar/data_batch_{batch}.bin"), content);
            }
            read(CifarSource::cifar10(path("cifar")));
        }
    });
    drop(fs::remove_file(path("lists/list.txt")));
});

fn read<S: Source>(source: Result<S, DataError>) {
    if let Ok(source) = source {
        read_source(&source);
    }
}
