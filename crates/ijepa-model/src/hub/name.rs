//! What weights are called on the hub.

use std::{fmt, path::Path, str::FromStr};

use super::error::HubError;
use crate::checkpoint::HUB_PREFIX as PREFIX;

const MAIN: &str = "main";

/// Weights on the hub, written `hf:ORG/NAME[@REVISION][/FILE]`.
///
/// Without a revision it is `main`; slashes in one are written `%2F`, as in `@refs%2Fpr%2F1`.
/// Without a file it is what a folder of weights consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    repository: String,
    revision: String,
    file: Option<String>,
}

impl HubName {
    /// What `path` names on the hub, if it begins with `hf:`.
    ///
    /// # Errors
    ///
    /// [`HubError::Name`] if the rest of it is no name.
    pub fn of_path(path: &Path) -> Result<Option<Self>, HubError> {
        match path.to_str().filter(|text| text.starts_with(PREFIX)) {
            Some(text) => text.parse().map(Some),
            None => Ok(None),
        }
    }

    /// What `path` names on the hub if nothing lies there and it has the form `ORG/NAME`.
    pub(crate) fn of_missing(path: &Path) -> Option<Self> {
        let name: Self = format!("{PREFIX}{}", path.display()).parse().ok()?;
        (name.file.is_none() && !path.exists()).then_some(name)
    }

    /// Organisation or user, and name, with a slash between them.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The same of this commit.
    pub(super) fn at(&self, commit: String) -> Self {
        Self {
            revision: commit,
            ..self.clone()
        }
    }

    /// Path of the only file meant.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl FromStr for HubName {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        parsed(text).ok_or_else(|| HubError::Name { name: text.into() })
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.repository)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision.replace('/', "%2F"))?;
        }
        match &self.file {
            Some(file) => write!(f, "/{file}"),
            None => Ok(()),
        }
    }
}

fn parsed(text: &str) -> Option<HubName> {
    let (owner, rest) = text.strip_prefix(PREFIX)?.split_once('/')?;
    let (place, file) = match rest.split_once('/') {
        Some((place, file)) => (place, Some(file)),
        None => (rest, None),
    };
    let (name, revision) = place.split_once('@').unwrap_or((place, MAIN));
    let revision = revision.replace("%2F", "/");
    let is_name = |name: &str| is_part(name) && name.bytes().all(is_plain);
    let parts = |path: &str| path.split('/').all(is_part);
    let is_valid = is_name(owner)
        && is_name(name)
        && revision.split('/').all(is_name)
        && file.is_none_or(parts);
    is_valid.then(|| HubName {
        repository: format!("{owner}/{name}"),
        revision,
        file: file.map(str::to_owned),
    })
}

/// Whether `part` can be a part of a path that stays in its folder.
pub(super) fn is_part(part: &str) -> bool {
    !part.is_empty() && !part.starts_with("..") && part != "." && !part.contains(['\\', ':', '\0'])
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_revision_and_a_file_if_they_say_so() {
        for (text, repository, revision, file) in [
            (
                "hf:facebook/ijepa_vith14_1k",
                "facebook/ijepa_vith14_1k",
                "main",
                None,
            ),
            ("hf:a/b@v1.0", "a/b", "v1.0", None),
            (
                "hf:a/b@refs%2Fpr%2F1/x/y.bin",
                "a/b",
                "refs/pr/1",
                Some("x/y.bin"),
            ),
            (
                "hf:a/b/vit-b16.pth.tar",
                "a/b",
                "main",
                Some("vit-b16.pth.tar"),
            ),
        ] {
            let name: HubName = text.parse().unwrap();
            let found = (name.repository(), name.revision(), name.file());
            assert_eq!(found, (repository, revision, file), "{text}");
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(
            "hf:a/b@main".parse::<HubName>().unwrap().to_string(),
            "hf:a/b"
        );
    }

    #[test]
    fn other_texts_are_no_names() {
        let texts = [
            "hf:",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:a/b@",
            "hf:a/b/",
            "hf:a/b//c",
            "hf:../b",
            "hf:a/..",
            "hf:a/b/../c",
            "hf:a/b/c\\d",
            "hf:a b/c",
            "hf:a/b@..",
            "a/b",
        ];
        for text in texts {
            let error = text.parse::<HubName>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{text}` names no weights of the hub, expected hf:ORG/NAME[@REVISION][/FILE]"
                )
            );
        }
        assert_eq!(HubName::of_path(Path::new("runs/b16")).unwrap(), None);
    }

    #[test]
    fn what_lies_on_disk_is_no_name() {
        let named = |path: &str| HubName::of_missing(Path::new(path)).map(|name| name.to_string());
        assert_eq!(named("org/vit").as_deref(), Some("hf:org/vit"));
        for path in [
            "src/hub",
            "vit.safetensors",
            "/org/vit",
            "org/vit/model.bin",
            "./vit",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
