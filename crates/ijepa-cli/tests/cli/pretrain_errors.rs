//! Every mistake that `pretrain` can meet, its message and its exit code.

use std::{fs, path::Path};

use ijepa_data::Decode;

use crate::support::{fails, golden, ijepa, json, path_text, photos, text, tiny, tiny_on, words};

#[test]
fn every_mistake_has_its_message_and_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let with = |more: &str| tiny(&run, more);
    fails(&with("--set mask.mod=uniform"), 3, "mask.mode");
    if !Decode::Fast.is_built() {
        let refused = "needs a build with the Cargo feature `turbojpeg`";
        fails(&with("--set data.decode=fast"), 3, refused);
    }
    fails(
        &with("--batch-size 60"),
        3,
        "more than the 48 images of the data; --batch-size 48 is",
    );
    fails(
        &with("--set optimizer.lr=fast"),
        3,
        "`optimizer.lr` is string \"fast\", expected a number",
    );
    fails(
        &with("--recipe scenes_vit_nano"),
        2,
        "cannot be used multiple times",
    );
    let missing = tiny_on("folder:/nowhere", &run, "--quiet");
    fails(&missing, 4, "data folder `/nowhere` does not exist");
    let empty = path_text(folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    fails(&tiny_on(&empty, &run, "--quiet"), 4, "no image in `");
    let evaluated = |train: &str, test: &str| {
        with(&format!(
            "--eval-data scenes:size=32,{train} --eval-test scenes:size=32,{test}"
        ))
    };
    fails(
        &evaluated("n=40,kind=texture", "n=20,kind=shape"),
        4,
        "none of the training data: `",
    );
    fails(&evaluated("n=19", "n=20"), 4, "only 19 training images");
    // None of this has begun a run.
    assert!(!run.join("metrics.csv").exists());
    json(&with("--max-steps 2"));
    fails(
        &with("--max-steps 4 --set model.depth=2"),
        5,
        "was trained with `model.depth` = 1, the recipe says 2",
    );
    fails(
        &with("--max-steps 4 --resume never"),
        1,
        "already holds a run",
    );
    let hot = "--max-steps 8 --set optimizer.lr=1e38 optimizer.start_lr=1e38";
    fails(
        &tiny(&folder.path().join("hot"), hot),
        6,
        "diverged at step",
    );
}

#[test]
fn a_table_that_is_none_is_named_and_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    json(&tiny(&run, "--max-steps 2"));
    for table in ["epochs.csv", "metrics.csv"] {
        let table = run.join(table);
        let before = fs::read(&table).unwrap();
        fs::write(&table, b"\xff\xfe\0\n").unwrap();
        let message = format!("cannot read `{}`: invalid utf-8", table.display());
        fails(&tiny(&run, "--max-steps 4"), 5, &message);
        fails(&tiny(&run, "--max-steps 4"), 5, "move it away");
        fs::write(&table, [b"# a note\n", before.as_slice()].concat()).unwrap();
        let message = "its first line does not begin with `epoch,step`";
        fails(&tiny(&run, "--max-steps 4"), 5, message);
        fs::write(&table, before).unwrap();
    }
    fs::remove_file(run.join("epochs.csv")).unwrap();
    json(&tiny(&run, "--max-steps 4"));
}

/// Twenty images of which the first `bad` are no images.
fn partly_bad(folder: &Path, bad: usize) -> String {
    let folder = folder.join("photos");
    photos(&folder, 20);
    for index in 0..bad {
        fs::write(folder.join(format!("{index:02}.png")), "no image").unwrap();
    }
    format!("folder:{}", path_text(folder))
}

