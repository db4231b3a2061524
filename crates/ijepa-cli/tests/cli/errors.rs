//! Every kind of mistake, its message and its exit code.

use std::path::Path;

use ijepa_data::Decode;

use crate::support::{command, finished, golden, ijepa, path_text, words};

/// Runs a wrong command line and expects one line that contains `message`.
fn check<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(args: &[S], code: i32, message: &str) {
    let run = ijepa(args);
    assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
    assert_eq!(run.stdout, "", "{args:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{args:?}: {run:?}");
    assert!(lines[0].starts_with("error: "), "{args:?}: {run:?}");
    assert!(lines[0].contains(message), "{args:?}: {run:?}");
}

fn check_line(line: &str, code: i32, message: &str) {
    check(&words(line), code, message);
}

/// A command line that clap refuses, which adds a hint of its own.
fn check_usage(line: &str, message: &str) {
    let run = ijepa(&words(line));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{line}");
    assert!(run.stderr.contains(message), "{line}: {run:?}");
}

#[test]
fn command_lines_that_make_no_sense_exit_with_2() {
    check_usage("pretrian", "unrecognized subcommand 'pretrian'");
    check_usage("masks --group 3", "--groups");
    let seed = "invalid value '-1' for '--seed <N>': expected a whole number from 0 to";
    check_usage("masks --seed -1", seed);
    check_usage(
        "masks --threads -1",
        "expected a whole number from 1 to 1024",
    );
    check_usage(
        "masks --workers -1",
        "expected a whole number of at least 0",
    );
    let compared = "nothing to compare; pass --weights W --train SPEC --test SPEC, or";
    let training = "pretrain --recipe scenes_vit_nano --data scenes:n=8,size=32 --out o";
    let message = "`--precision int8` is for features; train in f32 or bf16";
    check_line(&format!("{training} --precision int8"), 2, message);
    let pack = "data pack --data scenes:n=2,size=8 --to tar --out o --name a/b";
    check_line(pack, 2, "the beginning of a file name");
    check_line("knn", 2, compared);
    check_line("probe", 2, compared);
    check_usage("masks --groups 0", "expected a whole number of at least 1");
    check_usage("bench masks --seconds 0", "expected a number above 0");
    check_usage(
        "knn --pool mean --train a --test b --temperature 0",
        "expected a number above 0",
    );
    for command in ["masks", "step", "encode"] {
        check_line(
            &format!("bench {command} --arch vit_foo"),
            2,
            "unknown architecture `vit_foo`",
        );
    }
    for minutes in ["inf", "NaN", "-1", "1e300", "soon"] {
        check_usage(
            &format!("pretrain --recipe r --data d --out o --max-minutes={minutes}"),
            "expected a number of minutes of at least 0",
        );
    }
    check_usage("convert a b", "--to <TO>");
    check_usage(
        "convert a b --to gguf",
        "[possible values: native, official, hf, onnx]",
    );
    let embed = "embed --weights w --data d --out o.npy";
    check_usage(
        &format!("{embed} --device gpu"),
        "unknown device `gpu`, expected flex",
    );
    check_usage(
        &format!("{embed} --precision f16"),
        "[possible values: f32, bf16, int8]",
    );
    check_usage(
        &format!("{embed} --preprocess crop"),
        "expected one of: eval, fill, squash, crop:MARGIN with at least 1, none",
    );
    check_usage(&format!("{embed} --arch vit_b16"), "cannot be used with");
    check_line(
        "convert a b --to native --encoder target",
        2,
        "use it with --to hf or onnx",
    );
    check_line(
        "embed --weights w --data d --out o.csv",
        2,
        "does not end in .safetensors",
    );
    check_line(
        "embed --weights w --data d --out o.parquet --pool tokens",
        2,
        "tokens cannot be written to Parquet",
    );
    let scenes = "embed --data scenes:n=2,size=32 --out o.npy -q";
    check_line(scenes, 2, "target encoder: `--weights` is missing");
    check_line(
        &format!("{scenes} --encoder random"),
        2,
        "`--arch` is missing",
    );
    check_line(
        &format!("{scenes} --arch vit_ti16"),
        2,
        "use it with --encoder random",
    );
    check_line(
        &format!("{scenes} --encoder random --arch vit_xl"),
        2,
        "cannot use `--arch`",
    );
    if !cfg!(feature = "cuda") {
        let message = "backend `cuda` is not compiled in (compiled in: ";
        check_line(&format!("{scenes} --device cuda"), 2, message);
    }
}

