//! Uploads.

use super::*;

/// A folder with weights of `large` bytes, and a hub that knows a token.
fn case_with_weights() -> (Case, Hub, std::path::PathBuf) {
    let case = Case::new(&[]);
    case.server.state().token = Some("secret".into());
    let hub = Hub {
        token: Some("secret".into()),
        ..case.hub.clone()
    };
    let folder = case.folder.path().join("vit");
    fs::create_dir(&folder).unwrap();
    let files: [(&str, &[u8]); 4] = [
        ("README.md", b"---\nlicense: mit\n---\n"),
        ("config.json", b"{}"),
        ("model.safetensors", &large()),
        (".cache", b"hidden"),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    (case, hub, folder)
}

fn name() -> HubName {
    "hf:org/new".parse().unwrap()
}

#[test]
fn a_folder_of_weights_comes_back_as_it_was_sent() {
    let (case, hub, folder) = case_with_weights();
    let mut events = Vec::new();
    let url = hub
        .push(&folder, &name(), true, |event| {
            events.push(format!("{event:?}"));
        })
        .unwrap();
    assert_eq!(url, format!("https://hub/org/new/commit/{COMMIT}"));
    let last = r#"Bytes { file: "model.safetensors", done: 5000, total: 5000 }"#;
    assert_eq!(events.last().unwrap(), last);
    assert!(case.server.state().private["org/new"]);
    assert_eq!(case.server.content("org/new", ".cache"), None);
    let snapshot = hub.fetch(&name(), |_| {}).unwrap();
    assert_eq!(fs::read(snapshot.join("config.json")).unwrap(), b"{}");
    let weights = fs::read(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(weights, large());
    let card = case.server.content("org/new", "README.md").unwrap();
    assert_eq!(card, fs::read(folder.join("README.md")).unwrap());
}

#[test]
fn what_the_hub_has_is_not_sent_again_and_no_repository_is_made_twice() {
    let (case, hub, folder) = case_with_weights();
    hub.push(&folder, &name(), false, |_| {}).unwrap();
    fs::write(folder.join("config.json"), r#"{"changed": 1}"#).unwrap();
    case.server.take_requests();
    hub.push(&folder, &name(), false, |_| {}).unwrap();
    let requests = case.server.take_requests();
    let again = |part: &str| requests.iter().any(|asked| asked.contains(part));
    assert!(!again("PUT") && !again("create"), "{requests:?}");
    let config = case.server.content("org/new", "config.json").unwrap();
    assert_eq!(config, br#"{"changed": 1}"#);
}

#[test]
fn an_upload_that_fails_for_now_is_tried_again() {
    let (case, hub, folder) = case_with_weights();
    case.server.state().lost_uploads = 4;
    hub.push(&folder, &name(), false, |_| {}).unwrap();
    let weights = case.server.content("org/new", "model.safetensors");
    assert_eq!(weights.unwrap(), large());
}

#[test]
fn who_may_not_upload_is_told_why() {
    let (case, hub, folder) = case_with_weights();
    let refusal = |hub: &Hub, folder: &Path| {
        let error = hub.push(folder, &name(), false, |_| {}).unwrap_err();
        let text = error.to_string().replace(case.server.url(), "HUB");
        text.replace(&*case.folder.path().to_string_lossy(), "FOLDER")
    };
    let without = Hub {
        token: None,
        ..hub.clone()
    };
    assert_eq!(
        refusal(&without, &folder),
        "uploading needs an account: set HF_TOKEN to a token of it that may write \
         (HUB/settings/tokens)"
    );
    let offline = Hub {
        offline: true,
        ..hub.clone()
    };
    assert_eq!(
        refusal(&offline, &folder),
        "nothing is uploaded while HF_HUB_OFFLINE is set; unset it"
    );
    assert_eq!(
        refusal(&hub, case.folder.path()),
        "`FOLDER` is no folder of weights; `ijepa convert IN OUT --to hf` writes one"
    );
    assert!(case.server.take_requests().is_empty());
    case.server.state().is_read_only = true;
    assert_eq!(
        refusal(&hub, &folder),
        "HUB does not let the account of HF_TOKEN write to `org/new`: You have read access only"
    );
    case.server.state().is_read_only = false;
    case.server.state().lost_uploads = 5;
    assert_eq!(
        refusal(&hub, &folder),
        "the upload of `model.safetensors` was cut off; the same command sends what the hub lacks"
    );
    assert_eq!(case.server.content("org/new", "config.json"), None);
}
