//! Which files come, and from where.

use std::{fs, io, path::Path};

use ijepa_testkit::{
    hub::COMMIT,
    server::{Answer, Server},
};
use sha2::{Digest, Sha256};

use super::{Case, HubName, large};

#[test]
fn a_file_comes_with_what_is_read_beside_it() {
    let case = Case::new(&[
        ("config.json", b"of another folder"),
        ("small/config.json", b"{}"),
        ("small/vit b.safetensors", &large()),
        ("small/vit.pth.tar", &large()[1..]),
    ]);
    let path = case.fetch("hf:org/vit/small/vit b.safetensors").unwrap();
    assert_eq!(fs::read(&path).unwrap(), large());
    assert_eq!(fs::read(path.with_file_name("config.json")).unwrap(), b"{}");
    let root = format!("snapshots/{COMMIT}");
    assert_eq!(case.cached(&root), ["small"]);
    assert_eq!(case.cached(&format!("{root}/small")).len(), 2);
    let path = case
        .fetch(&format!("hf:org/vit@{COMMIT}/small/vit.pth.tar"))
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), large()[1..]);
}

#[test]
fn shards_and_native_folders_are_complete_or_not_there() {
    let index = br#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
    let case = Case::new(&[
        ("model.safetensors.index.json", index),
        ("one.safetensors", &large()),
        ("two.safetensors", &large()[1..]),
    ]);
    let name: HubName = "hf:org/vit".parse().unwrap();
    let folder = case.hub.fetch(&name, |_| {}).unwrap();
    assert_eq!(case.cached(&format!("snapshots/{COMMIT}")).len(), 3);
    fs::remove_file(folder.join("two.safetensors")).unwrap();
    assert_eq!(case.hub.cached(&name), None);

    let ours = [
        "target_encoder.safetensors",
        "optimizer.safetensors",
        "encoder.safetensors",
        "predictor.safetensors",
        "state.json",
    ];
    let case = Case::new(&ours.map(|file| (file, file.as_bytes())));
    case.fetch("hf:org/vit").unwrap();
    let found = case.cached(&format!("snapshots/{COMMIT}"));
    assert_eq!(found.len(), 4, "all but the optimizer: {found:?}");
}

#[test]
fn a_file_of_another_server_is_downloaded_once() {
    let cut = std::sync::atomic::AtomicBool::new(true);
    let server = Server::start(move |request| {
        let answer = match request.path.as_str() {
            "/weights/vit.pth.tar" => Answer::file(&large(), request),
            _ => return Answer::of(404, ""),
        };
        let cuts = request.method == "GET" && cut.swap(false, std::sync::atomic::Ordering::Relaxed);
        let answer = answer.header("ETag", "\"abc-2\"");
        if cuts { answer.cut_after(99) } else { answer }
    });
    let case = Case::new(&[]);
    let folder = case.folder.path().join("weights");
    let url = |file: &str| format!("{}/weights/{file}", server.url());
    let path = case
        .hub
        .download_file(&url("vit.pth.tar"), &folder, |_| {})
        .unwrap();
    assert_eq!(path, folder.join("vit.pth.tar"));
    assert_eq!(fs::read(&path).unwrap(), large());
    let parts = server.take_requests();
    let parts: Vec<_> = parts
        .iter()
        .map(|request| request.header("range"))
        .collect();
    assert_eq!(parts, [None, None, Some("bytes=99-")]);
    assert_eq!(names_in(&folder).unwrap(), ["vit.pth.tar"]);
    let again = case
        .hub
        .download_file(&url("vit.pth.tar"), &folder, |_| {})
        .unwrap();
    assert_eq!((again, server.take_requests().len()), (path, 0));
    let refusal = case
        .hub
        .download_file(&url("none"), &folder, |_| {})
        .unwrap_err();
    let expected = format!("`{}/weights` has no file `none`", server.url());
    assert_eq!(refusal.to_string(), expected);
}

#[test]
fn any_etag_of_another_server_will_do_and_none_is_a_hash() {
    let hash = "0".repeat(64);
    for etag in ["", "\"a/b+c=\"", hash.as_str()] {
        let named = etag.to_owned();
        let server = Server::start(move |request| match named.is_empty() {
            true => Answer::file(&large(), request),
            false => Answer::file(&large(), request).header("ETag", &named),
        });
        let case = Case::new(&[]);
        let folder = case.folder.path().join("weights");
        let url = format!("{}/vit.pth.tar", server.url());
        // Of another version, perhaps, where nothing names it.
        if etag.is_empty() {
            fs::create_dir_all(&folder).unwrap();
            let partial = super::super::transfer::hex(Sha256::digest(&url));
            fs::write(
                folder.join(format!(".vit.pth.tar.{partial}.incomplete")),
                "old",
            )
            .unwrap();
        }
        let path = case.hub.download_file(&url, &folder, |_| {}).unwrap();
        assert_eq!(fs::read(path).unwrap(), large(), "`{etag}`");
        assert_eq!(names_in(&folder).unwrap(), ["vit.pth.tar"]);
    }
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
