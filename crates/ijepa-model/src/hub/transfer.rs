//! Files on their way: in pieces, resumed, checked.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::Path,
    thread::sleep,
};

use sha2::{Digest, Sha256};
use ureq::{
    Body,
    http::{Response, StatusCode, header},
};

use super::{
    error::HubError,
    http::{About, Client, check_file},
};
use crate::files::{cannot, ensure_room};

/// Attempts more after one that brought nothing.
const RETRIES: u32 = 4;
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
        let label = to_label(url);
        let mut opened = OpenOptions::new();
        let opened = opened.create(true).read(true).append(true).open(partial);
        let mut file = opened.map_err(cannot("write", partial))?;
        match file.lock() {
            Err(source) if source.kind() != io::ErrorKind::Unsupported => {
                return Err(cannot("lock", partial)(source).into());
            }
            _ => {}
        }
        if to.is_file() {
            return Ok(());
        }
        let broken = |source| HubError::from(cannot("write", partial)(source));
        let here = length(&file).map_err(broken)?;
        ensure_room(partial, about.size.unwrap_or(0).saturating_sub(here))?;
        let mut failures = 0;
        let done = loop {
            let before = length(&file).map_err(broken)?;
            let cut = match self.append(url, about, &mut file, watch) {
                Ok(()) => break length(&file).map_err(broken)?,
                Err(Failure::Passing(source)) => source,
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::File(source)) => return Err(broken(source)),
            };
            let done = length(&file).map_err(broken)?;
            failures = if done > before { 1 } else { failures + 1 };
            if failures > RETRIES {
                return Err(HubError::Cut {
                    file: label.to_owned(),
                    done,
                    source: cut,
                });
            }
            sleep(self.hub.pause * 2_u32.pow(failures - 1));
        };
        if let Some(what) = difference(&mut file, about, done).map_err(broken)? {
            file.set_len(0).map_err(broken)?;
            let file = label.to_owned();
            return Err(HubError::Damaged { file, what });
        }
        file.sync_all().map_err(broken)?;
        Ok(fs::rename(partial, to).map_err(cannot("write", to))?)
    }

    /// Adds to `file` what is missing of it, as far as the connection lasts.
    fn append(
        &self,
        url: &str,
        about: &About,
        file: &mut File,
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Failure> {
        let mut done = length(file)?;
        if about.size == Some(done) {
            return Ok(());
        }
        let mut request = self.agent.get(url);
        if done > 0 {
            request = request.header(header::RANGE, format!("bytes={done}-"));
        }
        let passing = |error: HubError| match error {
            HubError::Unreachable { source, .. } => Failure::Passing(source),
            other => Failure::Lasting(other),
        };
        let response = self.call(request, url).map_err(passing)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response, done) => {}
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Passing(status.to_string().into()));
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
                if done > 0 =>
            {
                // Not the rest of what is here: from the start.
                file.set_len(0)?;
                return self.append(url, about, file, watch);
            }
            _ => check_file(&response, url).map_err(Failure::Lasting)?,
        }
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

/// Why a file did not come as a whole.
enum Failure {
    /// Another attempt may help.
    Passing(Box<dyn Error + Send + Sync>),
    Lasting(HubError),
    File(io::Error),
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

/// In what the `done` bytes of `file` are not those that the server spoke of.
fn difference(file: &mut File, about: &About, done: u64) -> io::Result<Option<String>> {
    if let Some(size) = about.size.filter(|&size| size != done) {
        return Ok(Some(format!("{done} bytes instead of {size}")));
    }
    // Small files of the hub, and files of other servers, have other hashes or none.
    if about.etag.len() != 64 {
        return Ok(None);
    }
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            bytes => hasher.update(&piece[..bytes]),
        }
    }
    let found: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = about.etag.to_lowercase();
    Ok((found != expected).then(|| format!("SHA-256 {found} instead of {expected}")))
}

/// The last part of an address.
fn to_label(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}
