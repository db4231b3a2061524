//! Features from files of `embed`, and those that are kept.

use std::fs;

use ijepa_testkit::device_name;
use serde_json::Value;

use super::{TEST, TRAIN, check, line, on_images, run};
use crate::full_disk::Disk;
use crate::support::{golden, path_text, text, words};

#[test]
fn files_of_embed_give_what_their_images_give() {
    let folder = tempfile::tempdir().unwrap();
    let (saved, device) = (golden("hf_tiny_saved"), device_name());
    let embed = |data: &str, name: &str| {
        let out = path_text(folder.path().join(name));
        let flags = format!("--weights {saved} --data {data} --out {out} --device {device}");
        text(&words(&format!("embed --quiet {flags}")));
        out
    };
    let (train, test) = (embed(TRAIN, "a.safetensors"), embed(TEST, "b.npy"));
    let files = format!("--features-train {train} --features-test {test}");
    for protocol in ["quick --epochs 2", "lowshot-logistic --penalty 0.1,1"] {
        let expected = run(&on_images(&format!("--pool mean --protocol {protocol}")));
        let found = run(&format!("{files} --pool mean --protocol {protocol}"));
        assert_eq!(found["heads"], expected["heads"], "{protocol}");
    }
    let solved = run(&format!("{files} --protocol lowshot-logistic --penalty 4"));
    assert_eq!(solved["best"]["weight_decay"], 0.1);
    assert_eq!(solved["best"]["lr"], Value::Null);

    check(
        &format!("{files} --augment protocol"),
        2,
        "`--augment protocol` changes nothing on features of files",
    );
    check(&format!("{files} --cache kept"), 2, "cannot be used with");
    check(
        &on_images("--protocol lowshot-logistic --lr 1"),
        2,
        "`--lr` changes nothing",
    );
    check(
        &on_images("--penalty 1"),
        2,
        "`--penalty` changes nothing in protocol quick",
    );
    check(&on_images("--lr 0"), 2, "learning rate is 0");
    check(&on_images("--lr 1e38"), 6, "all 1 heads diverged");
}

#[test]
fn features_are_kept_until_they_are_damaged_and_a_full_disk_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let kept = path_text(folder.path().join("kept"));
    let flags = on_images(&format!("--epochs 1 --cache {kept}"));
    let first = run(&flags);
    let files: Vec<_> = fs::read_dir(&kept)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 2);
    assert_eq!(run(&flags), first);
    assert_eq!(first, run(&on_images("--epochs 1")));
    let bytes = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &bytes[..bytes.len() - 4]).unwrap();
    assert_eq!(run(&flags), first);
    assert_eq!(fs::read(&files[0]).unwrap(), bytes);

    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let Some(disk) = Disk::mount(&small) else {
        return;
    };
    disk.fill(1024);
    let flags = on_images(&format!("--epochs 1 --cache {}", path_text(&small)));
    let found = disk.ijepa(&line(&flags));
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stderr.contains("bytes are needed"), "{found:?}");
}
