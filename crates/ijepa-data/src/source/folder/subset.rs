//! Which images of a folder a subset file names.

use std::collections::HashMap;
use std::path::Path;

use super::FolderSource;
use crate::error::DataError;
use crate::source::Source;
use crate::source::file::read_text;

/// One flag per image of `source`: whether `list` names it.
pub(super) fn selected(source: &FolderSource, list: &Path) -> Result<Vec<bool>, DataError> {
    let path = || list.to_owned();
    let text = read_text(list)?;
    let mut by_name: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for index in 0..source.len() {
        let name = source.names.bytes_of(index);
        by_name.entry(name).or_default().push(index);
    }

    let mut keep = vec![false; source.len()];
    let (mut unknown, mut first_unknown) = (0, None);
    let mut named = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        named += 1;
        let wanted = Path::new(line);
        let own_name = wanted.file_name().unwrap_or_default().as_encoded_bytes();
        let mut matches = by_name.get(own_name).cloned().unwrap_or_default();
        if own_name.len() != line.len() {
            matches.retain(|&index| source.path(index).ends_with(wanted));
        }
        match matches[..] {
            [] => {
                unknown += 1;
                first_unknown.get_or_insert_with(|| line.to_owned());
            }
            [index] => keep[index] = true,
            _ => {
                return Err(DataError::SubsetAmbiguous {
                    path: path(),
                    name: line.to_owned(),
                });
            }
        }
    }
    if let Some(first) = first_unknown {
        return Err(DataError::SubsetUnknown {
            path: path(),
            count: unknown,
            first,
        });
    }
    if named == 0 {
        return Err(DataError::SubsetEmpty { path: path() });
    }
    Ok(keep)
}
