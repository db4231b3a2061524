//! Against a hub on a port of this machine.

use std::{env, fs, io, net::TcpListener, path::Path, process::Command, time::Duration};

use ijepa_testkit::{
    device,
    hub::{COMMIT, HubServer, LICENCE},
    server::{Answer, Server},
};
use tempfile::TempDir;

mod push;

use super::{Event, Hub, HubError, HubName};
use crate::VisionTransformer;

const REPOSITORY: &str = "org/vit";

/// A hub with a repository, and a client of it with a cache of its own.
struct Case {
    server: HubServer,
    hub: Hub,
    folder: TempDir,
}

impl Case {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let server = HubServer::start();
        for (file, content) in files {
            server.add(REPOSITORY, file, *content);
        }
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub {
            endpoint: server.url().to_owned(),
            cache: folder.path().join("hub"),
            token: None,
            offline: false,
            pause: Duration::ZERO,
        };
        Self {
            server,
            hub,
            folder,
        }
    }

    fn fetch(&self, name: &str) -> Result<std::path::PathBuf, HubError> {
        self.hub.fetch(&name.parse().unwrap(), |_| {})
    }

    /// What an attempt to fetch `name` says.
    fn refusal(&self, name: &str) -> String {
        let text = self.fetch(name).unwrap_err().to_string();
        text.replace(self.server.url(), "HUB")
            .replace(&*self.folder.path().to_string_lossy(), "FOLDER")
    }

    /// Names of what lies in a folder of the cached repository.
    fn cached(&self, folder: &str) -> Vec<String> {
        let folder = self.hub.cache.join("models--org--vit").join(folder);
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Bytes of a file that lies with the server of large files.
fn large() -> Vec<u8> {
    (0..5000_u32)
        .map(|index| (index * index % 251) as u8)
        .collect()
}

#[test]
fn a_folder_of_weights_is_downloaded_once_and_only_what_is_needed() {
    let weights = large();
    let case = Case::new(&[
        (".gitattributes", b"*"),
        ("config.json", b"{}"),
        ("optimizer.bin", &weights[1..]),
        ("model.safetensors", &weights),
    ]);
    case.server.state().token = Some("secret".into());
    let hub = Hub {
        token: Some("secret".into()),
        ..case.hub.clone()
    };
    let name: HubName = "hf:org/vit".parse().unwrap();
    assert_eq!(hub.cached(&name), None);
    let mut events = Vec::new();
    let folder = hub
        .fetch(&name, |event| events.push(format!("{event:?}")))
        .unwrap();
    assert_eq!(
        events[0],
        format!("Begins {{ licence: Some({LICENCE:?}) }}")
    );
    let last = r#"Bytes { file: "model.safetensors", done: 5000, total: 5000 }"#;
    assert_eq!(events.last().unwrap(), last);

    let root = hub.cache.join("models--org--vit");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), weights);
    let snapshot = case.cached(&format!("snapshots/{COMMIT}"));
    assert_eq!(snapshot, ["config.json", "model.safetensors"]);
    // The blob of a large file is called by its SHA-256, that of another by 40 digits.
    let mut lengths: Vec<usize> = case.cached("blobs").iter().map(String::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [40, 64]);
    #[cfg(unix)]
    assert!(
        fs::read_link(folder.join("config.json"))
            .unwrap()
            .starts_with("../../blobs")
    );

    assert!(!case.server.take_requests().is_empty());
    let offline = Hub {
        offline: true,
        ..hub
    };
    assert_eq!(
        offline.fetch(&name, |_| panic!("nothing begins")).unwrap(),
        folder
    );
    assert!(case.server.take_requests().is_empty());
}

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
        Event::Begins { .. } => {}
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

#[test]
fn a_repository_of_many_files_is_not_listed_as_a_whole() {
    let names: Vec<String> = (10..24).map(|index| format!("{index}.txt")).collect();
    let case = Case::new(
        &names
            .iter()
            .map(|name| (name.as_str(), &b"x"[..]))
            .collect::<Vec<_>>(),
    );
    let refusal = case.refusal("hf:org/vit");
    assert!(refusal.ends_with("18.txt, 19.txt and 4 more"), "{refusal}");
}

