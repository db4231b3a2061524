//! `ijepa weights`: what is published, and how to get it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use ijepa_model::{
    CheckpointError,
    files::{FileError, cannot, create_folder, user_caches, write_file},
    hub::{Address, Event, Hub, HubError, HubName, KnownWeights},
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
        let download = || -> Result<_, HubError> {
            let (hub, name) = (Hub::from_env(), self.name.parse()?);
            let cached = hub.cached(&name).filter(|_| hub.offline);
            let path = cached.map_or_else(|| hub.download(&name, watch), Ok)?;
            Ok((name, path))
        };
        let (name, from) = download().map_err(CheckpointError::from)?;
        let Some(out) = &self.out else {
            return Ok(from);
        };
        let last = name.file().unwrap_or_else(|| name.repository());
        let path = out.join(last.rsplit('/').next().unwrap_or(last));
        if path.exists() {
            return Err(CliError::Exists { path });
        }
        match from.is_dir() {
            true => create_folder(&path, |folder| copy_files(&from, folder))?,
            false => copy(&from, &path)?,
        }
        Ok(path)
    }
}

/// Copies the files of one folder into another, also those that links name.
fn copy_files(from: &Path, to: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(from).map_err(cannot("list", from))? {
        let entry = entry.map_err(cannot("list", from))?;
        if entry.path().is_file() {
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
