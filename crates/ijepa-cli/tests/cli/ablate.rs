//! `ijepa ablate`: short runs, commands of full size, mistakes.

use std::{fs, path::Path};

use ijepa_testkit::device_name;
use serde_json::Value;

use crate::support::{fails, ijepa, json, keys, path_text, text, words};

fn args(table: &str, out: &Path, more: &str) -> Vec<String> {
    let mut args = words(&format!(
        "ablate {table} --recipe scenes_vit_nano --set model.embed_dim=16 model.depth=1 \
         model.predictor_dim=8 model.predictor_depth=1 mask.group_size=6 run.batch_size=6 \
         model.image_size=24 --data scenes:n=48,size=24 --images 96 --quiet --threads 1 \
         --eval-data scenes:kind=texture,n=60,size=24,seed=1 \
         --eval-test scenes:kind=texture,n=20,size=24,seed=2 {more}"
    ));
    args.extend(["--device".to_owned(), device_name()]);
    args.extend(["--out".to_owned(), path_text(out)]);
    args
}

#[test]
fn a_table_of_short_runs_stands_beside_the_papers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    let args = args("10", &out, "--rows 1,4 --seeds 0,1");
    let found = json(&args);
    let promised = [
        "table",
        "title",
        "metrics",
        "best",
        "low_shot_images",
        "rows",
    ];
    assert!(keys(&found).is_superset(&promised.into()), "{found}");
    assert_eq!((&found["table"], &found["best"]), (&10.into(), &"4".into()));
    // At least five of each class.
    assert_eq!(found["low_shot_per_class"], serde_json::json!([5, 5]));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["paper"][0], 9.0);
    assert!(rows[0]["accuracy"][0]["mean"].is_f64(), "{found}");
    assert!(rows[0]["difference"][0]["verdict"].is_string(), "{found}");
    assert_eq!(rows[1]["accuracy"][0], Value::Null);
    assert_eq!(rows[3]["runs"][1]["seed"], 1);
    let printed = text(&args);
    assert_eq!(
        fs::read_to_string(out.join("table-10.md")).unwrap(),
        printed
    );
    assert!(printed.contains("| 2 | "), "{printed}");
    assert!(printed.contains("| - | - | - | - | 22.0 |"), "{printed}");
}

#[test]
fn without_data_the_commands_of_full_size_are_printed() {
    for table in 6..=14 {
        let found = json(&words(&format!("ablate {table}")));
        assert_eq!(found["table"], table);
        for row in found["rows"].as_array().unwrap() {
            let pretrain = row["commands"][0].as_str().unwrap();
            assert!(
                pretrain.starts_with("ijepa pretrain --recipe in1k_vit"),
                "{pretrain}"
            );
        }
    }
    let printed = text(&words("ablate 13 --print"));
    for part in [
        "# 0.04-0.4 (paper: low-shot fine-tuning 69.4 %, linear 77.8 %)",
        "optimizer.weight_decay_schedule=constant",
        "ijepa finetune --protocol lowshot-1pct --weights runs/table13-0.05 ",
        "ijepa probe --protocol vissl-in1k --weights runs/table13-0.05 ",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let printed = text(&words("ablate 8"));
    assert!(
        printed.contains("'mask.target_scale=[0.075,0.2]'"),
        "{printed}"
    );
}

#[test]
fn the_commands_of_full_size_are_understood() {
    // Every flag is parsed and every key is known: only the data is missing.
    for table in [6, 7, 8, 11, 13, 14] {
        let found = json(&words(&format!("ablate {table}")));
        for row in found["rows"].as_array().unwrap() {
            for command in row["commands"].as_array().unwrap() {
                let command = command.as_str().unwrap().replace('\'', "");
                let mut line = words(command.strip_prefix("ijepa ").unwrap());
                line.extend(["--device".to_owned(), device_name()]);
                let run = ijepa(&line);
                let refused = run.code == Some(4) && run.stderr.contains("imagenet");
                let unknown = run.code == Some(5) && run.stderr.contains("runs/table");
                assert!(refused || unknown, "{command}: {run:?}");
            }
        }
    }
}

#[test]
fn mistakes_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tables");
    let list = "expected one of 6, 7, 8, 9, 10, 11, 12, 13, 14";
    fails(&words("ablate 5"), 2, list);
    for flag in ["preprocess squash", "decode exact", "sixteen-bit scale"] {
        let message = "changes nothing without `--data`";
        fails(&words(&format!("ablate 6 --print --{flag}")), 2, message);
    }
    fails(&words("ablate six"), 2, list);
    fails(
        &args("6", &out, "--rows rasterised"),
        2,
        "the nearest is `rasterized`",
    );
    fails(&args("6", &out, "--label-fraction 0"), 2, "above 0");
    fails(
        &args("6", &out, "--set mask.group_size=4"),
        3,
        "expected a multiple of `mask.group_size`",
    );
    fails(&words("ablate 6 --data scenes:n=48"), 2, "--eval-data");
    fails(&words("ablate 6 --rows random"), 2, "--data");
    let mut missing = args("6", &out, "");
    for word in &mut missing {
        if word.starts_with("scenes:n=48") {
            *word = "no/such/folder".to_owned();
        }
    }
    fails(&missing, 4, "no/such/folder");
    assert!(!out.exists());
}