#[test]
fn refusals_say_what_to_do() {
    let case = Case::new(&[("config.json", b"{}"), ("other.txt", b"text")]);
    assert_eq!(
        case.refusal("hf:org/nothing"),
        "HUB has no repository `org/nothing`, or it is private: set HF_TOKEN to a token of an \
         account that may read it"
    );
    assert_eq!(
        case.refusal("hf:org/vit@v2"),
        "`org/vit` has no revision `v2`"
    );
    assert_eq!(
        case.refusal("hf:org/vit/weights/vit.pth"),
        "`org/vit` has no file `weights/vit.pth`"
    );
    assert_eq!(
        case.refusal("hf:org/vit"),
        "`org/vit` has no weights under a usual name, name a file: config.json, other.txt"
    );
    case.server.state().is_gated = true;
    assert_eq!(
        case.refusal("hf:org/vit"),
        "`org/vit` is gated: accept its terms at HUB/org/vit and set HF_TOKEN to a token of that \
         account (HUB/settings/tokens)"
    );
    case.server.state().token = Some("secret".into());
    assert_eq!(
        case.refusal("hf:org/vit"),
        "HUB refuses access to `org/vit`: set HF_TOKEN to a valid token of an account that may \
         read it"
    );
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

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let alone = Hub {
        endpoint: format!("http://{nobody}"),
        ..case.hub
    };
    let refusal = alone.fetch(&name, |_| {}).unwrap_err().to_string();
    assert_eq!(
        refusal,
        format!(
            "cannot reach http://{nobody}/api/models/org/vit/revision/main; only what was \
             downloaded before needs no network"
        )
    );
}

#[test]
fn something_else_than_a_hub_is_told_apart() {
    let server = Server::start(|_| Answer::of(200, "<html>"));
    let case = Case::new(&[]);
    let hub = Hub {
        endpoint: server.url().to_owned(),
        ..case.hub
    };
    let refusal = hub
        .fetch(&"hf:org/vit".parse().unwrap(), |_| {})
        .unwrap_err();
    assert!(matches!(refusal, HubError::Answer { .. }), "{refusal}");
    let busy = Server::start(|_| Answer::of(503, ""));
    let hub = Hub {
        endpoint: busy.url().to_owned(),
        ..hub
    };
    let refusal = hub
        .fetch(&"hf:org/vit".parse().unwrap(), |_| {})
        .unwrap_err();
    assert!(
        refusal.to_string().ends_with(" answers with status 503"),
        "{refusal}"
    );
}

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
fn a_branch_that_moves_is_followed_when_asked_to() {
    let case = Case::new(&[("model.safetensors", &large())]);
    let reference = case.hub.cache.join("models--org--vit/refs/main");
    case.fetch("hf:org/vit").unwrap();
    let old = "f".repeat(40);
    fs::rename(
        case.hub
            .cache
            .join(format!("models--org--vit/snapshots/{COMMIT}")),
        case.hub
            .cache
            .join(format!("models--org--vit/snapshots/{old}")),
    )
    .unwrap();
    fs::write(&reference, &old).unwrap();
    case.server.take_requests();
    assert!(case.fetch("hf:org/vit").unwrap().ends_with(&old));
    assert!(case.server.take_requests().is_empty());
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
fn an_encoder_is_loaded_by_its_name() {
    const CHILD: &str = "IJEPA_TEST_OF_NAMES";
    if env::var_os(CHILD).is_some() {
        let encoder = VisionTransformer::from_pretrained("org/vit", &device()).unwrap();
        assert_eq!(encoder.config().depth, 3);
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hf_tiny_saved");
    let files = ["config.json", "model.safetensors"];
    let files = files.map(|file| (file, fs::read(golden.join(file)).unwrap()));
    let case = Case::new(
        &files
            .each_ref()
            .map(|(file, content)| (*file, content.as_slice())),
    );
    // In a process of its own, which has the variables of the environment for itself.
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "hub::tests::an_encoder_is_loaded_by_its_name"])
        .envs([(CHILD, "1"), ("HF_ENDPOINT", case.server.url())])
        .env("HF_HOME", case.folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(!case.server.take_requests().is_empty());
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

fn hub(set: &[(&str, &str)]) -> Hub {
    let value = |name: &str| set.iter().find(|(set, _)| *set == name);
    let value = |name: &str| Some(value(name)?.1.to_owned());
    Hub::from_variables(value, Path::new("/caches"))
}

#[test]
fn variables_are_those_of_the_hubs_tools() {
    let plain = hub(&[("HF_HUB_OFFLINE", "0"), ("HF_TOKEN", "")]);
    assert_eq!(plain.endpoint, "https://huggingface.co");
    assert_eq!(plain.cache, Path::new("/caches/huggingface/hub"));
    assert_eq!((plain.token, plain.offline), (None, false));
    let set = hub(&[
        ("HF_ENDPOINT", "http://mirror:80/"),
        ("HF_HOME", "/home"),
        ("HF_TOKEN", "secret\n"),
        ("HF_HUB_OFFLINE", "ON"),
    ]);
    assert_eq!(set.endpoint, "http://mirror:80");
    assert_eq!(set.cache, Path::new("/home/hub"));
    assert_eq!((set.token.as_deref(), set.offline), (Some("secret"), true));
    let moved = hub(&[("HF_HOME", "/home"), ("HF_HUB_CACHE", "/large")]);
    assert_eq!(moved.cache, Path::new("/large"));
}
