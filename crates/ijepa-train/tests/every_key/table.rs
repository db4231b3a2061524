//! For every key of the recipe: other values, and where a run shows that it heard them.

use Evidence::{
    Checkpoints, Column, Computed, Cured, Epochs, Error, Network, NotBuilt, Pictures, Rounding,
    Sharing, Weights,
};

/// What of a run differs from the run it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// A column of `metrics.csv`.
    Column(&'static str),
    /// The weights at the end.
    Weights,
    /// The sizes of the planned network, which takes long to train.
    Network,
    /// The checkpoints that are kept.
    Checkpoints,
    /// `epochs.csv`.
    Epochs,
    /// The run stops with an error that says this.
    Error(&'static str),
    /// The run that it is compared with stops with an error that says this, and this one does not.
    Cured(&'static str),
    /// Only rounding: weights at the end differ, losses agree.
    Rounding,
    /// How all networks of the learner were computed; losses agree.
    Computed,
    /// Whether two ranks share the moments.
    Sharing,
    /// The value is refused, unless this build can act on it.
    NotBuilt(bool),
    /// The channels that pictures show; a run draws none.
    Pictures,
}

/// A key with values that differ from those of the run it is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) key: &'static str,
    pub(crate) values: &'static [&'static str],
    /// Changes of both runs, where the key has no effect without them.
    pub(crate) given: &'static [&'static str],
    pub(crate) evidence: Evidence,
}

const fn entry(
    key: &'static str,
    values: &'static [&'static str],
    given: &'static [&'static str],
    evidence: Evidence,
) -> Entry {
    Entry {
        key,
        values,
        given,
        evidence,
    }
}

/// The run that the others are compared with, on top of the defaults.
pub(crate) const BASE: &[&str] = &[
    "model.embed_dim=16",
    "model.depth=2",
    "model.num_heads=2",
    "model.mlp_ratio=2.0",
    "model.patch_size=4",
    "model.image_size=24",
    "model.predictor_dim=8",
    "model.predictor_depth=1",
    "mask.group_size=6",
    "mask.min_keep=3",
    "data.max_bad_fraction=0.1",
    "optimizer.epochs=2",
    "optimizer.steps_per_epoch=2",
    "optimizer.warmup_epochs=1",
    "run.batch_size=12",
    "run.precision=f32",
    "run.log_every_steps=1",
];

const NAMED: &[&str] = &["model.image_size=224", "model.predictor_dim=384"];

/// Weights that decay to nothing in a step, so that only positions tell features apart, and targets
/// that cover most of them: all images become the same.
const COLLAPSING: &[&str] = &[
    "mask.target_scale=[1.0, 1.0]",
    "mask.target_aspect=[1.0, 1.0]",
    "mask.allow_overlap=true",
    "optimizer.start_lr=1e-3",
    "optimizer.weight_decay=1000",
    "optimizer.weight_decay_schedule=constant",
    "ema.start=0",
];

/// From the second update on no weight can be computed with.
const EXPLODING: &[&str] = &["optimizer.start_lr=1e-3", "optimizer.lr=1e30"];

/// A context that is read before it has seen anything is the same for all.
const TWO_DEEP: &[&str] = &["model.predictor_depth=2"];
const PIXELS: &[&str] = &["objective.target=pixels"];
const LEJEPA: &[&str] = &["objective.kind=lejepa"];
const FAN_IN: &[&str] = &["model.init=fan_in"];
const UNIFORM: &[&str] = &["mask.mode=uniform"];
/// Sums of four gradients depend on their order.
const FOUR_GROUPS: &[&str] = &["mask.group_size=3"];
const FOUR_GROUPS_IN_TURN: &[&str] = &["mask.group_size=3", "run.reduce=fast"];
/// Targets leave a context of few patches.
const CROWDED: &[&str] = &["mask.num_targets=8", "mask.target_scale=[0.2, 0.25]"];

