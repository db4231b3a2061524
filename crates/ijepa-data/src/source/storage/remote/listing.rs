//! The objects that a pattern names.

use std::path::{Path, PathBuf};

use glob::Pattern;

use super::{Remote, Url, refusal};
use crate::error::DataError;
use crate::source::shards::expand;
use crate::source::storage::{patiently, split_query};
use crate::source::wildcards::{MATCHING, WILDCARDS, no_match, sort_bytewise};

impl Remote {
    /// The objects that `pattern` names, sorted byte-wise; never empty.
    ///
    /// Braces are those of files. Wildcards in the last part of a path, and a path that ends with
    /// a slash and stands for its files of the kind `ending`, are for stores that can be listed.
    pub(in crate::source) fn shards(
        &self,
        pattern: &Path,
        ending: &str,
    ) -> Result<Vec<PathBuf>, DataError> {
        let text = pattern.to_str().ok_or_else(|| no_match(pattern))?;
        let mut found = Vec::new();
        for pattern in expand(text).ok_or_else(|| no_match(pattern))? {
            let (path, _) = split_query(&pattern);
            let Some((folder, name)) = path.rsplit_once('/') else {
                return Err(no_match(pattern.as_ref()));
            };
            let files = format!("*.{ending}");
            match name {
                "" => found.extend(self.matching(&pattern, folder, &files)?),
                _ if has_wildcards(path) => {
                    found.extend(self.matching(&pattern, folder, name)?);
                }
                _ => found.push(PathBuf::from(&*pattern)),
            }
        }
        sort_bytewise(&mut found);
        found.dedup();
        Ok(found)
    }

    /// The objects of `folder` whose names `wanted` fits.
    fn matching(
        &self,
        pattern: &str,
        folder: &str,
        wanted: &str,
    ) -> Result<Vec<PathBuf>, DataError> {
        let not_listed = || DataError::NotListed {
            pattern: split_query(pattern).0.to_owned(),
        };
        if !pattern.starts_with("s3://") || has_wildcards(folder) {
            return Err(not_listed());
        }
        let wanted = Pattern::new(wanted).map_err(|_| no_match(pattern.as_ref()))?;
        // A place of some name below the folder, whose parent is listed; a bucket has none itself.
        let url = format!("{folder}/x");
        let before = Url::parse(&url).map(|url| url.before.to_owned());
        let before = before.ok_or_else(not_listed)?;
        let (store, place) = self.locate(url.as_ref())?;
        let folder = place.parent().unwrap_or_default();
        let list = || {
            let listed = self.wait(store.list_with_delimiter(Some(&folder)));
            listed.map_err(|error| refusal(pattern.as_ref(), error))
        };
        let objects = patiently(list)?.objects.into_iter();
        let named = |name: &str| wanted.matches_with(name, MATCHING);
        let objects = objects.filter(|it| it.location.filename().is_some_and(named));
        let urls: Vec<_> = objects
            .map(|object| PathBuf::from(format!("{before}{}", object.location)))
            .collect();
        match urls.is_empty() {
            true => Err(no_match(pattern.as_ref())),
            false => Ok(urls),
        }
    }
}

/// Whether the path of a URL without a query has some.
fn has_wildcards(url: &str) -> bool {
    // A host may be an address in brackets.
    let path = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'));
    path.is_some_and(|(_, path)| path.contains(WILDCARDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_stand_in_the_order_of_files_and_a_query_may_have_slashes() {
        let remote = Remote::start().unwrap();
        let found = remote.shards("https://h/{b/0,b-0}.tar?token=*/".as_ref(), "tar");
        let expected = ["https://h/b-0.tar?token=*/", "https://h/b/0.tar?token=*/"];
        assert_eq!(found.unwrap(), expected.map(PathBuf::from));
    }
}
