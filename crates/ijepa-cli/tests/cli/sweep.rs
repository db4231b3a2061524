//! `ijepa sweep`.

use std::fs;

use ijepa_testkit::device_name;

use crate::support::{fails, ijepa, json, path_text, text, tiny, words};

fn args(out: &std::path::Path, more: &[&str]) -> Vec<String> {
    let mut args = words(
        "sweep --recipe scenes_vit_nano --set model.embed_dim=16 model.depth=1 \
         model.predictor_dim=8 model.predictor_depth=1 mask.group_size=6 run.batch_size=6 \
         --data scenes:n=48,size=32 --images 96 --seeds 3,4 --quiet --threads 1 \
         --eval-data scenes:kind=texture,n=40,size=32,seed=1 \
         --eval-test scenes:kind=texture,n=20,size=32,seed=2",
    );
    args.extend(["--device".to_owned(), device_name()]);
    args.extend(["--out".to_owned(), path_text(out)]);
    args.extend(more.iter().map(|&word| word.to_owned()));
    args
}

#[test]
fn variants_of_flags_and_files_share_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let tries = folder.path().join("tries.txt");
    fs::write(
        &tries,
        "# comment\n\nslow: optimizer.lr=0.0005 # as slow as that\n",
    )
    .unwrap();
    let args = args(&out, &["--try", "base:", "--tries", &path_text(tries)]);
    let found = json(&args);
    let names = found["variants"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|variant| variant["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base", "slow"]);
    let trial = &found["variants"][1]["trials"][1];
    assert_eq!(
        (trial["seed"].as_u64(), trial["images"].as_u64()),
        (Some(4), Some(96))
    );
    let printed = text(&args);
    let table = fs::read_to_string(out.join("sweep.md")).unwrap();
    assert!(printed.starts_with(&table), "{printed}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<h2>Variants</h2>") && page.contains("slow-seed4"));
    let recipe = fs::read_to_string(out.join("slow-seed4/recipe.toml")).unwrap();
    assert!(
        recipe.contains("lr = 0.0005") && recipe.contains("seed = 4"),
        "{recipe}"
    );
}

#[test]
fn runs_of_equal_minutes_follow_the_speed_that_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let tiny = "--try base: --try deep:model.depth=3 --equal minutes --set optimizer.epochs=1";
    let args: Vec<String> = args(&out, &tiny.split(' ').collect::<Vec<_>>());
    let found = json(&args);
    assert_eq!(found["equal"], "minutes");
    let variants = found["variants"].as_array().unwrap();
    let cost = |variant: &serde_json::Value| variant["trials"][0]["cost"].as_f64().unwrap();
    for variant in variants {
        let speed = variant["pace"]["images_per_s"].as_f64().unwrap();
        let images = variant["trials"][0]["images"].as_f64().unwrap();
        assert!((cost(variant) - images / speed / 60.0).abs() < 1e-9 * cost(variant));
        // As far as whole batches allow.
        let most = 6.0 / speed / 60.0;
        assert!(
            (cost(variant) - cost(&variants[0])).abs() <= most,
            "{found}"
        );
    }
    // The same command measures nothing again.
    assert_eq!(json(&args)["variants"], found["variants"]);
    assert!(!out.join("pace").exists());
}

#[test]
fn mistakes_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    for (more, code, message) in [
        (vec![], 2, "at least one variant"),
        (vec!["--try", "x: optimizer.rate=1"], 3, "variant `x`"),
        (vec!["--try", "nonsense"], 2, "is no variant"),
        (vec!["--tries", "missing.txt"], 2, "missing.txt"),
        (
            vec!["--try", "a:", "--eval-data", "scenes:n=9"],
            2,
            "as many of each",
        ),
        (
            vec!["--set", "optimizer.epochs=17", "--try", "a:"],
            2,
            "takes 102 images for a step in each epoch",
        ),
        (vec!["--try", "a:", "--halving", "1"], 2, "drops nothing"),
        (vec!["--try", "a:", "--equal", "flop"], 2, "flops"),
    ] {
        let run = ijepa(&args(&out, &more));
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(message), "{run:?}");
    }
    let pretrained = folder.path().join("pretrained");
    json(&tiny(&pretrained, "--max-steps 1"));
    fails(
        &args(&pretrained, &["--try", "a:"]),
        1,
        "already holds a run",
    );
}
