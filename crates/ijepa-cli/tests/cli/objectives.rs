//! Masked autoencoders and targets of pixels, from training to evaluation.

use ijepa_testkit::device_name;

use crate::support::{Features, fails, ijepa, json, path_text, text, tiny, words};

const MAE: &str = "--set objective.kind=mae";

#[test]
fn a_masked_autoencoder_is_evaluated_like_any_other_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let labelled = "--eval-data scenes:n=40,size=32,seed=1 --eval-test scenes:n=10,size=32,seed=2";
    let trained = json(&tiny(&run, &format!("--max-steps 4 {labelled} {MAE}")));
    assert!(trained["knn"].is_number() && trained["probe"].is_number());
    assert!(trained["feature_std"].as_f64().unwrap() > 0.05);

    let (weights, device) = (path_text(&run), device_name());
    let sets = "--train scenes:n=40,size=32,seed=1 --test scenes:n=10,size=32,seed=2";
    let knn = json(&words(&format!(
        "knn --quiet --device {device} --weights {weights} {sets} --k 20 --center"
    )));
    assert_eq!(knn["encoder"], "target");
    assert_eq!(knn["k"]["20"]["top1"], trained["knn"]);
    let probe = json(&words(&format!(
        "probe --quiet --device {device} --weights {weights} {sets} --encoder context"
    )));
    assert_eq!(probe["encoder"], "context");
    let out = path_text(folder.path().join("features.safetensors"));
    json(&words(&format!(
        "embed --quiet --device {device} --weights {weights} --data scenes:n=10,size=32 --out {out}"
    )));
    assert_eq!(Features::read(&out).shape, [10, 16]);

    let found = json(&["inspect", &weights]);
    assert_eq!(found["predictor"]["target"], "pixels");
    assert_eq!(found["fits"], true);
    assert!(text(&["inspect", &weights]).contains("1 blocks, predicts pixels\n"));

    let hugging_face = path_text(folder.path().join("hf"));
    json(&["convert", &weights, &hugging_face, "--to", "hf"]);
    let official = path_text(folder.path().join("out.pth.tar"));
    let refused = ijepa(&["convert", &weights, &official, "--to", "official"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("`objective.target` is pixels"));
}

#[test]
fn without_a_recipe_the_masks_are_the_papers_if_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    json(&tiny(&run, "--max-steps 1"));
    let official = path_text(folder.path().join("official.pth.tar"));
    json(&["convert", &path_text(&run), &official, "--to", "official"]);
    let (out, device) = (path_text(folder.path().join("out.png")), device_name());
    let command = format!(
        "visualize predictor --quiet --device {device} --weights {official} --num-heads 2 \
         --data scenes:n=8,size=32 --out {out}"
    );
    fails(&words(&command), 3, "takes a --block");
    json(&words(&format!("{command} --block 1,1,2,2")));
}

#[test]
fn a_projector_is_drawn_as_no_predictor() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    json(&tiny(&run, "--max-steps 1 --set objective.kind=lejepa"));
    let (weights, device) = (path_text(&run), device_name());
    let out = path_text(folder.path().join("out.png"));
    for command in ["predictor", "rcdm train --condition predictor"] {
        let command = format!(
            "visualize {command} --quiet --device {device} --weights {weights} \
             --data scenes:n=8,size=32 --out {out}"
        );
        fails(&words(&command), 5, "a projector and no predictor");
    }
    let official = path_text(folder.path().join("official.pth.tar"));
    let convert = ["convert", &weights, &official, "--to", "official"];
    fails(&convert, 5, "a projector and no predictor");
    let [begun, resumed] = ["begun", "resumed"].map(|name| folder.path().join(name));
    let said = json(&tiny(&begun, &format!("--max-steps 0 --init {weights}")));
    let fresh = "fresh, since theirs is of another kind of objective";
    assert_eq!(said["init"]["predictor"], fresh);
    let refused = ijepa(&tiny(
        &resumed,
        &format!("--max-steps 2 --resume {weights}"),
    ));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let message = "`objective.kind` = \"lejepa\", the recipe says \"jepa\"";
    assert!(refused.stderr.contains(message), "{refused:?}");
}

#[test]
fn settings_that_make_no_sense_beside_the_objective_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    for (settings, message) in [
        (
            "objective.kind=mae mask.strategy=multi_block",
            "`mask.strategy` is \"multi_block\", expected \"random\" where `objective.kind` is \"mae\"",
        ),
        (
            "objective.kind=mae objective.target=features",
            "`objective.target` is \"features\", expected \"pixels\" where `objective.kind` is \"mae\"",
        ),
        (
            "objective.target=pixels objective.target_masking=input",
            "`objective.target_masking` is \"input\", expected \"output\" where `objective.target` is \
             \"pixels\"",
        ),
    ] {
        let refused = ijepa(&tiny(&run, &format!("--set {settings}")));
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert!(refused.stderr.contains(message), "{refused:?}");
    }
    assert!(!run.join("metrics.csv").exists());

    json(&tiny(&run, "--max-steps 1"));
    let refused = ijepa(&tiny(&run, &format!("--max-steps 2 {MAE}")));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let message = "`objective.target` = \"features\", the recipe says \"pixels\"";
    assert!(refused.stderr.contains(message), "{refused:?}");
}

#[test]
fn steps_without_a_target_encoder_need_fewer_operations() {
    let quick = "bench step --recipe scenes_vit_nano --batch-size 4 --rounds 1 --warmup 0 \
                 --threads 1 --set mask.strategy=random";
    let gflop = |more: &str| {
        let device = device_name();
        let found = json(&words(&format!("{quick} {more} --device {device}")));
        found["gflop_per_image"].as_f64().unwrap()
    };
    let (features, pixels) = (gflop(""), gflop("objective.target=pixels"));
    assert!(pixels < 0.9 * features, "{pixels} {features}");
    // Fewer patches are seen by the encoder.
    assert!(gflop("objective.kind=mae") < pixels);
}
