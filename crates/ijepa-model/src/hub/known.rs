//! Published I-JEPA weights.

use serde::Serialize;

/// A network that weights hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The context encoder.
    Context,
    /// The target encoder.
    Target,
    /// The predictor.
    Predictor,
}

impl Part {
    /// What it is called in text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Target => "target",
            Self::Predictor => "predictor",
        }
    }
}

/// Where weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// On the hub; this is the [`HubName`](super::HubName).
    Hub(&'static str),
    /// A file of another server.
    Url(&'static str),
}

/// Weights that somebody has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KnownWeights {
    /// What they are called here: the recipe that they come from, or their name on the hub.
    pub name: &'static str,
    /// Where they are.
    pub address: Address,
    /// Name of their [`VitVariant`](crate::VitVariant).
    pub arch: &'static str,
    /// Side of the images in pixels.
    pub image_size: usize,
    /// The images that they were trained on.
    pub data: &'static str,
    /// Networks that they hold.
    pub holds: &'static [Part],
    /// Identifier of their licence, if their authors name one.
    pub licence: Option<&'static str>,
    /// Model of `timm` whose pretrained weights these are.
    pub timm: Option<&'static str>,
}

const ALL: &[Part] = &[Part::Context, Part::Target, Part::Predictor];
const CC_BY_NC: &str = "cc-by-nc-4.0";

/// Weights of the paper's authors, listed in the README of the reference; `timm` takes the context
/// encoder of the same files (its `vision_transformer.py`).
const fn official(
    name: &'static str,
    url: &'static str,
    [arch, data, timm]: [&'static str; 3],
    image_size: usize,
) -> KnownWeights {
    KnownWeights {
        name,
        address: Address::Url(url),
        arch,
        image_size,
        data,
        holds: ALL,
        licence: Some(CC_BY_NC),
        timm: Some(timm),
    }
}

/// The context encoders of the same weights for `transformers` (its `convert_ijepa_to_hf.py`).
const fn transformers(
    name: &'static str,
    [arch, data]: [&'static str; 2],
    image_size: usize,
) -> KnownWeights {
    KnownWeights {
        name,
        address: Address::Hub(name),
        arch,
        image_size,
        data,
        holds: &[Part::Context],
        licence: Some(CC_BY_NC),
        timm: None,
    }
}

/// Stochastic positional embeddings (Bar et al. 2024), listed in the README of its repository, which
/// names no licence.
const fn stop(name: &'static str, arch: &'static str) -> KnownWeights {
    KnownWeights {
        name,
        address: Address::Hub(name),
        arch,
        image_size: 224,
        data: "ImageNet-1k",
        holds: ALL,
        licence: None,
        timm: None,
    }
}

impl KnownWeights {
    /// All of them.
    pub const ALL: [Self; 11] = [
        official(
            "in1k_vith14_ep300",
            "https://dl.fbaipublicfiles.com/ijepa/IN1K-vit.h.14-300e.pth.tar",
            [
                "vit_h14",
                "ImageNet-1k",
                "vit_huge_patch14_gap_224.in1k_ijepa",
            ],
            224,
        ),
        official(
            "in1k_vith16_448_ep300",
            "https://dl.fbaipublicfiles.com/ijepa/IN1K-vit.h.16-448px-300e.pth.tar",
            [
                "vit_h16",
                "ImageNet-1k",
                "vit_huge_patch16_gap_448.in1k_ijepa",
            ],
            448,
        ),
        official(
            "in22k_vith14_ep66",
            "https://dl.fbaipublicfiles.com/ijepa/IN22K-vit.h.14-900e.pth.tar",
            [
                "vit_h14",
                "ImageNet-22k",
                "vit_huge_patch14_gap_224.in22k_ijepa",
            ],
            224,
        ),
        official(
            "in22k_vitg16_ep44",
            "https://dl.fbaipublicfiles.com/ijepa/IN22K-vit.g.16-600e.pth.tar",
            [
                "vit_g16",
                "ImageNet-22k",
                "vit_giant_patch16_gap_224.in22k_ijepa",
            ],
            224,
        ),
        transformers(
            "hf:facebook/ijepa_vith14_1k",
            ["vit_h14", "ImageNet-1k"],
            224,
        ),
        transformers(
            "hf:facebook/ijepa_vith16_1k",
            ["vit_h16", "ImageNet-1k"],
            448,
        ),
        transformers(
            "hf:facebook/ijepa_vith14_22k",
            ["vit_h14", "ImageNet-22k"],
            224,
        ),
        transformers(
            "hf:facebook/ijepa_vitg16_22k",
            ["vit_g16", "ImageNet-22k"],
            224,
        ),
        stop("hf:amirbar1/StoP/vit-b16.pth.tar", "vit_b16"),
        stop("hf:amirbar1/StoP/vit-l16.pth.tar", "vit_l16"),
        stop("hf:amirbar1/StoP/vit-h16.pth.tar", "vit_h16"),
    ];

    /// Those called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{VitVariant, hub::HubName};

    #[test]
    fn names_are_unique_and_addresses_and_sizes_are_valid() {
        let names: BTreeSet<&str> = KnownWeights::ALL.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), KnownWeights::ALL.len());
        for known in KnownWeights::ALL {
            let variant = VitVariant::by_name(known.arch).unwrap();
            assert_eq!(known.image_size % variant.patch_size, 0, "{}", known.name);
            match known.address {
                Address::Hub(name) => {
                    assert_eq!(name.parse::<HubName>().unwrap().to_string(), name);
                }
                Address::Url(url) => assert!(url.starts_with("https://"), "{url}"),
            }
            assert_eq!(KnownWeights::by_name(known.name), Some(known));
        }
    }
}
