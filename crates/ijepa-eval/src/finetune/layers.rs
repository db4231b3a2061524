//! Layer-wise learning rates.

/// Factor of the learning rate of the classifier's parameter called `name`.
///
/// `decay^(depth + 1 - layer)`, where the patch embedding is layer 0, block `i` (from 0) layer
/// `i + 1`, and norm and head are layer `depth + 1` (Clark et al. 2020, as MAE counts layers).
///
/// ```
/// use ijepa_eval::finetune::layer_scale;
///
/// assert_eq!(layer_scale("head.weight", 12, 0.5), 1.0);
/// assert_eq!(layer_scale("encoder.blocks.11.attn.qkv.weight", 12, 0.5), 0.5);
/// ```
pub fn layer_scale(name: &str, depth: usize, decay: f64) -> f64 {
    decay.powi((depth + 1 - layer(name, depth)) as i32)
}

fn layer(name: &str, depth: usize) -> usize {
    let name = name.strip_prefix("encoder.").unwrap_or(name);
    if name.starts_with("patch_embed.") || name == "pos_embed" {
        return 0;
    }
    let block = name.strip_prefix("blocks.");
    let index = block.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    index.map_or(depth + 1, |index| index + 1)
}
