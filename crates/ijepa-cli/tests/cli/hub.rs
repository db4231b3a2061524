//! Weights of a hub on a port of this machine.

use std::{fs, path::Path};

use ijepa_testkit::{
    device_name,
    hub::{COMMIT, HubServer, LICENCE},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Features, Run, command, finished, golden, json, path_text, text, words};

/// A hub, and a home with a cache of its own.
struct Case {
    server: HubServer,
    home: TempDir,
}

impl Case {
    /// With the encoder of `transformers` and an official checkpoint.
    fn new() -> Self {
        let server = HubServer::start();
        let saved = golden("hf_tiny_saved");
        for file in ["config.json", "model.safetensors"] {
            let content = fs::read(Path::new(&saved).join(file)).unwrap();
            server.add("org/vit", file, content);
        }
        server.add(
            "org/vit",
            "README.md",
            format!("---\nlicense: {LICENCE}\n---\n"),
        );
        let official = fs::read(golden("torch/tiny_ckpt.pth.tar")).unwrap();
        server.add("org/vit", "full/vit.pth.tar", official);
        let home = tempfile::tempdir().unwrap();
        Self { server, home }
    }

    fn at(&self, name: &str) -> String {
        path_text(self.home.path().join(name))
    }

    /// Runs a command line with the hub, and with other variables.
    fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Run {
        let mut command = command(&words(line));
        command
            .env("HF_ENDPOINT", self.server.url())
            .env("HF_HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path())
            .envs(variables.iter().copied());
        finished(command)
    }

    fn run(&self, line: &str) -> Run {
        self.run_with(line, &[])
    }

    /// What a command that fails with exit code 5 says.
    fn refusal(&self, line: &str, variables: &[(&str, &str)]) -> String {
        let run = self.run_with(line, variables);
        assert_eq!(run.code, Some(5), "{line}: {run:?}");
        run.stderr.replace(self.server.url(), "HUB")
    }
}

fn result(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn weights_of_the_hub_are_those_of_a_folder_and_need_no_network_twice() {
    let case = Case::new();
    case.server.state().cuts = vec![300];
    let embed = |weights: &str, out: &str| {
        let out = case.at(out);
        let device = device_name();
        format!("embed --device {device} --data scenes:n=3,size=32 --out {out} --weights {weights}")
    };
    let first = case.run(&embed("hf:org/vit", "first.safetensors"));
    assert_eq!(first.code, Some(0), "{first:?}");
    let licence = format!("hf:org/vit: licence {LICENCE}\n");
    assert!(first.stderr.contains(&licence), "{first:?}");
    let local = embed(&golden("hf_tiny_saved"), "local.safetensors");
    assert_eq!(case.run(&local).code, Some(0));
    let features = |name: &str| Features::read(case.at(name));
    assert_eq!(features("first.safetensors"), features("local.safetensors"));

    case.server.take_requests();
    let offline = [("HF_HUB_OFFLINE", "1")];
    let line = embed("hf:org/vit", "again.safetensors");
    let again = case.run_with(&format!("{line} --quiet"), &offline);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(features("again.safetensors"), features("local.safetensors"));
    let elsewhere = case.run_with(&line, &[("HF_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(elsewhere.code, Some(0), "{elsewhere:?}");
    assert!(case.server.take_requests().is_empty());
}

#[test]
fn commands_that_take_weights_take_those_of_the_hub() {
    let case = Case::new();
    let file = format!("hf:org/vit@{COMMIT}/full/vit.pth.tar");
    let found = result(&case.run(&format!("inspect {file} --num-heads 3 --json")));
    assert_eq!(found["kind"], "official");
    let out = case.at("converted");
    let run = case.run(&format!("convert hf:org/vit {out} --to hf --quiet"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(
        card.starts_with(&format!("---\nlicense: {LICENCE}\n")),
        "{card}"
    );

    let missing = "error: HUB has no repository `org/none`, or it is private: set HF_TOKEN to a \
                   token of an account that may read it\n";
    let out = case.at("none");
    for line in [
        format!(
            "pretrain --quiet --recipe scenes_vit_nano --data scenes:n=12,size=32 --set \
                 mask.group_size=6 run.batch_size=12 --max-steps 1 --out {out} --init hf:org/none"
        ),
        format!(
            "visualize predictor --data scenes:n=2,size=32 --out {out}.png --weights hf:org/none"
        ),
        "knn --train scenes:n=2,size=32 --test scenes:n=2,size=32 --weights hf:org/none".to_owned(),
    ] {
        assert_eq!(case.refusal(&line, &[]), missing, "{line}");
    }
}

#[test]
fn weights_that_cannot_be_had_exit_with_5_and_say_why() {
    let case = Case::new();
    let inspect = "inspect hf:org/vit";
    let offline = case.refusal(inspect, &[("HF_HUB_OFFLINE", "1")]);
    let end = "models--org--vit` and HF_HUB_OFFLINE forbids to download it\n";
    assert!(
        offline.starts_with("error: `hf:org/vit` is not in `"),
        "{offline}"
    );
    assert!(offline.ends_with(end), "{offline}");
    let alone = case.refusal(inspect, &[("HF_ENDPOINT", "http://127.0.0.1:1")]);
    let start = "error: cannot reach http://127.0.0.1:1/api/models/org/vit/revision/main; only \
                 what was downloaded before needs no network: ";
    assert!(alone.starts_with(start), "{alone}");
    assert_eq!(
        case.refusal("inspect hf:org/vit@v9", &[]),
        "error: `org/vit` has no revision `v9`\n"
    );
    assert_eq!(
        case.refusal("inspect hf:org/vit/vit.bin", &[]),
        "error: `org/vit` has no file `vit.bin`\n"
    );
    assert_eq!(
        case.refusal("inspect hf:vit", &[]),
        "error: `hf:vit` names no weights of the hub, expected hf:ORG/NAME[@REVISION][/FILE]\n"
    );
    case.server.state().is_gated = true;
    assert_eq!(
        case.refusal(inspect, &[]),
        "error: `org/vit` is gated: accept its terms at HUB/org/vit and set HF_TOKEN to a token of \
         that account (HUB/settings/tokens)\n"
    );
    let mut state = case.server.state();
    (state.is_gated, state.token) = (false, Some("secret".into()));
    drop(state);
    let refused = case.refusal(inspect, &[("HF_TOKEN", "wrong")]);
    assert!(
        refused.starts_with("error: HUB refuses access to `org/vit`"),
        "{refused}"
    );
    let allowed = case.run_with(inspect, &[("HF_TOKEN", "secret")]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
}

#[test]
fn weights_that_were_pushed_are_had_by_their_name() {
    let case = Case::new();
    case.server.state().token = Some("secret".into());
    let token = [("HF_TOKEN", "secret")];
    let (official, folder) = (golden("torch/tiny_ckpt.pth.tar"), case.at("tiny"));
    let converted = format!("convert {official} {folder} --to hf --license mit --num-heads 3");
    assert_eq!(case.run(&converted).code, Some(0));
    let push = format!("push {folder} hf:org/tiny --json");
    let pushed = result(&case.run_with(&push, &token));
    let url = format!("https://hub/org/tiny/commit/{COMMIT}");
    assert_eq!(
        (&pushed["url"], &pushed["name"]),
        (&url.into(), &"hf:org/tiny".into())
    );
    let out = |name: &str| case.at(name);
    for (weights, name) in [(folder.as_str(), "a"), ("hf:org/tiny", "b")] {
        let device = device_name();
        let embed = format!(
            "embed --device {device} --data scenes:n=3,size=32 --out {}.safetensors --weights {weights}",
            out(name)
        );
        let run = case.run_with(&embed, &token);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let features = |name: &str| Features::read(out(name) + ".safetensors");
    assert_eq!(features("a"), features("b"));

    let alone = case.refusal(&push, &[]);
    assert!(
        alone.starts_with("error: uploading needs an account: "),
        "{alone}"
    );
    let file = case.run(&format!("push {folder} hf:org/tiny/model.safetensors"));
    assert_eq!(file.code, Some(2), "{file:?}");
}

#[test]
fn published_weights_are_listed_and_got() {
    let listed = text(&["weights", "list"]);
    let first = listed.lines().next().unwrap();
    let cells: Vec<&str> = first
        .split("  ")
        .filter(|cell| !cell.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        cells,
        [
            "in1k_vith14_ep300",
            "vit_h14 224",
            "ImageNet-1k",
            "context, target, predictor",
            "cc-by-nc-4.0"
        ]
    );
    let found = json(&["weights", "list"]);
    let weights = found["weights"].as_array().unwrap();
    assert_eq!(weights.len(), listed.lines().count());
    let hub = "hf:facebook/ijepa_vitg16_22k";
    let giant = weights.iter().find(|known| known["name"] == hub).unwrap();
    assert_eq!(giant["address"]["hub"], hub);
    assert_eq!(giant["holds"], serde_json::json!(["context"]));

    let case = Case::new();
    let got = case.run("weights get hf:org/vit");
    let cached = case.at(&format!("hub/models--org--vit/snapshots/{COMMIT}"));
    assert_eq!(got.stdout, format!("{cached}\n"), "{got:?}");
    assert!(
        got.stderr
            .contains(&format!("hf:org/vit: licence {LICENCE}\n"))
    );
    let out = case.at("weights");
    let line = format!("weights get hf:org/vit/full/vit.pth.tar --json --out {out}");
    let file = result(&case.run(&line));
    assert_eq!(file["path"], format!("{out}/vit.pth.tar"));
    assert_eq!(file["licence"], LICENCE);
    let official = fs::read(golden("torch/tiny_ckpt.pth.tar")).unwrap();
    assert_eq!(fs::read(format!("{out}/vit.pth.tar")).unwrap(), official);
    let again = case.run(&line);
    assert_eq!(again.code, Some(1), "{again:?}");
    let folder = case.run_with(
        &format!("weights get hf:org/vit --quiet --out {out}"),
        &[("HF_HUB_OFFLINE", "1")],
    );
    assert_eq!((folder.code, folder.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::read_dir(format!("{out}/vit")).unwrap().count(), 3);

    // What is read beside a file comes with it.
    let line = format!("weights get hf:org/vit/model.safetensors --json --out {out}/file");
    let file = result(&case.run(&line));
    assert_eq!(file["path"], format!("{out}/file/vit/model.safetensors"));
    assert!(Path::new(&format!("{out}/file/vit/config.json")).is_file());
    let again = case.run(&line);
    assert_eq!(again.code, Some(1), "{again:?}");

    let offline = case.refusal("weights get in1k_vith14_ep300", &[("HF_HUB_OFFLINE", "1")]);
    let place = case.at("ijepa/weights");
    assert_eq!(
        offline,
        format!(
            "error: `https://dl.fbaipublicfiles.com/ijepa/IN1K-vit.h.14-300e.pth.tar` is not in \
             `{place}` and HF_HUB_OFFLINE forbids to download it\n"
        )
    );
    let unknown = case.run("weights get in1k");
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown
            .stderr
            .contains("expected a name of `ijepa weights list`"),
        "{unknown:?}"
    );
}
