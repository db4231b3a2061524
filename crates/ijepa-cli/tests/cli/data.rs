//! Data sets are verified, measured, packed and indexed.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{command, finished, ijepa, json, path_text, text, tiny, tiny_on, words};

/// Two classes of three images, and `bad` files that are none.
fn photos(folder: &Path, bad: usize) -> String {
    for number in 0..6_u8 {
        let class = folder.join(["cat", "dog"][usize::from(number % 2)]);
        fs::create_dir_all(&class).unwrap();
        let image = image::RgbImage::from_pixel(9, 6, image::Rgb([number * 40, 0, 255]));
        image.save(class.join(format!("{number}.png"))).unwrap();
    }
    for number in 0..bad {
        fs::write(folder.join(format!("cat/bad-{number}.jpg")), "none").unwrap();
    }
    path_text(folder)
}

#[test]
fn verify_lists_every_bad_file_and_says_so_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let good = photos(&folder.path().join("good"), 0);
    let bad = photos(&folder.path().join("bad"), 2);
    let found = json(&["data", "verify", "--data", &good, "--quiet"]);
    let all = json!({"data": good, "images": 6, "good": 6, "bad": [], "faults": []});
    assert_eq!(found, all);
    assert_eq!(
        text(&["data", "verify", "--data", &good, "-q"]),
        "all 6 images can be used\n"
    );
    let run = ijepa(&["data", "verify", "--data", &bad, "--json"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr
            .ends_with("error: 2 of 8 images cannot be used\n"),
        "{run:?}"
    );
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&found["images"], &found["good"]), (&json!(8), &json!(6)));
    let path = |index: usize| found["bad"][index]["path"].as_str().unwrap();
    assert!(path(0).ends_with("cat/bad-0.jpg") && path(1).ends_with("cat/bad-1.jpg"));
    let run = ijepa(&["data", "verify", "--data", &bad, "-q"]);
    assert!(
        run.stdout.ends_with("2 of 8 images cannot be used\n"),
        "{run:?}"
    );
    assert!(run.stderr.starts_with("error: "), "{run:?}");
}

#[test]
fn a_shard_that_stops_early_is_no_whole_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let (good, out) = (
        photos(&folder.path().join("good"), 0),
        folder.path().join("shards"),
    );
    let pack = format!(
        "data pack -q --to tar --data {good} --out {}",
        path_text(&out)
    );
    json(&words(&pack));
    let shard = out.join("shard-00000.tar");
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() / 2]).unwrap();
    let data = format!("tar:{}", path_text(&out));
    let run = ijepa(&["data", "verify", "--data", &data, "--json", "-q"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let fault = found["faults"][0].as_str().unwrap();
    assert!(
        fault.contains("shard-00000.tar` stops early, after "),
        "{fault}"
    );
    assert!(
        run.stderr.starts_with(&format!("warning: {fault}\n")),
        "{run:?}"
    );

    let run = folder.path().join("run");
    let set = "--max-steps 1 --set run.batch_size=2 mask.group_size=2 data.max_bad_fraction=1";
    json(&tiny_on(&data, &run, set));
    let warnings = fs::read_to_string(run.join("warnings.csv")).unwrap();
    assert!(warnings.contains("stops early, after "), "{warnings}");
}

#[test]
fn stats_say_what_the_images_are_and_draw_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = photos(&folder.path().join("photos"), 1);
    let sheet = path_text(folder.path().join("sheet.png"));
    let args = ["data", "stats", "--data", &data, "--out", &sheet];
    let found = json(&args);
    assert_eq!(found["classes"], json!({"cat": 4, "dog": 3}));
    assert_eq!(found["kinds"], json!({"png": 6}));
    assert_eq!(
        found["aspect"],
        json!({"min": 1.5, "median": 1.5, "mean": 1.5, "max": 1.5})
    );
    assert_eq!(
        (&found["mean"][1], &found["mean"][2]),
        (&json!(0.0), &json!(1.0))
    );
    assert_eq!(found["skipped"].as_array().unwrap().len(), 1);
    let drawn = image::open(&sheet).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (296, 196));
    let said = text(&args);
    assert!(
        said.contains("labels   2 classes of 3 to 4 images, 0 without a label\n"),
        "{said}"
    );
    assert!(said.contains("mean     0.3922, 0.0000, 1.0000\n"), "{said}");
    let some = json(&[
        "data", "stats", "--data", &data, "--most", "2", "--seed", "1",
    ]);
    let read =
        some["measured"].as_u64().unwrap() + some["skipped"].as_array().unwrap().len() as u64;
    assert_eq!((&some["images"], read), (&json!(7), 2));
}

