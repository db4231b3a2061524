//! Files on their way: in pieces, resumed, checked.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use sha2::{Digest, Sha256};
use ureq::{
    Body,
    http::{Response, StatusCode, header},
};

use super::{
    error::HubError,
    http::{About, Client, check_file, is_passing},
};
use crate::files::{cannot, ensure_room};

/// Attempts more after one that brought nothing.
pub(super) const RETRIES: u32 = 4;
const PIECE: usize = 1 << 18;

impl Client<'_> {
    /// Downloads the file at `url` to `to`, going on with what lies at `partial`; waits for another
    /// process that does.
    pub(super) fn transfer(
        &self,
        url: &str,
        about: &About,
        [partial, to]: [&Path; 2],
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<(), HubError> {
        // Not for appending: a file that is may not be cut everywhere.
        let mut opened = OpenOptions::new();
        let opened = opened.create(true).truncate(false).read(true).write(true);
        let opened = opened.open(partial);
        let file = opened.map_err(cannot("write", partial))?;
        match file.lock() {
            Err(source) if source.kind() != io::ErrorKind::Unsupported => {
                return Err(cannot("lock", partial)(source).into());
            }
            _ => {}
        }
        if to.is_file() {
            return Ok(());
        }
        if !about.names_content {
            file.set_len(0).map_err(cannot("write", partial))?;
        }
        let here = length(&file).map_err(cannot("read", partial))?;
        ensure_room(partial, about.size.unwrap_or(0).saturating_sub(here))?;
        let mut download = Download {
            client: self,
            url,
            about,
            file,
            watch,
        };
        let whole = download.whole();
        whole.map_err(|failure| failure.at(partial))?;
        // The lock is held until the file has its name.
        fs::rename(partial, to).map_err(cannot("write", to))?;
        drop(download);
        Ok(())
    }
}

/// One file on its way.
struct Download<'a> {
    client: &'a Client<'a>,
    url: &'a str,
    about: &'a About,
    /// What is here of it, or of another file that somebody has left there.
    file: File,
    watch: &'a mut dyn FnMut(u64, u64),
}

impl Download<'_> {
    /// Makes the file the one at the address.
    fn whole(&mut self) -> Result<(), Failure> {
        let here = length(&self.file)?;
        self.complete()?;
        let mut damage = difference(&mut self.file, self.about)?;
        if damage.is_some() && here > 0 {
            self.file.set_len(0)?;
            self.complete()?;
            damage = difference(&mut self.file, self.about)?;
        }
        if let Some(what) = damage {
            self.file.set_len(0)?;
            let file = label(self.url);
            return Err(Failure::Lasting(HubError::Damaged { file, what }));
        }
        Ok(self.file.sync_all()?)
    }

    /// Adds what is missing, in as many connections as that takes.
    fn complete(&mut self) -> Result<(), Failure> {
        let mut failures = 0;
        loop {
            let before = length(&self.file)?;
            let source = match self.append() {
                Err(Failure::Passing(source)) => source,
                done => return done,
            };
            let done = length(&self.file)?;
            failures = if done > before { 1 } else { failures + 1 };
            if failures > RETRIES {
                let file = label(self.url);
                return Err(Failure::Lasting(HubError::Cut { file, done, source }));
            }
            self.client.rest(failures);
        }
    }

    /// Adds what is missing, as far as the connection lasts.
    fn append(&mut self) -> Result<(), Failure> {
        let Self {
            client,
            url,
            about,
            file,
            watch,
        } = self;
        let mut done = length(file)?;
        if about.size == Some(done) {
            return Ok(());
        }
        let mut request = client.agent.get(*url);
        if done > 0 {
            request = request.header(header::RANGE, format!("bytes={done}-"));
        }
        let passing = |error: HubError| match error {
            HubError::Unreachable { source, .. } => Failure::Passing(source),
            other => Failure::Lasting(other),
        };
        let response = client.call(request, url).map_err(passing)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response, done) => {}
            status if is_passing(status) => {
                return Err(Failure::Passing(status.to_string().into()));
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
                if done > 0 =>
            {
                // Not the rest of what is here: from the start.
                file.set_len(0)?;
                return self.append();
            }
            _ => check_file(&response, url).map_err(Failure::Lasting)?,
        }
        file.seek(SeekFrom::Start(done))?;
        let total = about.size.unwrap_or(0);
        watch(done, total);
        let mut body = response.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let read = body.read(&mut piece);
            match read.map_err(|source| Failure::Passing(source.into()))? {
                0 => break,
                bytes => {
                    file.write_all(&piece[..bytes])?;
                    done += bytes as u64;
                    watch(done, total);
                }
            }
        }
        match about.size {
            Some(size) if done < size => Err(Failure::Passing("the connection ended".into())),
            _ => Ok(()),
        }
    }
}

/// Why a file did not pass as a whole.
pub(super) enum Failure {
    /// Another attempt may help.
    Passing(Box<dyn Error + Send + Sync>),
    Lasting(HubError),
    File(io::Error),
}

impl Failure {
    /// What it is of the file `partial`.
    pub(super) fn at(self, partial: &Path) -> HubError {
        match self {
            Self::Lasting(error) => error,
            Self::File(source) => cannot("write", partial)(source).into(),
            Self::Passing(source) => cannot("download", partial)(io::Error::other(source)).into(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self::File(source)
    }
}

fn length(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// Whether an answer is the part of a file from `first` on.
fn begins_at(response: &Response<Body>, first: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {first}-")))
}

/// In what `file` is not the one that the server spoke of.
fn difference(file: &mut File, about: &About) -> io::Result<Option<String>> {
    let done = length(file)?;
    if let Some(size) = about.size.filter(|&size| size != done) {
        return Ok(Some(format!("{done} bytes instead of {size}")));
    }
    let Some(expected) = &about.sha256 else {
        return Ok(None);
    };
    let found = sha256(file)?;
    let expected = expected.to_lowercase();
    Ok((found != expected).then(|| format!("SHA-256 {found} instead of {expected}")))
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    io::copy(file, &mut hasher)?;
    Ok(hex(hasher.finalize()))
}

/// The digits of a hash.
pub(super) fn hex(hash: impl AsRef<[u8]>) -> String {
    let bytes = hash.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The last part of an address.
fn label(url: &str) -> String {
    url.rsplit('/').next().unwrap_or(url).to_owned()
}
