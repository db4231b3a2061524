//! Every flag of `pretrain` changes what a run does or says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use ijepa_testkit::{device_name, skip};
use serde_json::Value;

use crate::support::{Background, Run, endless, ijepa, metrics, path_text, photos, text};

const SMALL: &str = "model.embed_dim=16 model.depth=1 model.num_heads=2 model.predictor_dim=8 \
    model.predictor_depth=1 mask.group_size=6 run.batch_size=12 optimizer.steps_per_epoch=2 \
    run.log_every_steps=1";

/// The run that others are compared with.
const BASE: &[(&str, &str)] = &[
    ("--recipe", "scenes_vit_nano"),
    ("--data", "scenes:n=48,size=32"),
    ("--max-steps", "2"),
    ("--threads", "1"),
    ("--workers", "1"),
    ("--json", ""),
];

/// Flags and what comes after them.
type Flags = BTreeMap<&'static str, String>;

/// A flag, its value in both runs where it is given, and where they differ.
struct Entry {
    flag: &'static str,
    values: [Option<String>; 2],
    given: Vec<(&'static str, String)>,
    seen: fn(&Seen) -> String,
}

fn entry(flag: &'static str, values: [Option<&str>; 2], seen: fn(&Seen) -> String) -> Entry {
    Entry {
        flag,
        values: values.map(|value| value.map(str::to_owned)),
        given: Vec::new(),
        seen,
    }
}

impl Entry {
    fn given(mut self, flag: &'static str, value: &str) -> Self {
        self.given.push((flag, value.to_owned()));
        self
    }

    /// The flags of the run without and of the run with the change.
    fn runs(&self) -> [Flags; 2] {
        self.values.each_ref().map(|value| {
            let base = BASE.iter().map(|&(flag, value)| (flag, value.to_owned()));
            let mut flags: Flags = base.chain(self.given.clone()).collect();
            flags.entry("--set").or_insert_with(|| SMALL.to_owned());
            flags.entry("--device").or_insert_with(device_name);
            match value {
                Some(value) => flags.insert(self.flag, value.clone()),
                None => flags.remove(self.flag),
            };
            flags
        })
    }
}

/// What a run has said and left behind.
struct Seen {
    run: Run,
    out: PathBuf,
}

impl Seen {
    fn of(flags: &Flags, out: PathBuf) -> Self {
        let mut args = vec!["pretrain".to_owned()];
        for (flag, values) in flags {
            args.push((*flag).to_owned());
            args.extend(values.split_whitespace().map(str::to_owned));
        }
        if !flags.contains_key("--out") {
            args.extend(["--out".to_owned(), path_text(&out)]);
        }
        let run = ijepa(&args);
        Self { run, out }
    }

    fn json(&self, key: &str) -> String {
        let result: Result<Value, _> = serde_json::from_str(&self.run.stdout);
        result.unwrap_or_else(|_| panic!("{}", self.run.stderr))[key].to_string()
    }

    /// The exit code, and a value of the result if there is one.
    fn code_and(&self, key: &str) -> String {
        let result: Value = serde_json::from_str(&self.run.stdout).unwrap_or_default();
        format!("{:?} {}", self.run.code, result[key])
    }

    fn metrics(&self) -> String {
        assert_eq!(self.run.code, Some(0), "{}", self.run.stderr);
        format!("{:?}", metrics(&self.out))
    }