#[test]
fn corrupt_images_are_replaced_and_listed_until_they_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let data = partly_bad(folder.path(), 2);
    let run = |name: &str, allowed: f64, workers: usize| {
        let out = folder.path().join(name);
        let more = format!(
            "--quiet --max-steps 3 --workers {workers} --set data.max_bad_fraction={allowed}"
        );
        tiny_on(&data, &out, &more)
    };
    let said = text(&run("said", 0.1, 0));
    for name in ["00.png", "01.png"] {
        let line = said.lines().find(|line| line.contains(name)).unwrap();
        assert!(
            line.starts_with("skipped ") && line.contains(": "),
            "{said}"
        );
    }
    for workers in [0, 2] {
        let result = json(&run(&format!("counted-{workers}"), 0.1, workers));
        assert_eq!(
            (&result["skipped"], &result["steps"]),
            (&2.into(), &3.into())
        );
        // Batches stay full.
        assert_eq!(result["images"], 36);
    }
    fails(
        &run("too-many", 0.05, 2),
        4,
        "2 of 20 images are unreadable so far, more than the 1 allowed",
    );
}

#[test]
fn a_small_set_survives_a_bad_image_and_the_message_says_how_it_survives_more() {
    let folder = tempfile::tempdir().unwrap();
    let data = partly_bad(folder.path(), 2);
    let out = folder.path().join("two");
    let advice = "allow a share of 0.1 or more (`data.max_bad_fraction` of recipes)";
    fails(&tiny_on(&data, &out, "--quiet --max-steps 3"), 4, advice);
    fs::remove_file(folder.path().join("photos/00.png")).unwrap();
    let out = folder.path().join("one");
    let result = json(&tiny_on(&data, &out, "--quiet --max-steps 3"));
    assert_eq!(result["skipped"], 1);
}

#[test]
fn without_labels_folders_may_have_any_form_and_several_data_sets_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = partly_bad(folder.path(), 0);
    let photos = folder.path().join("photos");
    fs::create_dir_all(photos.join("deep/empty")).unwrap();
    fs::rename(photos.join("03.png"), photos.join("deep/03.png")).unwrap();
    fs::write(photos.join("notes.txt"), "none").unwrap();
    let out = folder.path().join("run");
    let more = "--max-steps 1 --data scenes:n=30,size=32";
    let run = ijepa(&tiny_on(&data, &out, more));
    assert_eq!(run.code, Some(0), "{run:?}");
    let note = "1 other file passed over: .txt 1\n";
    assert_eq!(run.stderr.matches(note).count(), 1, "{run:?}");
    assert!(run.stderr.contains("50 images, "), "{run:?}");
    // Labels are needed here, and there is none to be made up.
    let features = path_text(folder.path().join("features.npy"));
    let weights = golden("hf_tiny_saved");
    let embed = format!("embed --weights {weights} --data {data} --out {features}");
    fails(
        &words(&embed),
        4,
        "has class folders and also images such as",
    );
    let embed = format!("{embed} --quiet --preprocess squash")
        .replace(&data, &format!("{data},labels=none"));
    assert_eq!(json(&words(&embed))["images"], 20);
}

#[test]
fn a_batch_that_is_not_the_recipes_is_a_warning_unless_rates_scale_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str, more: &str| {
        let run = ijepa(&tiny(
            &folder.path().join(name),
            &format!("--max-steps 1 {more}"),
        ));
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stderr
    };
    let warned = said("other", "--batch-size 6 --set optimizer.lr=1e-3");
    let expected = "warning: batches of 6 images, but optimizer.lr is for the 12 of the recipe; \
                    scaled with the batch it is optimizer.lr=5e-4 (see optimizer.lr_is_base)\n";
    assert_eq!(warned, expected);
    assert_eq!(said("same", "--batch-size 12"), "");
    let scaled = said("scaled", "--batch-size 6 --set optimizer.lr_is_base=true");
    assert_eq!(scaled, "");
}

#[test]
fn contexts_that_keep_patches_of_targets_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str, more: &str| {
        let run = tiny(&folder.path().join(name), &format!("--max-steps 1 {more}"));
        ijepa(&run).stderr
    };
    let large = said("large", "--set mask.target_scale=[0.9,1.0]");
    assert!(
        large.contains("although `mask.allow_overlap` is false"),
        "{large}"
    );
    let allowed = "--set mask.target_scale=[0.9,1.0] mask.allow_overlap=true";
    assert_eq!(said("allowed", allowed), "");
}
