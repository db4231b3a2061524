//! What a hub does not have or give, and servers that are none.

use ijepa_testkit::server::{Answer, Server};

use super::{Case, Hub, HubError};

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
