//! Every command that README, docs, recipes and the script for Slurm print is understood: bash
//! expands their blocks with `ijepa` as a function that only says its arguments, and the parser takes
//! these.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ArgMatches;
use ijepa_train::{
    Recipe,
    recipe::{preset_names, preset_text},
};

/// Nothing else is run: there is no program on the path, and what is unknown does nothing.
const STUBS: &str = r#"
PATH=/nowhere
ijepa() { { printf '%s\x1f' ijepa "$@"; printf '\x1e'; } >&3; }
mpirun() { while [[ $# -gt 0 && $1 != ijepa ]]; do shift; done; "$@"; }
srun() { mpirun "$@"; }
cd() { :; }
command_not_found_handle() { :; }
exec 3>&1 >/dev/null
"#;

/// Where a text stands, and its shell blocks.
struct Text {
    place: String,
    blocks: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn texts() -> Vec<Text> {
    let root = root();
    let entries = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    let mut files = vec![root.join("README.md")];
    files.extend(entries("docs").filter(|path| path.extension().is_some_and(|it| it == "md")));
    files.extend(entries("crates").map(|path| path.join("README.md")));
    let mut texts: Vec<Text> = files
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| Text {
            blocks: fenced(&fs::read_to_string(&path).unwrap()),
            place: path.display().to_string(),
        })
        .collect();
    texts.extend(preset_names().map(|name| Text {
        place: format!("recipe {name}"),
        blocks: vec![comments(preset_text(name).unwrap())],
    }));
    let job = root.join("examples/pretrain.slurm");
    texts.push(Text {
        blocks: vec![fs::read_to_string(&job).unwrap()],
        place: job.display().to_string(),
    });
    texts
}

/// The blocks of a page that call the command.
fn fenced(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|text| text.split("\n```").next().unwrap());
    let ours = blocks.filter(|block| block.contains("ijepa "));
    ours.map(str::to_owned).collect()
}

/// The command of a recipe's head: all that follows `Run:`.
fn comments(recipe: &str) -> String {
    let lines = recipe.lines().take_while(|line| line.starts_with('#'));
    let lines: Vec<&str> = lines
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    let all = lines.join("\n");
    all.split_once("Run:")
        .map_or(String::new(), |(_, run)| run.trim().to_owned())
}

/// The arguments of every call of `ijepa` in a block.
fn calls(block: &str) -> Vec<Vec<String>> {
    let scratch = tempfile::tempdir().unwrap();
    for place in block.split(" > ").skip(1) {
        let file = place.split_whitespace().next().unwrap();
        let folder = scratch.path().join(file);
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
    }
    let script = format!("{STUBS}\n{block}\n");
    let mut bash = Command::new("bash");
    // Of these two it would speak itself.
    bash.env("LC_ALL", "C").env_remove("BASH_ENV");
    let bash = bash.args(["-c", &script]).current_dir(scratch.path());
    let output = bash.output().unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(problems.is_empty(), "{problems} in\n{block}");
    let said = String::from_utf8(output.stdout).unwrap();
    let words = |call: &str| call.split_terminator('\x1f').map(str::to_owned).collect();
    said.split_terminator('\x1e').map(words).collect()
}

/// The innermost command's arguments.
fn leaf(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches
}

/// A preset with the changes that are given; recipes in files are the reader's own.
fn check_recipe(matches: &ArgMatches) -> Result<(), String> {
    let Ok(Some(name)) = matches.try_get_one::<String>("recipe") else {
        return Ok(());
    };
    if Path::new(name).extension().is_some() {
        return Ok(());
    }
    let overrides = matches.try_get_many::<String>("overrides").ok().flatten();
    let overrides: Vec<String> = overrides.into_iter().flatten().cloned().collect();
    let recipe = Recipe::load(name).and_then(|recipe| recipe.with_overrides(&overrides));
    let kept = recipe.and_then(|recipe| recipe.validate());
    kept.map_err(|error| error.to_string())
}

#[test]
fn printed_commands_are_understood() {
    let mut checked = 0;
    for Text { place, blocks } in texts() {
        let calls: Vec<Vec<String>> = blocks.iter().flat_map(|block| calls(block)).collect();
        assert!(!place.ends_with(".slurm") || calls.len() == 1, "{calls:?}");
        for call in calls {
            let line = call.join(" ");
            let matches = match crate::command().try_get_matches_from(&call) {
                Ok(matches) => matches,
                // Understood, but not by a program that was built without it.
                Err(error) if error.to_string().contains("the Cargo feature") => continue,
                Err(error) => panic!("{place}: {line}\n{error}"),
            };
            if let Err(error) = check_recipe(leaf(&matches)) {
                panic!("{place}: {line}\n{error}");
            }
            checked += 1;
        }
    }
    assert!(checked > 80, "only {checked} commands were found");
}
