//! Names of tensors without what training frameworks wrap around them.

use std::collections::HashSet;

use super::state_dict::{LazyTensor, StateDict};

/// What `torch.compile` puts into names, before or between the others.
const COMPILED: &str = "_orig_mod";
/// What distributed training, Lightning and wrappers put before all names.
const WRAPPERS: [&str; 3] = ["module", "model", "backbone"];

/// The tensor that every encoder has, whatever is before its name.
const ANCHORS: [&str; 2] = [
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
];

/// The dict with official or `transformers` names: without `_orig_mod.`, `module.`, `model.` and
/// `backbone.` in any order, and without another prefix if it is before every name.
///
/// Names that would no longer differ stay as they are, and loading lists them.
pub(crate) fn unwrapped(dict: StateDict) -> StateDict {
    let mut tensors: Vec<(String, LazyTensor)> = dict.into_iter().collect();
    unwrap(&mut tensors);
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let prefix = common_prefix(&names).map_or(0, str::len);
    for (name, _) in &mut tensors {
        name.drain(..prefix);
    }
    StateDict::new(tensors)
}

/// Takes what is known to wrap names off all of them, unless they would no longer differ.
pub(crate) fn unwrap(tensors: &mut [(String, LazyTensor)]) {
    let names: Vec<String> = tensors.iter().map(|(name, _)| bare(name)).collect();
    let distinct: HashSet<&String> = names.iter().collect();
    if distinct.len() == names.len() {
        let renamed = tensors.iter_mut().zip(names);
        renamed.for_each(|((name, _), bare)| *name = bare);
    }
}

/// Only the tensors whose names begin with `prefix`, without it.
pub(crate) fn below(tensors: &mut Vec<(String, LazyTensor)>, prefix: &str) -> StateDict {
    let (found, others) = std::mem::take(tensors)
        .into_iter()
        .partition(|(name, _)| name.starts_with(prefix));
    *tensors = others;
    let found: Vec<(String, LazyTensor)> = found;
    let renamed = found.into_iter();
    let renamed = renamed.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor));
    StateDict::new(renamed.collect())
}

/// `name` without what is known to wrap others.
fn bare(name: &str) -> String {
    let parts = name.split('.').filter(|part| *part != COMPILED);
    let parts: Vec<&str> = parts.skip_while(|part| WRAPPERS.contains(part)).collect();
    parts.join(".")
}

/// What is before the name of the patch embedding and of every other tensor.
fn common_prefix<'a>(names: &[&'a str]) -> Option<&'a str> {
    let anchored = |name| {
        let mut found = ANCHORS.iter();
        found.find_map(|anchor| name_before(name, anchor))
    };
    let prefix = names.iter().copied().find_map(anchored)?;
    names
        .iter()
        .all(|name| name.starts_with(prefix))
        .then_some(prefix)
}

fn name_before<'a>(name: &'a str, anchor: &str) -> Option<&'a str> {
    let prefix = name.strip_suffix(anchor)?;
    // `ijepa.embeddings...` is a prefix, `my_embeddings...` another name.
    (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[&str]) -> Vec<String> {
        let tensor = || LazyTensor::new(vec![1], || Ok(vec![0.0]));
        let dict = found.iter().map(|name| ((*name).to_owned(), tensor()));
        let dict = unwrapped(StateDict::new(dict.collect()));
        dict.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn wrappers_go_in_any_order_and_number() {
        let expected = ["pos_embed", "blocks.0.norm1.weight"];
        for prefix in [
            "module.",
            "_orig_mod.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "model.backbone.",
            "module.model._orig_mod.backbone.",
        ] {
            let wrapped = expected.map(|name| format!("{prefix}{name}"));
            assert_eq!(names(&wrapped.each_ref().map(String::as_str)), expected);
        }
        assert_eq!(names(&["blocks._orig_mod.0.norm1.weight"]), expected[1..]);
    }

    #[test]
    fn another_prefix_goes_if_it_explains_all_names() {
        let all = ["net.pos_embed", "net.patch_embed.proj.weight"];
        assert_eq!(names(&all), ["pos_embed", "patch_embed.proj.weight"]);
        let some = ["head.weight", "net.patch_embed.proj.weight"];
        assert_eq!(names(&some), some);
    }

    #[test]
    fn names_that_would_be_one_stay() {
        let both = ["model.norm.weight", "backbone.norm.weight"];
        assert_eq!(names(&both), both);
    }
}
