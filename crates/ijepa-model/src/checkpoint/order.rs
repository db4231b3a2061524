//! The order in which the reference lists parameters.
//!
//! Optimizer state is numbered by it, while safetensors files are ordered by name.

/// Beginnings of official names, in the order of the networks' fields.
const FIELDS: [&str; 10] = [
    "pos_embed",
    "patch_embed.",
    "blocks.",
    "norm.",
    "mask_token",
    "predictor_pos_embed",
    "predictor_embed.",
    "predictor_blocks.",
    "predictor_norm.",
    "predictor_proj.",
];

/// Parts of a block, in order.
const PARTS: [&str; 6] = [
    "norm1.",
    "attn.qkv.",
    "attn.proj.",
    "norm2.",
    "mlp.fc1.",
    "mlp.fc2.",
];

/// Sorts names as the reference lists them: field, block, part, weight before bias.
pub(crate) fn position(name: &str) -> (usize, usize, usize, bool) {
    let first = |prefixes: &[&str], name: &str| {
        prefixes
            .iter()
            .position(|prefix| name.starts_with(prefix))
            .unwrap_or(prefixes.len())
    };
    let in_block = || {
        let (_, rest) = name.split_once("blocks.")?;
        let (block, part) = rest.split_once('.')?;
        Some((block.parse().ok()?, first(&PARTS, part)))
    };
    let (block, part) = in_block().unwrap_or((0, 0));
    (first(&FIELDS, name), block, part, name.ends_with(".bias"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_fields_blocks_parts_and_kinds() {
        let listed = [
            "pos_embed",
            "patch_embed.proj.weight",
            "patch_embed.proj.bias",
            "blocks.2.norm1.weight",
            "blocks.2.attn.qkv.bias",
            "blocks.2.mlp.fc2.weight",
            "blocks.10.norm1.weight",
            "norm.weight",
            "norm.bias",
        ];
        let mut sorted = listed;
        sorted.sort();
        assert_ne!(sorted, listed);
        sorted.sort_by_key(|name| position(name));
        assert_eq!(sorted, listed);
    }
}
