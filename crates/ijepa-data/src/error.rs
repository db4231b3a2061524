//! What can go wrong between a file and a batch of pixels.

mod image;
mod methods;

use std::path::PathBuf;
use std::sync::Arc;

use crate::nearest::suggestion;
pub use image::ImageError;

/// A cause from a decoder or a file format library, kept as the error's source.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An image, a data set or a data specification that cannot be used.
///
/// Every variant carries the facts; the message is one lower-case line. Foreign causes are
/// reachable through [`source`](std::error::Error::source) and are not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// An image cannot be decoded, cut, resized or written as asked.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file or folder could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// What went wrong for all who needed the same part of a file; see [`itself`](Self::itself).
    #[error(transparent)]
    Shared(Arc<DataError>),
    /// A file that a kept index of its folder lists is not there any more.
    #[error("`{}` is gone since its folder was indexed", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// The index of a folder cannot be kept.
    #[error("cannot keep an index of `{}`", folder.display())]
    Index {
        /// The folder that was listed.
        folder: PathBuf,
        /// What kept its index from being written.
        #[source]
        source: ijepa_files::FileError,
    },
    /// Storage that failed for now did so until nobody waited any longer.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// Attempts made.
        attempts: u32,
        /// What went wrong with the last one.
        #[source]
        source: Box<DataError>,
    },
    /// What is named like a file of an image is a pipe, a device, a socket or a folder.
    #[error("`{}` is no regular file", path.display())]
    NotARegularFile {
        /// Its path.
        path: PathBuf,
    },
    /// A file too large to be an image or a list.
    #[error("`{}` has {found} bytes, expected at most {most}", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its length, or what was read of it.
        found: u64,
        /// Bytes allowed.
        most: u64,
    },
    /// A word that is not one of the known values.
    #[error("unknown {what} `{found}`, expected one of: {expected}")]
    UnknownValue {
        /// What the value is for.
        what: &'static str,
        /// The word found.
        found: String,
        /// The known values, separated by commas.
        expected: &'static str,
    },
    /// A data specification of an unknown kind.
    #[error("unknown kind of data `{kind}` in `{spec}`{}, expected one of: {expected}", suggestion(*near))]
    UnknownKind {
        /// The whole specification.
        spec: String,
        /// The word before the colon.
        kind: String,
        /// The kind that was probably meant.
        near: Option<&'static str>,
        /// The known kinds, separated by commas.
        expected: String,
    },
    /// A data specification with a key that its kind does not have.
    #[error("unknown key `{key}` for {kind} data, expected one of: {expected}")]
    UnknownKey {
        /// The kind of data.
        kind: &'static str,
        /// The key found.
        key: String,
        /// The known keys, separated by commas.
        expected: &'static str,
    },
    /// A key of a data specification with a value that it cannot take.
    #[error("bad value `{found}` for `{key}`, expected {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A data specification without the path that its kind needs.
    #[error("{kind} data needs a path: `{kind}:PATH`")]
    MissingPath {
        /// The kind of data.
        kind: &'static str,
    },
    /// The data folder is not there.
    #[error("data folder `{}` does not exist", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The data path is a file where a folder is needed.
    #[error("`{}` is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// No image in the folder, or in one of its class folders.
    #[error("no image in `{}`, expected files ending in {expected}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// The extensions looked for.
        expected: &'static str,
    },
    /// Images lie beside class folders, so it is unclear whether the folder is labelled.
    #[error(
        "`{}` has class folders and also images such as `{example}` beside them; move these into a \
         class folder or elsewhere, or use `folder:{},labels=none` for all images without labels",
        path.display(), path.display()
    )]
    MixedFolder {
        /// The folder.
        path: PathBuf,
        /// One of the images outside every class.
        example: String,
    },
    /// A subset was asked of data that is not a folder.
    #[error("a subset file restricts folders only, not `{spec}`")]
    SubsetOfOther {
        /// The data specification.
        spec: String,
    },
    /// Names in a subset file that the folder does not have.
    #[error("{count} of the names in `{}` are not in the data, the first is `{first}`", path.display())]
    SubsetUnknown {
        /// The subset file.
        path: PathBuf,
        /// How many names are unknown.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A name in a subset file that several images of the folder share.
    #[error(
        "`{name}` in `{}` names several images, write it with its folder (`CLASS/{name}`)",
        path.display()
    )]
    SubsetAmbiguous {
        /// The subset file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A list of images without a single name.
    #[error("`{}` names no image", path.display())]
    SubsetEmpty {
        /// The list.
        path: PathBuf,
    },
    /// The data set has fewer images than a batch.
    #[error("{images} images cannot fill a batch of {batch_size}; use a smaller batch")]
    TooFewImages {
        /// Images in the data set.
        images: usize,
        /// Images a batch.
        batch_size: usize,
    },
    /// More images were unreadable than allowed.
    #[error(
        "{bad} of {images} images are unreadable so far, more than the {allowed} allowed; the last is \
         `{last}` ({why}); remove what `ijepa data verify` lists, or allow a share of {enough} or more \
         (`data.max_bad_fraction` of recipes)"
    )]
    TooManyBad {
        /// Unreadable images met so far.
        bad: usize,
        /// Images in the data set.
        images: usize,
        /// Unreadable images allowed.
        allowed: usize,
        /// A share that would have allowed them.
        enough: f64,
        /// The last unreadable image's path or id.
        last: String,
        /// What was wrong with it.
        why: String,
    },
    /// Not one image could be read.
    #[error("none of the {images} images can be read; the first is `{path}` ({why})")]
    NothingReadable {
        /// Images that were tried.
        images: usize,
        /// Path or id of the first.
        path: String,
        /// What is wrong with it, with the causes.
        why: String,
    },
    /// The threads that read could not be started.
    #[error("cannot start {count} reading threads")]
    Threads {
        /// Threads asked for.
        count: usize,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A loader thread ended early, which is a defect of this crate.
    #[error("loader thread {worker} ended early")]
    WorkerLost {
        /// The thread's number.
        worker: usize,
    },
    /// No file matches a pattern.
    #[error("no file matches `{pattern}`")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// A URL in a build that reads files of this machine only.
    #[error("`{url}` needs a build with the Cargo feature `remote`")]
    NoRemote {
        /// The URL.
        url: String,
    },
    /// A pattern that asks for a list of objects where there is none to be had.
    #[error(
        "`{pattern}` needs a list of files, which is had of the last part of `s3://` paths only; \
         name them by a range such as `{{000..099}}`"
    )]
    NotListed {
        /// The pattern.
        pattern: String,
    },
    /// The files that match a pattern have no row.
    #[error("no image in the Parquet files `{pattern}`")]
    NoRows {
        /// The pattern.
        pattern: String,
    },
    /// A Parquet file cannot be read.
    #[error("cannot read Parquet file `{}`", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        #[source]
        source: Cause,
    },
    /// A file that is no tar file, or one without places that an image could be read from.
    #[error("cannot read tar file `{}`", path.display())]
    Tar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A file that is another one than when its images were listed.
    #[error("`{}` has changed since its images were listed; start again", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// An image that lies beyond the end of its file.
    #[error("`{name}` is cut off: its file ends before it does")]
    CutOff {
        /// The image's id.
        name: String,
    },
    /// A Parquet file without usable images.
    #[error("`{}` has no binary column {expected}; its columns are: {found}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The columns looked for.
        expected: &'static str,
        /// The columns found, separated by commas.
        found: String,
    },
    /// A label column of a type that makes no classes.
    #[error(
        "column `{column}` of `{}` is {found}, which makes no classes; expected integers, strings \
         or booleans",
        path.display()
    )]
    LabelType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// Files of one data set, some with numbers for labels and some with words.
    #[error(
        "one of `{}` and `{}` has integers for labels and the other words",
        first.display(), path.display()
    )]
    LabelMix {
        /// The file.
        path: PathBuf,
        /// The first file with labels.
        first: PathBuf,
    },
    /// A file's rows, sizes or labels contradict one another.
    #[error("`{}` is damaged: {what} is {found}, expected {expected}", path.display())]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
        /// What the file has.
        found: i64,
        /// What it should have.
        expected: i64,
    },
    /// A row of a Parquet file without an image.
    #[error("`{name}` has no image")]
    MissingImage {
        /// The image's id.
        name: String,
    },
    /// A JSON file that is broken or lacks what is needed.
    #[error("cannot understand JSON file `{}`", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the JSON library said, with line and column.
        #[source]
        source: Cause,
    },
    /// An entry of a list or annotation file that cannot be used.
    #[error("`{}`, {entry}: found {found}, expected {expected}", path.display())]
    BadEntry {
        /// The file.
        path: PathBuf,
        /// Which entry: its line, or the image it is about.
        entry: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// A list of images that belong to another folder.
    #[error("`{}` lists `{name}`, which is not in `{}`", path.display(), root.display())]
    ListedMissing {
        /// The list.
        path: PathBuf,
        /// The image looked for.
        name: String,
        /// The folder.
        root: PathBuf,
    },
    /// A data folder without the files of the split that was asked for.
    #[error("no {data} {split} files in `{}`, expected {expected}", path.display())]
    NoSplit {
        /// The data set.
        data: &'static str,
        /// The split's name.
        split: &'static str,
        /// The folder.
        path: PathBuf,
        /// The names looked for.
        expected: String,
    },
}