#[test]
fn flags_that_do_not_fit_the_weights_exit_with_2() {
    let saved = golden("hf_tiny_saved");
    let device = ijepa_testkit::device_name();
    let embed = |flags: &[&str]| -> Vec<String> {
        let data = "scenes:n=2,size=32";
        let start = [
            "embed",
            "-q",
            "--weights",
            &saved,
            "--data",
            data,
            "--device",
            &device,
        ];
        [&start[..], flags]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let out = path_text(folder.path().join("o.npy"));
    let run = |flags: &[&str], message: &str| check(&embed(flags), 2, message);
    run(
        &["--out", &out, "--image-size", "30"],
        "cannot use `--image-size`",
    );
    run(
        &["--out", &out, "--pool", "concat4"],
        "concat4 pooling needs 4 layers, the encoder has 3",
    );
    run(
        &["--out", &path_text(folder.path())],
        "is a folder, expected a file name",
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let absent = embed(&["--out", &out, "--encoder", "target"]);
    check(&absent, 5, "has no target encoder");
}

#[test]
fn bad_recipes_exit_with_3() {
    check_line(
        "masks --recipe in1k_vitb_ep600",
        3,
        "the nearest is `in1k_vitb16_ep600`",
    );
    check_line(
        "recipes show in1k_vith_ep300",
        3,
        "the nearest is `in1k_vith14_ep300`",
    );
    check_line(
        "recipes diff in1k_vith14_ep300 no.toml",
        3,
        "cannot read recipe `no.toml`",
    );
    check_line(
        "embed --device cuda:0,1 --arch vit_ti16 --encoder random --data scenes:n=2 --out a.npy",
        2,
        "a process computes on one device; for 2 start as many: mpirun -n 2",
    );
    check_line(
        "devices --recipe no",
        3,
        "no preset is named `no`; presets: ",
    );
    check_line(
        "masks --recipe nope",
        3,
        "no preset is named `nope`; presets: ",
    );
    let yaml = "`in1k.yaml` is no TOML file but .yaml; recipes are TOML, as `ijepa recipes show";
    check_line("masks --recipe in1k.yaml", 3, yaml);
    check_line(
        "masks --set mask.min_kep=3",
        3,
        "the nearest is `mask.min_keep`",
    );
    check_line(
        "masks --set run.batch_size=200",
        3,
        "multiple of `mask.group_size` 128",
    );
    check_line(
        "masks --set mask.target_scale=[0.01,0.02]",
        3,
        "`mask.target_scale`",
    );
    check_line("masks --set objective.kind=maee", 3, "`objective.kind`");
    let fast = ijepa(&words(
        "bench masks --batch-size 100 --set data.decode=fast",
    ));
    let refused = "needs a build with the Cargo feature `turbojpeg`";
    let is_refused = fast.code == Some(3) && fast.stderr.contains(refused);
    assert_eq!(is_refused, !Decode::Fast.is_built(), "{fast:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = path_text(folder.path().join("mine.toml"));
    std::fs::write(&file, "[run]\nsede = 1\n").unwrap();
    let message = "mine.toml: unknown key `run.sede`, the nearest is `run.seed`";
    check(&["recipes", "show", &file], 3, message);
}

#[test]
fn unreadable_data_exits_with_4() {
    let saved = golden("hf_tiny_saved");
    let device = ijepa_testkit::device_name();
    let folder = tempfile::tempdir().unwrap();
    let out = path_text(folder.path().join("o.npy"));
    let check_data = |data: &str, message: &str| {
        let args = [
            "embed",
            "-q",
            "--weights",
            &saved,
            "--data",
            data,
            "--out",
            &out,
            "--device",
            &device,
        ];
        check(&args, 4, message);
    };
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    check_data(&path_text(&empty), "no image in `");
    check_data("folder:nowhere", "data folder `nowhere` does not exist");
    check_data(
        "imagenet:x",
        "unknown kind of data `imagenet` in `imagenet:x`, expected",
    );
    check_data("sceness:n=3", "in `sceness:n=3`, the nearest is `scenes`");
    check_data("tar:x-{0..1}.tar", "no file matches `x-0.tar`");
    if !cfg!(feature = "remote") {
        let refused = "`s3://a/b.tar` needs a build with the Cargo feature `remote`";
        check_data("tar:s3://a/b.tar", refused);
    }
    let no_tar = path_text(folder.path().join("text.tar"));
    std::fs::write(&no_tar, "no archive").unwrap();
    check_data(&format!("tar:{no_tar}"), "cannot read tar file `");
    check_data("parquet:nowhere/*.parquet", "no file matches");
    std::fs::write(empty.join("a.png"), "no image").unwrap();
    check_data(&path_text(&empty), "none of the 1 images can be read");
    assert!(!Path::new(&out).exists());
}

#[test]
fn unusable_checkpoints_exit_with_5() {
    let official = golden("torch/tiny_ckpt.pth.tar");
    check_line("inspect nowhere", 5, "`nowhere` does not exist");
    check(&["inspect", &official], 5, "pass --num-heads");
    check(
        &["inspect", &official, "--num-heads", "5"],
        5,
        "describes no valid network",
    );
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path_text(folder.path().join(name));
    let bytes = std::fs::read(&official).unwrap();
    std::fs::write(at("half.pth.tar"), &bytes[..bytes.len() / 2]).unwrap();
    check(&["inspect", &at("half.pth.tar")], 5, "half.pth.tar");
    check(
        &["convert", &at("half.pth.tar"), &at("out"), "--to", "hf"],
        5,
        "half.pth.tar",
    );
    std::fs::write(at("no.safetensors"), [255; 64]).unwrap();
    check(
        &["inspect", &at("no.safetensors")],
        5,
        "is no valid safetensors file",
    );
    let out = at("o.npy");
    let args = [
        "embed",
        "--weights",
        "nowhere",
        "--data",
        "scenes:n=2",
        "--out",
        &out,
    ];
    check(&args, 5, "`nowhere` does not exist");
    assert!(!Path::new(&at("out")).exists() && !Path::new(&out).exists());
}

#[test]
fn a_file_that_cannot_be_written_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let png = path_text(blocked.join("masks.png"));
    check(&["masks", "--png", &png], 1, "cannot write `");
    // Before anything is looked at.
    let stats = ["data", "stats", "--data", "no/such", "--out", &png];
    check(&stats, 1, "cannot write `");
    check(
        &["masks", "--png", &path_text(folder.path())],
        2,
        "is a folder",
    );
}

#[test]
fn the_users_folder_is_found_where_shells_leave_it_alone() {
    let home = tempfile::tempdir().unwrap();
    let said = |line: &str| {
        let mut command = command(&words(line));
        command.env("HOME", home.path());
        finished(command)
    };
    let nowhere = path_text(home.path().join("nowhere"));
    let report = said("report --out ~/page.html --data=folder:~/nowhere ~/run");
    let expected = format!("data folder `{nowhere}` does not exist");
    assert_eq!(report.code, Some(4), "{report:?}");
    assert!(report.stderr.contains(&expected), "{report:?}");
    let report = said("report ~/nowhere");
    assert_eq!(report.stderr, format!("error: there is no `{nowhere}`\n"));
    let inspected = said("inspect ~/nowhere");
    let expected = format!("error: `{nowhere}` does not exist\n");
    assert_eq!((inspected.code, inspected.stderr), (Some(5), expected));
    let masks = said("masks --png=~/masks.png");
    assert_eq!(masks.code, Some(0), "{masks:?}");
    assert!(home.path().join("masks.png").exists());
}

/// Each of them would carry out the whole run.
#[test]
#[cfg_attr(feature = "mpi", ignore = "this binary knows MPI")]
fn processes_started_together_are_refused_without_mpi() {
    for launcher in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let started = |size: &str| {
            let mut command = command(&["devices"]);
            command.env(launcher, size);
            finished(command)
        };
        let refused = started("4");
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let expected = "error: started as one of 4 processes, but built without MPI; rebuild \
            with --features mpi\n";
        assert_eq!(refused.stderr, expected);
        assert_eq!(started("1").code, Some(0));
    }
}
