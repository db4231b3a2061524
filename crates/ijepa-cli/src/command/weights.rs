//! `ijepa weights`: what is published, and how to get it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use ijepa_model::{
    CheckpointError,
    files::{FileError, cannot, create_folder, user_caches, write_file},
    hub::{Address, BESIDE, Event, Hub, HubName, KnownWeights, reads_beside},
};
use serde_json::json;

use crate::{
    context::Context,
    error::CliError,
    hub::{NOT_STATED, watch},
    report::{Report, list},
};

/// List published weights and download them
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  ijepa weights list")]
pub(crate) enum Weights {
    /// Published I-JEPA weights: name, architecture and image size, data, networks, licence
    #[command(after_help = "Example:\n  ijepa weights list")]
    List,
    Get(Get),
}

/// Download weights and print where they are; any that the hub has are also `--weights hf:...`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ijepa embed --weights $(ijepa weights get in1k_vith14_ep300) --data folder:photos \
    --out photos.safetensors\n  \
    ijepa weights get hf:facebook/ijepa_vith14_1k --out weights")]
pub(crate) struct Get {
    /// Name in `ijepa weights list`, or `hf:ORG/NAME[@REVISION][/FILE]`
    #[arg(value_parser = name)]
    name: String,
    /// Folder for the weights [default: the cache of the hub (see HF_HOME), for others the user's]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let is_known = KnownWeights::by_name(text).is_some();
    match is_known || text.parse::<HubName>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("expected a name of `ijepa weights list` or \
                      hf:ORG/NAME[@REVISION][/FILE]"
            .to_owned()),
    }
}

impl Weights {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::List => Ok(table()),
            Self::Get(get) => get.run(context),
        }
    }
}

fn table() -> Report {
    let rows = KnownWeights::ALL.map(|known| {
        [
            known.name.to_owned(),
            format!("{} {}", known.arch, known.image_size),
            known.data.to_owned(),
            list(known.holds.iter().map(|part| part.name())),
            known.licence.unwrap_or(NOT_STATED).to_owned(),
        ]
    });
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<String>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    Report {
        text: rows.iter().map(line).collect(),
        json: json!({"weights": KnownWeights::ALL}),
    }
}

impl Get {
    fn run(&self, context: &Context) -> Result<Report, CliError> {
        let known = KnownWeights::by_name(&self.name);
        let stated = known.and_then(|known| known.licence);
        let mut licence = stated.map(str::to_owned);
        let mut shown = watch(self.name.clone(), context.quiet);
        let watch = |event: Event<'_>| match event {
            Event::Begins { licence: found } => {
                licence = found.or(stated).map(str::to_owned);
                shown(Event::Begins {
                    licence: licence.as_deref(),
                });
            }
            event => shown(event),
        };
        let path = match known.map(|known| known.address) {
            Some(Address::Url(url)) => self.file(url, watch),
            _ => self.repository(watch),
        }?;
        Ok(Report {
            text: format!("{}\n", path.display()),
            json: json!({"name": self.name, "licence": licence, "path": path.to_string_lossy()}),
        })
    }

    /// The file of a server other than the hub.
    fn file(&self, url: &str, watch: impl FnMut(Event<'_>)) -> Result<PathBuf, CliError> {
        let own = || Some(user_caches()?.join("ijepa/weights"));
        let folder = self.out.clone().or_else(own).ok_or(CliError::NoCache)?;
        let path = Hub::from_env().download_file(url, &folder, watch);
        Ok(path.map_err(CheckpointError::from)?)
    }

    /// What the hub has now, where it is in the cache or copied from there.
    fn repository(&self, watch: impl FnMut(Event<'_>)) -> Result<PathBuf, CliError> {
        let name: HubName = self.name.parse().map_err(CheckpointError::from)?;
        let copy = self.out.as_deref().map(|out| Copy::of(&name, out));
        if let Some(Copy { path, .. }) = copy.as_ref().filter(|copy| copy.path.exists()) {
            let path = path.clone();
            return Err(CliError::Exists { path });
        }
        let hub = Hub::from_env();
        let cached = hub.cached(&name).filter(|_| hub.offline);
        let from = cached.map_or_else(|| hub.download(&name, watch), Ok);
        let from = from.map_err(CheckpointError::from)?;
        match copy {
            Some(copy) => Ok(copy.make(&from)?),
            None => Ok(from),
        }
    }
}

/// A copy of weights of the hub.
struct Copy {
    /// Its file, or the folder of its files.
    path: PathBuf,
    /// The file that is asked for and read with what lies beside it, if one is.
    file: Option<String>,
}

impl Copy {
    fn of(name: &HubName, out: &Path) -> Self {
        let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let file = name.file().filter(|file| reads_beside(file));
        let named = name.file().filter(|_| file.is_none());
        Self {
            path: out.join(last(named.unwrap_or_else(|| name.repository()))),
            file: file.map(last),
        }
    }

    /// Copies what is at `from`, and gives the path of the weights.
    fn make(self, from: &Path) -> Result<PathBuf, FileError> {
        let Self { path, file } = self;
        match &file {
            Some(file) => {
                let folder = from.parent().unwrap_or(from);
                let is_read = |name: &str| name == file || BESIDE.contains(&name);
                create_folder(&path, |to| copy_files(folder, to, is_read))?;
                return Ok(path.join(file));
            }
            None if from.is_dir() => create_folder(&path, |to| copy_files(from, to, |_| true))?,
            None => copy(from, &path)?,
        }
        Ok(path)
    }
}

/// Copies the `wanted` files of one folder into another, also those that links name.
fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), FileError> {
    for entry in fs::read_dir(from).map_err(cannot("list", from))? {
        let entry = entry.map_err(cannot("list", from))?;
        if entry.path().is_file() && wanted(&entry.file_name().to_string_lossy()) {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    write_file(to, |file| {
        let mut source = fs::File::open(from).map_err(cannot("read", from))?;
        std::io::copy(&mut source, file).map_err(cannot("write", to))?;
        Ok(())
    })
}