pub(crate) const TABLE: &[Entry] = &[
    entry(
        "model.arch",
        &[
            "vit_ti16", "vit_s16", "vit_b16", "vit_l16", "vit_h14", "vit_h16", "vit_g16",
        ],
        NAMED,
        Network,
    ),
    entry("model.embed_dim", &["24"], &[], Weights),
    entry("model.depth", &["3"], &[], Weights),
    entry("model.num_heads", &["4"], &[], Column("loss")),
    entry("model.mlp_ratio", &["4.0"], &[], Weights),
    entry("model.patch_size", &["3"], &[], Weights),
    entry("model.image_size", &["28", "[24, 28]"], &[], Weights),
    entry("model.predictor_dim", &["12"], &[], Weights),
    entry("model.predictor_depth", &["2"], &[], Weights),
    entry("model.drop_path", &["0.5"], &[], Column("loss")),
    entry("model.init", &["depth_rescaled", "fan_in"], &[], Weights),
    entry("model.patch_embed_init", &["fan_in"], &[], Weights),
    entry(
        "model.patch_embed_init",
        &["normal", "depth_rescaled"],
        FAN_IN,
        Weights,
    ),
    entry("model.position_noise", &["0.25"], &[], Column("loss")),
    entry("predictor.context", &["shared"], TWO_DEEP, Column("loss")),
    entry(
        "objective.kind",
        &["mae", "lejepa"],
        &[],
        Column("context_patches"),
    ),
    entry("objective.global_views", &["3"], LEJEPA, Column("loss")),
    entry("objective.local_views", &["1"], LEJEPA, Column("loss")),
    entry("objective.target", &["pixels"], &[], Column("loss")),
    entry("objective.norm_pixels", &["false"], PIXELS, Column("loss")),
    entry("objective.target_blocks", &["2"], &[], Column("loss")),
    entry("objective.center_targets", &["true"], &[], Column("loss")),
    entry(
        "objective.center_momentum",
        &["0.5"],
        &["objective.center_targets=true"],
        Column("loss"),
    ),
    entry("objective.variance", &["0.1"], &[], Weights),
    entry("objective.covariance", &["0.1"], &[], Weights),
    entry("objective.sigreg", &["0.1"], &[], Weights),
    entry(
        "objective.anneal",
        &["0.5"],
        &["objective.variance=0.1"],
        Weights,
    ),
    entry("objective.target_masking", &["input"], &[], Column("loss")),
    entry("objective.target_norm", &["false"], &[], Column("loss")),
    entry("objective.loss", &["l2", "mse", "l1"], &[], Column("loss")),
    entry(
        "mask.strategy",
        &["rasterized", "block", "random"],
        &[],
        Column("context_patches"),
    ),
    // Both modes draw the same context lengths.
    entry("mask.mode", &["uniform"], &[], Column("loss")),
    entry("mask.group_size", &["12"], &[], Column("context_patches")),
    entry(
        "mask.length_multiple",
        &["4"],
        UNIFORM,
        Column("context_patches"),
    ),
    entry("mask.num_targets", &["2"], &[], Column("context_patches")),
    entry(
        "mask.target_scale",
        &["[0.3, 0.4]"],
        &[],
        Column("target_patches"),
    ),
    entry(
        "mask.target_aspect",
        &["[0.3, 0.4]"],
        &[],
        Column("target_patches"),
    ),
    entry("mask.num_contexts", &["2"], &[], Column("loss")),
    entry(
        "mask.context_scale",
        &["[0.5, 0.6]"],
        &[],
        Column("context_patches"),
    ),
    entry("mask.min_keep", &["5"], CROWDED, Column("context_patches")),
    entry(
        "mask.allow_overlap",
        &["true"],
        &[],
        Column("context_patches"),
    ),
    entry("data.crop_scale", &["[0.9, 1.0]"], &[], Column("loss")),
    entry("data.flip", &["true"], &[], Column("loss")),
    entry("data.color_jitter", &["1.0"], &[], Column("loss")),
    entry(
        "data.decode",
        &["fast"],
        &[],
        NotBuilt(ijepa_data::Decode::Fast.is_built()),
    ),
    entry("data.orientation", &["exif"], &[], Column("loss")),
    entry("data.sixteen_bit", &["scale", "keep"], &[], Column("loss")),
    entry(
        "data.channels",
        &["1"],
        &[],
        Error("`data.mean` has 3 numbers, expected 1"),
    ),
    entry(
        "data.bands",
        &[r#"["2", "1", "0"]"#],
        &[r#"data.picture=["2"]"#],
        Pictures,
    ),
    entry(
        "data.picture",
        &[r#"["2"]"#, r#"["2", "1", "0"]"#],
        &[],
        Pictures,
    ),
    entry("data.mean", &["[0.5, 0.4, 0.3]"], &[], Column("loss")),
    entry("data.std", &["[0.3, 0.2, 0.1]"], &[], Column("loss")),
    entry(
        "data.max_bad_fraction",
        &["0.0"],
        &[],
        Error("images are unreadable"),
    ),
    entry("optimizer.lr", &["2e-3"], &[], Column("lr")),
    entry("optimizer.lr_is_base", &["true"], &[], Column("lr")),
    entry("optimizer.start_lr", &["1e-4"], &[], Column("lr")),
    entry("optimizer.final_lr", &["1e-4"], &[], Column("lr")),
    entry("optimizer.warmup_epochs", &["0.4"], &[], Column("lr")),
    entry("optimizer.epochs", &["3"], &[], Column("lr")),
    entry(
        "optimizer.steps_per_epoch",
        &["3", "0"],
        &[],
        Column("epoch"),
    ),
    entry("optimizer.ipe_scale", &["1.5"], &[], Column("lr")),
    entry("optimizer.weight_decay", &["0.1"], &[], Column("wd")),
    entry("optimizer.final_weight_decay", &["0.2"], &[], Column("wd")),
    entry(
        "optimizer.weight_decay_schedule",
        &["linear", "constant"],
        &[],
        Column("wd"),
    ),
    entry(
        "optimizer.betas",
        &["[0.5, 0.999]", "[0.9, 0.5]"],
        &[],
        Weights,
    ),
    entry("optimizer.eps", &["1e-3"], &[], Weights),
    entry("optimizer.clip_grad", &["0.01"], &[], Weights),
    entry("ema.start", &["0.5"], &[], Column("ema")),
    entry("ema.end", &["0.999"], &[], Column("ema")),
    entry("run.batch_size", &["6"], &[], Column("images")),
    entry("run.micro_batch", &["6"], FOUR_GROUPS_IN_TURN, Rounding),
    entry("run.precision", &["bf16"], &[], Weights),
    entry("run.kernels", &["reference"], &[], Rounding),
    entry("run.activation_checkpointing", &["true"], &[], Computed),
    entry("run.seed", &["1"], &[], Column("loss")),
    entry("run.log_every_steps", &["2"], &[], Column("step")),
    entry("run.checkpoint_every_steps", &["3"], &[], Checkpoints),
    entry(
        "run.checkpoint_every_minutes",
        &["1e-9"],
        &["run.keep_last=9"],
        Checkpoints,
    ),
    entry("run.reduce", &["fast"], FOUR_GROUPS, Rounding),
    entry("run.reduce", &["exact"], FOUR_GROUPS_IN_TURN, Rounding),
    entry("run.shard_optimizer", &["true"], &[], Sharing),
    entry("run.keep_last", &["1"], &[], Checkpoints),
    entry("run.eval_every_epochs", &["2"], &[], Epochs),
    entry("run.on_collapse", &["stop"], COLLAPSING, Error("collapsed")),
    entry("run.on_nan", &["skip"], EXPLODING, Cured("diverged")),
];
