//! Downloads that are cut off or damaged.

use std::fs;

use ijepa_testkit::hub::COMMIT;

use super::super::Event;
use super::{Case, large};

#[test]
fn a_connection_that_is_cut_off_goes_on_from_there() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().cuts = vec![1000, 0, 500];
    let path = case.fetch("hf:org/vit/model.safetensors").unwrap();
    assert_eq!(fs::read(path).unwrap(), large());
    let requests = case.server.take_requests();
    let sent = requests
        .iter()
        .filter(|asked| asked.starts_with("GET /cdn"));
    assert_eq!(sent.count(), 4, "{requests:?}");
}

#[test]
fn a_hub_that_is_too_busy_is_asked_again_and_not_for_ever() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().refused = 4;
    let path = case.fetch("hf:org/vit/model.safetensors").unwrap();
    assert_eq!(fs::read(path).unwrap(), large());

    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().refused = usize::MAX;
    let refusal = case.refusal("hf:org/vit");
    assert!(refusal.contains("503"), "{refusal}");
    assert_eq!(case.server.take_requests().len(), 5);
}

#[test]
fn a_connection_that_stays_cut_off_is_given_up_and_what_came_is_kept() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().cuts = vec![1234, 0, 0, 0, 0];
    assert_eq!(
        case.refusal("hf:org/vit"),
        "the download of `model.safetensors` was cut off after 1234 bytes, the same command goes \
         on from there"
    );
    assert!(case.server.state().cuts.is_empty());
    let mut first = None;
    let name = "hf:org/vit".parse().unwrap();
    let folder = case.hub.fetch(&name, |event| match event {
        Event::Bytes { done, .. } => first = first.or(Some(done)),
        Event::Begins { .. } | Event::Doubtful { .. } => {}
    });
    assert_eq!(first, Some(1234));
    assert_eq!(
        fs::read(folder.unwrap().join("model.safetensors")).unwrap(),
        large()
    );
    assert_eq!(case.cached("blobs").len(), 1);
}

#[test]
fn a_server_that_knows_no_parts_sends_all_again() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().cuts = vec![1000];
    case.server.state().ignores_ranges = true;
    let path = case.fetch("hf:org/vit/model.safetensors").unwrap();
    assert_eq!(fs::read(path).unwrap(), large());
}

#[test]
fn damaged_bytes_are_no_weights_and_are_downloaded_again() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.server.state().is_damaged = true;
    let refusal = case.refusal("hf:org/vit");
    let start = "`model.safetensors` was damaged on its way (SHA-256 ";
    assert!(refusal.starts_with(start), "{refusal}");
    assert_eq!(case.hub.cached(&"hf:org/vit".parse().unwrap()), None);
    case.server.state().is_damaged = false;
    let path = case.fetch("hf:org/vit").unwrap();
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), large());
}

#[test]
fn what_another_file_has_left_is_not_built_upon() {
    let case = Case::new(&[("model.safetensors", &large())]);
    case.fetch("hf:org/vit").unwrap();
    let snapshot = case
        .hub
        .cache
        .join(format!("models--org--vit/snapshots/{COMMIT}"));
    let blob = fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    for length in [100, 5000, 6000] {
        fs::remove_dir_all(&snapshot).unwrap();
        fs::remove_file(&blob).unwrap();
        fs::write(blob.with_added_extension("incomplete"), vec![7; length]).unwrap();
        let folder = case.fetch("hf:org/vit").unwrap();
        assert_eq!(
            fs::read(folder.join("model.safetensors")).unwrap(),
            large(),
            "{length}"
        );
    }
}