#[test]
fn what_is_packed_is_data_again_and_a_taken_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = photos(&folder.path().join("photos"), 1);
    let out = path_text(folder.path().join("packed"));
    let args = [
        "data",
        "pack",
        "--data",
        &data,
        "--to",
        "parquet",
        "--out",
        &out,
        "--name",
        "train",
        "--shard-images",
        "4",
    ];
    let packed = json(&args);
    assert_eq!(
        (&packed["images"], &packed["classes"]),
        (&json!(6), &json!(["cat", "dog"]))
    );
    assert_eq!(packed["shards"].as_array().unwrap().len(), 2);
    assert!(
        packed["skipped"][0]["path"]
            .as_str()
            .unwrap()
            .ends_with("bad-0.jpg")
    );
    let spec = format!("parquet:{out}/train-*.parquet");
    let found = json(&["data", "stats", "--data", &spec]);
    assert_eq!(found["classes"], json!({"cat": 3, "dog": 3}));
    let again = ijepa(&args);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("cannot create"), "{again:?}");
    let quality = ijepa(&[&args[..], &["--quality", "50"]].concat());
    assert_eq!(quality.code, Some(2), "{quality:?}");
    // Whether there is data or not.
    let pack = "data pack --to tar --data no/such --out no/such --name a/b";
    let name = ijepa(&words(pack));
    assert_eq!(name.code, Some(2), "{name:?}");
}

#[test]
fn an_index_is_kept_where_the_caches_of_the_user_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = photos(&folder.path().join("photos"), 0);
    let cache = folder.path().join("cache");
    let mut command = command(&["data", "index", "--data", &data, "--json"]);
    command.env("XDG_CACHE_HOME", &cache);
    let run = finished(command);
    assert_eq!(run.code, Some(0), "{run:?}");
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let indexes = found["indexes"].as_array().unwrap();
    assert_eq!(indexes.len(), 2);
    for index in indexes {
        assert_eq!(
            (&index["images"], &index["folders"]),
            (&json!(6), &json!(3))
        );
        let path = Path::new(index["index"].as_str().unwrap());
        assert!(path.starts_with(&cache) && path.is_file(), "{path:?}");
    }
}

#[test]
fn a_run_normalises_as_its_recipe_says_and_features_follow_it() {
    let folder = tempfile::tempdir().unwrap();
    let embed = |weights: &Path, flags: &str| {
        let features = path_text(folder.path().join("features.npy"));
        let weights = path_text(weights);
        let line = format!(
            "embed --quiet --weights {weights} --data scenes:n=4,size=32 --out {features} {flags}"
        );
        let found = json(&words(&line));
        let keys = ["normalize", "sixteen_bit", "encoder"];
        (
            keys.map(|key| found[key].as_str().unwrap().to_owned()),
            std::fs::read(features).unwrap(),
        )
    };
    let run = |name: &str, set: &str| {
        let out = folder.path().join(name);
        let found = json(&tiny(&out, &format!("--max-steps 2 {set}")));
        (found["loss_first"].clone(), out)
    };
    let ours = "--set data.mean=[0.5,0.4,0.3] data.std=[0.3,0.3,0.3] data.sixteen_bit=scale";
    let (with, without) = (run("with", ours), run("without", ""));
    assert_ne!(with.0, without.0);
    let (said, features) = embed(&with.1, "");
    assert_eq!(said, ["of the weights", "scale", "target"]);
    assert_eq!(embed(&with.1, "--sixteen-bit high_byte").0[1], "high_byte");
    assert_eq!(embed(&without.1, "").0, ["imagenet", "high_byte", "target"]);
    // So do those of a single file of the checkpoint.
    let file = with.1.join("checkpoints/latest/target_encoder.safetensors");
    assert_eq!(embed(&file, ""), (said, features));
}
