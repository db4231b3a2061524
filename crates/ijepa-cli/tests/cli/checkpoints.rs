//! `inspect` and `convert`.

use std::path::Path;

use ijepa_model::{VisionTransformerConfig, checkpoint::Format};
use ijepa_testkit::{assert_close, device, device_name};
use serde_json::json as object;

use crate::support::{Features, golden, ijepa, json, path_text, text};

fn official() -> String {
    golden("torch/tiny_ckpt.pth.tar")
}

#[test]
fn weights_that_are_no_numbers_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let [native, hf] = ["native", "hf"].map(|name| path_text(folder.path().join(name)));
    text(&[
        "convert",
        &official(),
        &native,
        "--to",
        "native",
        "--num-heads",
        "3",
    ]);
    let file = Path::new(&native).join("target_encoder.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let npy = path_text(folder.path().join("a.npy"));
    let given = format!("--weights {native}");
    let data = "scenes:n=8,size=32";
    for command in [
        format!("inspect {native}"),
        format!("convert {native} {hf} --to hf"),
        format!("embed {given} --data {data} --out {npy}"),
        format!("serve {given} --address 127.0.0.1:0"),
        format!("finetune {given} --train {data} --test {data} --batch-size 8 --out {hf}"),
    ] {
        let run = ijepa(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(run.code, Some(5), "{run:?}");
        assert!(run.stderr.contains("is not finite"), "{run:?}");
        let left = [&npy, &hf].map(|path| Path::new(path).exists());
        assert_eq!(left, [false; 2], "{command}");
    }
}

#[test]
fn what_is_damaged_is_not_said_to_fit() {
    let folder = tempfile::tempdir().unwrap();
    let inspected = |path: &Path, tensor: &str| {
        let run = ijepa(&["inspect", &path_text(path), "--num-heads", "3"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(5), ""), "{run:?}");
        assert!(run.stderr.contains(tensor), "{run:?}");
    };
    // The middle of the file lies in a tensor, whose checksum is another then.
    let damaged = folder.path().join("damaged.pth.tar");
    let mut bytes = std::fs::read(official()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    inspected(&damaged, "/data/115");

    let native = folder.path().join("native");
    let to = path_text(&native);
    let convert = [
        "convert",
        &official(),
        &to,
        "--to",
        "native",
        "--num-heads",
        "3",
    ];
    text(&convert);
    for (file, tensor) in [
        ("optimizer.safetensors", "of optimizer is not finite"),
        ("predictor.safetensors", "of predictor is not finite"),
        ("encoder.safetensors", "of encoder is not finite"),
    ] {
        let file = native.join(file);
        let mut bytes = std::fs::read(&file).unwrap();
        let end = bytes.len() - 4;
        bytes[end..].copy_from_slice(&f32::INFINITY.to_le_bytes());
        std::fs::write(&file, bytes).unwrap();
        inspected(&native, tensor);
    }
}

#[test]
fn weights_alone_say_no_epoch() {
    let found = json(&["inspect", &golden("hf_tiny_saved")]);
    assert!(
        found["epoch"].is_null() && found["step"].is_null(),
        "{found}"
    );
}

#[test]
fn an_official_file_is_described() {
    let found = json(&["inspect", &official(), "--num-heads", "3"]);
    assert_eq!(found["kind"], "official");
    assert_eq!(found["epoch"], 2);
    assert_eq!(found["encoder"]["embed_dim"], 48);
    assert_eq!(found["encoder"]["num_heads"], 3);
    assert_eq!(found["predictor"]["dim"], 24);
    assert_eq!(found["optimizer"]["step"], 10);
    assert!(found["scaler"].is_null() && found["recipe"].is_null());
    let networks = found["networks"].as_array().unwrap();
    let names: Vec<&str> = networks
        .iter()
        .map(|n| n["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["encoder", "predictor", "target_encoder"]);
    // 48 wide, 3 blocks, MLP 192, patches of 8: positions are not counted.
    let block = 4 * 48 + (3 * 48 * 48 + 3 * 48) + (48 * 48 + 48) + (2 * 48 * 192 + 192 + 48);
    let parameters = (3 * 64 * 48 + 48) + 3 * block + 2 * 48;
    assert_eq!(networks[0]["parameters"], parameters);
    let tensor = object!({"name": "pos_embed", "shape": [1, 16, 48]});
    assert!(networks[0]["tensors"].as_array().unwrap().contains(&tensor));
    assert_eq!(found["fits"], true);

    let with_scaler = golden("torch/tiny_ckpt_step0_with_scaler.pth.tar");
    let found = json(&["inspect", &with_scaler, "--num-heads", "3"]);
    assert_eq!(found["scaler"]["scale"], 65536.0);
}

#[test]
fn a_hugging_face_folder_is_described() {
    let path = golden("hf_tiny_saved");
    let found = json(&["inspect", &path]);
    assert_eq!(found["kind"], "hugging_face");
    assert_eq!(found["networks"].as_array().unwrap().len(), 1);
    assert!(found["optimizer"].is_null());
    let shown = text(&["inspect", &path]);
    assert!(shown.contains("41 tensors, 94176 parameters"), "{shown}");
    assert!(shown.contains("encoder fits its own sizes"), "{shown}");
    assert!(!shown.contains("blocks.2.attn.qkv.weight"), "{shown}");
    let verbose = text(&["inspect", &path, "-v"]);
    assert!(
        verbose.contains("blocks.2.attn.qkv.weight [144, 48]"),
        "{verbose}"
    );
}

#[test]
fn everything_that_does_not_fit_an_architecture_is_listed() {
    // The file does not record its heads, the architecture has some.
    let args = ["inspect", &official(), "--arch", "vit_ti16"];
    let found = json(&args);
    assert_eq!(found["fits"], false);
    let encoder = &found["mismatches"][0];
    assert_eq!(encoder["network"], "encoder");
    // Nine blocks of twelve tensors are absent, nothing is left over.
    let missing = encoder["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 9 * 12);
    assert!(missing.contains(&"blocks.3.norm1.weight".into()));
    assert_eq!(encoder["unexpected"], object!([]));
    let projection = object!({
        "name": "patch_embed.proj.weight",
        "found": [48, 3, 8, 8],
        "expected": [192, 3, 16, 16],
    });
    assert!(
        encoder["misshaped"]
            .as_array()
            .unwrap()
            .contains(&projection)
    );
    let shown = text(&args);
    assert!(shown.contains("missing blocks.11.mlp.fc2.bias"), "{shown}");
    let sizes = "patch_embed.proj.weight has shape [48, 3, 8, 8], expected [192, 3, 16, 16]";
    assert!(shown.contains(sizes), "{shown}");
}

#[test]
fn features_survive_every_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path_text(folder.path().join(name));
    let embed = |weights: &str, extra: &[&str]| {
        let out = at("features.safetensors");
        let (device, data) = (device_name(), "scenes:n=6,size=32");
        let common = [
            "embed",
            "-q",
            "--weights",
            weights,
            "--data",
            data,
            "--out",
            &out,
            "--device",
            &device,
        ];
        text(&[&common[..], extra].concat());
        Features::read(out)
    };
    let convert = |from: &str, to: &str, kind: &str, extra: &[&str]| {
        let common = ["convert", from, to, "--to", kind];
        json(&[&common[..], extra].concat())
    };
    let heads = ["--num-heads", "3"];
    let target = embed(&official(), &heads);
    let context = embed(
        &official(),
        &[&heads[..], &["--encoder", "context"]].concat(),
    );
    assert_ne!(target.values, context.values);

    let (native, again, hf, back) = (at("native"), at("b.pth.tar"), at("hf"), at("back"));
    let found = convert(&official(), &native, "native", &heads);
    assert_eq!(found["from"], "official");
    assert_eq!(found["to"], "native");
    assert_eq!(embed(&native, &[]), target);
    convert(&native, &again, "official", &[]);
    assert_eq!(embed(&again, &heads), target);
    let kept = json(&["inspect", &again, "--num-heads", "3"]);
    assert_eq!(
        (&kept["epoch"], &kept["optimizer"]["step"]),
        (&2.into(), &10.into())
    );
    let found = convert(&again, &hf, "hf", &heads);
    assert_eq!(found["encoder"], "target");
    assert_eq!(embed(&hf, &[]), target);
    convert(&hf, &back, "native", &[]);
    assert_eq!(embed(&back, &[]), target);

    let hf_context = at("hf_context");
    convert(&native, &hf_context, "hf", &["--encoder", "context"]);
    assert_eq!(embed(&hf_context, &[]), context);
    let saved = embed(&golden("hf_tiny_saved"), &[]);
    assert_close("hf_tiny_saved", &saved.values, &context.values, 1e-5);
}

#[test]
fn the_card_of_an_export_names_its_licence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path_text(folder.path().join(name));
    let (plain, named, again) = (at("plain"), at("named"), at("again"));
    let convert = |from: &str, to: &str, extra: &[&str]| {
        text(&[&["convert", from, to, "--to", "hf"], extra].concat());
        std::fs::read_to_string(Path::new(to).join("README.md")).unwrap()
    };
    let card = convert(&official(), &plain, &["--num-heads", "3"]);
    assert!(card.starts_with("---\nlicense: unknown\n"), "{card}");
    assert!(card.contains("Fill in `license` above"), "{card}");
    let license = ["--license", "cc-by-nc-4.0"];
    let card = convert(&plain, &named, &license);
    let head = "---\nlicense: cc-by-nc-4.0\nlibrary_name: transformers\n";
    assert!(card.starts_with(head), "{card}");
    assert!(
        card.contains("| width, blocks, heads | 48, 3, 3 |"),
        "{card}"
    );
    assert!(convert(&named, &again, &[]).starts_with(head));
    let run = ijepa(
        &[
            &["convert", &plain, &at("native"), "--to", "native"],
            &license[..],
        ]
        .concat(),
    );
    assert_eq!(run.code, Some(2), "{run:?}");
    let expected = "error: `--license` changes nothing without --to hf or onnx, leave it out\n";
    assert_eq!(run.stderr, expected);
}

#[test]
fn conversions_never_replace_a_file_nor_invent_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = path_text(folder.path().join("out.pth.tar"));
    let saved = golden("hf_tiny_saved");
    let run = ijepa(&["convert", &saved, &out, "--to", "official"]);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(run.stderr, format!("error: `{saved}` has no predictor\n"));
    assert!(!Path::new(&out).exists());

    std::fs::write(&out, "precious").unwrap();
    for kind in ["official", "native", "hf"] {
        let run = ijepa(&[
            "convert",
            &official(),
            &out,
            "--to",
            kind,
            "--num-heads",
            "3",
        ]);
        assert_eq!(run.code, Some(1), "{run:?}");
        let message = format!("error: `{out}` already exists, choose another name\n");
        assert_eq!(run.stderr, message);
    }
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn weights_of_other_channels_see_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grey");
    let encoder = VisionTransformerConfig {
        in_chans: 1,
        ..VisionTransformerConfig::variant("vit_ti16").unwrap()
    };
    let encoder = encoder.with_image_size([32, 32]).init(&device());
    encoder.save(&path, Format::Native).unwrap();
    let weights = path_text(&path);
    let found = json(&["inspect", &weights]);
    assert_eq!(found["encoder"]["in_chans"], 1);
    let out = path_text(folder.path().join("out.npy"));
    let args = [
        "embed",
        "--weights",
        &weights,
        "--data",
        "scenes:n=4",
        "--out",
        &out,
    ];
    let run = ijepa(&args);
    assert_eq!(run.code, Some(3), "{run:?}");
    let why = "has 3 channels, expected 1 (as the model, `data.channels` or `--channels` says)";
    let expected = format!("error: image `scenes:kind=texture,seed=0#0` {why}\n");
    assert_eq!(run.stderr, expected);
    assert!(!Path::new(&out).exists());
}