    fn environment(&self, key: &str) -> String {
        let text = fs::read_to_string(self.out.join("environment.json")).unwrap();
        let environment: Value = serde_json::from_str(&text).unwrap();
        environment[key].to_string()
    }
}

/// Sixteen images, and a list of twelve of them.
fn photos_and_list(folder: &Path) -> (String, String) {
    let images = folder.join("photos");
    photos(&images, 16);
    let list = folder.join("list.txt");
    let names: String = (4..16).map(|index| format!("{index:02}.png\n")).collect();
    fs::write(&list, names).unwrap();
    (format!("folder:{}", path_text(images)), path_text(list))
}

fn table(folder: &Path) -> Vec<Entry> {
    let (photos, list) = photos_and_list(folder);
    let [one, two] = ["saved", "named"].map(|name| path_text(folder.join(name)));
    let saved = format!("{one}/checkpoints/latest");
    let labelled = |seed: u64| format!("scenes:n=40,size=32,seed={seed}");
    let [voting, voting_too, tested, tested_too] = [1, 2, 3, 4].map(labelled);
    let louder = format!("{SMALL} optimizer.lr=5e-4");
    let own = device_name();
    let other = if own == "flex" { "ndarray" } else { "flex" };
    vec![
        // First, since it leaves the checkpoint of `--resume`.
        entry("--out", [Some(&one), Some(&two)], |seen| seen.json("run")),
        entry("--resume", [None, Some(&saved)], Seen::metrics).given("--max-steps", "3"),
        entry("--init", [None, Some(&saved)], Seen::metrics),
        entry(
            "--recipe",
            [Some("scenes_vit_nano"), Some("cifar10_vit_nano")],
            Seen::metrics,
        ),
        entry("--set", [Some(SMALL), Some(&louder)], Seen::metrics),
        entry(
            "--data",
            [
                Some("scenes:n=48,size=32"),
                Some("scenes:n=48,size=32,seed=7"),
            ],
            Seen::metrics,
        ),
        entry("--subset", [None, Some(&list)], Seen::metrics).given("--data", &photos),
        entry("--max-steps", [Some("2"), Some("1")], Seen::metrics),
        entry("--max-minutes", [None, Some("0")], |seen| {
            seen.json("steps")
        }),
        entry("--eval-data", [Some(&voting), Some(&voting_too)], |seen| {
            seen.json("rankme")
        })
        .given("--eval-test", &tested),
        entry("--eval-test", [Some(&tested), Some(&tested_too)], |seen| {
            seen.json("knn")
        })
        .given("--eval-data", &voting),
        entry("--lidar", [None, Some("")], |seen| seen.json("lidar")),
        entry("--batch-size", [None, Some("6")], |seen| {
            seen.json("images")
        }),
        entry("--seed", [None, Some("1")], Seen::metrics),
        entry("--workers", [Some("1"), Some("3")], |seen| {
            seen.environment("workers")
        }),
        entry("--retries", [None, Some("2")], |seen| {
            seen.environment("retries")
        }),
        entry("--io-depth", [None, Some("2")], |seen| {
            seen.environment("io_depth")
        }),
        // A device or a precision that this build or this machine lacks is refused, but for bf16
        // on a CPU, which warns.
        entry("--device", [Some(&own), Some(other)], |seen| {
            seen.code_and("device")
        }),
        entry("--precision", [None, Some("bf16")], |seen| {
            let warns = seen.run.stderr.contains("f32 is used");
            format!("{} {warns}", seen.code_and("precision"))
        }),
        entry("--threads", [Some("1"), Some("2")], |seen| {
            seen.environment("threads")
        }),
        entry("--quiet", [None, Some("")], |seen| {
            seen.run.stderr.is_empty().to_string()
        }),
        entry("--verbose", [None, Some("")], |seen| {
            assert!(
                seen.run.stderr.starts_with("error: "),
                "{}",
                seen.run.stderr
            );
            seen.run.stderr.lines().count().to_string()
        })
        .given("--recipe", "nowhere.toml"),
        entry("--json", [None, Some("")], |seen| {
            seen.run.stdout.starts_with('{').to_string()
        }),
    ]
}

#[test]
fn every_flag_of_pretrain_changes_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let table = table(folder.path());
    let help = text(&["pretrain", "--help"]);
    let known = help.lines().filter_map(|line| {
        let flags = line.trim_start();
        let mut words = flags.split_whitespace();
        flags
            .starts_with('-')
            .then(|| words.find(|word| word.starts_with("--")))?
    });
    let mut listed: BTreeSet<&str> = table.iter().map(|entry| entry.flag).collect();
    listed.insert("--help");
    assert_eq!(listed, known.collect());

    let mut seen: BTreeMap<Flags, Seen> = BTreeMap::new();
    for entry in table {
        let runs = entry.runs();
        for flags in &runs {
            if !seen.contains_key(flags) {
                let out = folder.path().join(format!("run-{}", seen.len()));
                seen.insert(flags.clone(), Seen::of(flags, out));
            }
        }
        let [before, after] = runs.map(|flags| (entry.seen)(&seen[&flags]));
        assert_ne!(after, before, "{} has no effect", entry.flag);
    }
}

/// Names of the threads of a process that read training images.
fn readers(process: u32) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let names = threads.into_iter().flatten().filter_map(|thread| {
        let name = fs::read_to_string(thread.ok()?.path().join("comm")).ok()?;
        Some(name.trim().to_owned())
    });
    let readers = names.filter(|name| name.starts_with("ijepa-data-"));
    readers.collect()
}

#[test]
fn as_many_threads_read_images_as_there_are_workers() {
    if !cfg!(target_os = "linux") {
        skip("names of threads, as there is no /proc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut process = Background::start(&endless(&folder.path().join("run"), "--workers 3"));
    let id = process.id();
    process.wait_until(|| readers(id).len() == 3);
}

#[test]
fn shells_complete_and_manuals_describe_every_command() {
    let bash = text(&["completions", "bash"]);
    for word in ["pretrain", "--init", "visualize", "--lidar"] {
        assert!(bash.contains(word), "{word}");
    }
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(
            text(&["completions", shell]).contains("pretrain"),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    text(&["man", &path_text(&pages)]);
    for (page, words) in [
        ("ijepa.1", "Pretrain and evaluate"),
        ("ijepa-pretrain.1", "fresh optimizer"),
        ("ijepa-visualize-pca.1", "principal components"),
    ] {
        let page = fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.starts_with(".ie") && page.contains(words), "{page}");
    }
    let help = text(&["--help"]);
    assert!(
        help.starts_with("Pretrain and evaluate I-JEPA image encoders"),
        "{help}"
    );
}
