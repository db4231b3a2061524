//! What the cache has, from this program or from others.

use std::fs;

use ijepa_testkit::hub::COMMIT;

use super::{Case, Hub, large};
use crate::hub::Event;

#[test]
fn what_others_have_in_the_cache_is_found_or_completed() {
    let case = Case::new(&[("config.json", b"{}"), ("model.safetensors", &large())]);
    let root = case.hub.cache.join("models--org--vit");
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    fs::write(snapshot.join("config.json"), "of others").unwrap();
    assert_eq!(case.fetch("hf:org/vit").unwrap(), snapshot);
    let config = fs::read_to_string(snapshot.join("config.json")).unwrap();
    assert_eq!(config, "of others");
    assert_eq!(
        fs::read(snapshot.join("model.safetensors")).unwrap(),
        large()
    );
    fs::write(snapshot.join("model.safetensors"), "of others").unwrap();
    case.server.take_requests();
    assert_eq!(case.fetch("hf:org/vit").unwrap(), snapshot);
    assert_eq!(
        case.fetch(&format!("hf:org/vit@{COMMIT}")).unwrap(),
        snapshot
    );
    assert!(case.server.take_requests().is_empty());
}

#[test]
fn what_belongs_to_weights_of_others_in_the_cache_is_asked_for_once() {
    let case = Case::new(&[
        ("config.json", b"{}"),
        ("model.safetensors", &large()),
        ("preprocessor_config.json", b"{}"),
    ]);
    let root = case.hub.cache.join("models--org--vit");
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(root.join("refs/main"), COMMIT).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::write(snapshot.join(file), "of others").unwrap();
    }
    let name = "hf:org/vit".parse().unwrap();
    for hub in [
        Hub {
            offline: true,
            ..case.hub.clone()
        },
        Hub {
            endpoint: "http://127.0.0.1:1".to_owned(),
            ..case.hub.clone()
        },
    ] {
        assert_eq!(hub.fetch(&name, |_| {}).unwrap(), snapshot);
    }
    // Weights that are there are used whatever the hub says.
    case.server.state().token = Some("secret".into());
    let mut doubts = 0;
    let count = |event: Event<'_>| doubts += u32::from(matches!(event, Event::Doubtful { .. }));
    assert_eq!(case.hub.fetch(&name, count).unwrap(), snapshot);
    assert_eq!(doubts, 1);
    case.server.state().token = None;
    let statistics = snapshot.join("preprocessor_config.json");
    assert!(!statistics.exists());
    case.fetch("hf:org/vit").unwrap();
    assert_eq!(fs::read(&statistics).unwrap(), b"{}");
    case.server.take_requests();
    case.fetch("hf:org/vit").unwrap();
    assert!(case.server.take_requests().is_empty());
}

#[test]
fn without_a_network_only_the_cache_is_there() {
    let case = Case::new(&[]);
    let offline = Hub {
        offline: true,
        ..case.hub.clone()
    };
    let name = "hf:org/vit".parse().unwrap();
    let refusal = offline.fetch(&name, |_| {}).unwrap_err().to_string();
    let place = case.folder.path().join("hub/models--org--vit");
    assert_eq!(
        refusal,
        format!(
            "`hf:org/vit` is not in `{}` and HF_HUB_OFFLINE forbids to download it",
            place.display()
        )
    );
    assert!(case.server.take_requests().is_empty());

    let alone = Hub {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..case.hub
    };
    let refusal = alone.fetch(&name, |_| {}).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "cannot reach http://127.0.0.1:1/api/models/org/vit/revision/main; only what was \
         downloaded before needs no network"
    );
}

#[test]
fn a_branch_that_moves_is_followed_when_asked_to() {
    let case = Case::new(&[("model.safetensors", &large())]);
    let reference = case.hub.cache.join("models--org--vit/refs/main");
    case.fetch("hf:org/vit").unwrap();
    let old = "f".repeat(40);
    let root = case.hub.cache.join("models--org--vit");
    let commits = root.join("snapshots");
    fs::rename(commits.join(COMMIT), commits.join(&old)).unwrap();
    fs::write(&reference, &old).unwrap();
    case.server.take_requests();
    // Others have filled the cache: what else belongs to that commit is asked for, nothing newer.
    assert!(case.fetch("hf:org/vit").unwrap().ends_with(&old));
    assert_eq!(fs::read_to_string(&reference).unwrap(), old);
    let asked = case.server.take_requests();
    assert!(asked.iter().all(|asked| asked.contains(&old)), "{asked:?}");
    let newer = case
        .hub
        .download(&"hf:org/vit".parse().unwrap(), |_| {})
        .unwrap();
    assert!(newer.ends_with(COMMIT));
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
    let requests = case.server.take_requests();
    assert!(
        !requests.iter().any(|asked| asked.starts_with("GET /cdn")),
        "{requests:?}"
    );
}

#[test]
fn two_downloads_of_a_file_are_one() {
    let case = Case::new(&[("model.safetensors", &large())]);
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| case.fetch("hf:org/vit").unwrap()));
        for path in both.map(|thread| thread.join().unwrap()) {
            assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), large());
        }
    });
    let requests = case.server.take_requests();
    let sent = requests
        .iter()
        .filter(|asked| asked.starts_with("GET /cdn"));
    assert_eq!(sent.count(), 1, "{requests:?}");
}
