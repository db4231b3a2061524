//! Against a hub on a port of this machine.

use std::{env, fs, path::Path, process::Command, time::Duration};

use ijepa_testkit::{
    device,
    hub::{COMMIT, HubServer, LICENCE},
    undisturbed,
};
use tempfile::TempDir;

mod cache;
mod files;
mod interrupted;
mod push;
mod refusals;

use super::{Hub, HubError, HubName};
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
            patience: Duration::from_secs(60),
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
    let mut child = Command::new(env::current_exe().unwrap());
    let child = undisturbed(&mut child, case.folder.path())
        .args(["--exact", "hub::tests::an_encoder_is_loaded_by_its_name"])
        .envs([(CHILD, "1"), ("HF_ENDPOINT", case.server.url())])
        .env("HF_HOME", case.folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(!case.server.take_requests().is_empty());
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
