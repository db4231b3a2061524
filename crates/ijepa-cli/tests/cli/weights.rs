//! What weights say about themselves, and what is said about weights.

use std::{collections::HashMap, path::Path};

use ijepa_model::{VisionTransformerConfig, checkpoint::ModuleFile};
use ijepa_testkit::{device, device_name};

use crate::support::{Features, golden, ijepa, json, path_text, words};

/// A copy of a Hugging Face folder with another text for some of its files.
fn folder_with(folder: &Path, others: &[(&str, &str)]) -> String {
    let weights = folder.join("weights");
    std::fs::create_dir(&weights).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let saved = golden("hf_tiny_saved");
        std::fs::copy(Path::new(&saved).join(name), weights.join(name)).unwrap();
    }
    for (name, text) in others {
        std::fs::write(weights.join(name), text).unwrap();
    }
    path_text(weights)
}

#[test]
fn images_are_resized_as_the_weights_say_unless_a_flag_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let size = r#"{"size": {"height": 32, "width": 32}, "resample": 2}"#;
    let weights = folder_with(folder.path(), &[("preprocessor_config.json", size)]);
    for class in ["a", "b"] {
        std::fs::create_dir_all(at("images").join(class)).unwrap();
        let image = image::RgbImage::from_fn(90, 48, |x, y| image::Rgb([x as u8, y as u8, 7]));
        image.save(at("images").join(class).join("0.png")).unwrap();
    }
    let data = path_text(at("images"));
    let embed = |flags: &str| {
        let out = path_text(at("out.safetensors"));
        let device = device_name();
        let start = format!("embed --device {device} --data {data} --out {out} {flags}");
        let said = json(&words(&start));
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let how = format!("{} of {}", text("preprocess"), text("preprocess_from"));
        (Features::read(out).values, how)
    };
    let (own, how) = embed(&format!("--weights {weights}"));
    assert_eq!(how, "squash of weights");
    let (squashed, how) = embed(&format!("--weights {weights} --preprocess squash"));
    assert_eq!((&own, how.as_str()), (&squashed, "squash of flag"));
    let (cropped, how) = embed(&format!("--weights {weights} --preprocess eval"));
    assert_eq!(how, "eval of flag");
    assert_ne!(own, cropped);
    let (default, how) = embed(&format!("--weights {}", golden("hf_tiny_saved")));
    assert_eq!((default, how.as_str()), (cropped, "eval of default"));

    let device = device_name();
    let pair = format!("--device {device} --weights {weights} --train {data} --test {data}");
    for command in ["knn --k 1", "probe --epochs 1"] {
        let said = json(&words(&format!("{command} {pair}")));
        assert_eq!(said["preprocess"], "squash", "{command}");
        assert_eq!(said["preprocess_from"], "weights", "{command}");
    }
    let picture = path_text(at("pca.png"));
    let line = format!("visualize pca --device {device} --weights {weights} --data {data}");
    let said = json(&words(&format!("{line} --out {picture}")));
    assert_eq!(said["preprocess"], "squash");
}

#[test]
fn every_command_says_what_of_weights_is_a_guess() {
    let folder = tempfile::tempdir().unwrap();
    let config = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([32, 32], 8, 192, 1, 6)
    };
    let file = folder.path().join("vit.safetensors");
    ModuleFile::save(&file, &config.init(&device()), HashMap::new()).unwrap();
    let (file, out) = (path_text(file), path_text(folder.path().join("out")));
    let embed = format!(
        "embed -q --device {} --data scenes:n=2,size=32 --out {out}.npy --weights {file}",
        device_name()
    );
    let convert = format!("convert {file} {out} --to native");
    for line in [format!("inspect {file}"), convert, embed.clone()] {
        let run = ijepa(&words(&line));
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        let warning = "does not record its number of attention heads; 3 is that of published";
        assert!(run.stderr.starts_with("warning: `"), "{line}: {run:?}");
        assert!(run.stderr.contains(warning), "{line}: {run:?}");
    }
    let told = ijepa(&words(&format!("{embed} --num-heads 6")));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_does_not_fit_is_a_line_with_three_names_or_with_v_all() {
    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(&golden("hf_tiny_saved")).join("config.json");
    let config = std::fs::read_to_string(config).unwrap();
    let deeper = config.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 5");
    assert_ne!(config, deeper);
    let weights = folder_with(folder.path(), &[("config.json", &deeper)]);
    let out = path_text(folder.path().join("out"));
    let convert = format!("convert {weights} {out} --to native");
    let run = ijepa(&words(&convert));
    assert_eq!(run.code, Some(5), "{run:?}");
    let expected = format!(
        "error: the context encoder of `{weights}` does not fit: 24 missing \
         (blocks.3.norm1.weight, blocks.3.norm1.bias, blocks.3.attn.qkv.weight, ...)\n"
    );
    assert_eq!(run.stderr, expected);
    let all = ijepa(&words(&format!("{convert} -v"))).stderr;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 2 + 24, "{all}");
    assert_eq!(lines[25], "  missing blocks.4.mlp.fc2.bias");
}
