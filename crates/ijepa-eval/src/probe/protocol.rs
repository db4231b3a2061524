//! Published probes by name.

use ijepa_data::{ClassifierAugment, DataSpec, Filter, Preprocess};

use super::{HeadNorm, LrSchedule, Pools, ProbeConfig, ProbeOptimizer};

/// A probe with everything that its authors fixed.
///
/// The numbers are those of VISSL's configurations for I-JEPA (its commit 04788de9); see
/// `docs/evaluation.md` for where the paper says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Seconds instead of hours: small batches of features that are extracted once.
    Quick,
    /// Table 1: ImageNet with LARS.
    VisslIn1k,
    /// Table 3: CIFAR-100; also what is used on data of no table.
    VisslCifar100,
    /// Table 3: Places205.
    VisslPlaces205,
    /// Table 3: iNaturalist 2018.
    VisslInat18,
    /// Table 4: the number of objects of CLEVR.
    ClevrCount,
    /// Table 4: the distance of the nearest object of CLEVR.
    ClevrDistance,
    /// Attentive heads in the manner of V-JEPA (Bardes et al. 2024).
    Attentive,
}

impl Protocol {
    /// The transfer probe for `data`.
    ///
    /// ```
    /// use ijepa_eval::Protocol;
    ///
    /// let data = "places205:p".parse()?;
    /// assert_eq!(Protocol::transfer(&data), Protocol::VisslPlaces205);
    /// # Ok::<(), ijepa_eval::Error>(())
    /// ```
    pub fn transfer(data: &DataSpec) -> Self {
        match data {
            DataSpec::Places205(_) => Self::VisslPlaces205,
            DataSpec::Inat18(_) => Self::VisslInat18,
            DataSpec::ClevrCount(_) | DataSpec::ClevrDistance(_) => Self::clevr(data),
            _ => Self::VisslCifar100,
        }
    }

    /// The probe on CLEVR for `data`; that of the count unless it is labelled by distance.
    pub fn clevr(data: &DataSpec) -> Self {
        match data {
            DataSpec::ClevrDistance(_) => Self::ClevrDistance,
            _ => Self::ClevrCount,
        }
    }

    /// The heads and their training, with seed 0; attentive ones for an encoder of 14 x 14 patches
    /// with 16 attention heads, see [`Pools::attentive`] for that of another.
    pub fn config(self) -> ProbeConfig {
        let (epochs, schedule) = match self {
            Self::Quick | Self::Attentive => (20, LrSchedule::Cosine(0.0)),
            Self::VisslIn1k => (50, LrSchedule::Steps(vec![0.3, 0.6, 0.9])),
            Self::VisslCifar100 => {
                let milestones = [8.0, 16.0, 24.0].map(|epoch| epoch / 28.0);
                (28, LrSchedule::Steps(milestones.into()))
            }
            Self::VisslPlaces205 => {
                let milestones = [4.0, 8.0, 12.0].map(|epoch| epoch / 14.0);
                (14, LrSchedule::Steps(milestones.into()))
            }
            Self::VisslInat18 => {
                let milestones = [24.0, 48.0, 72.0].map(|epoch| epoch / 84.0);
                (84, LrSchedule::Steps(milestones.into()))
            }
            Self::ClevrCount => (50, LrSchedule::Cosine(0.01)),
            Self::ClevrDistance => (100, LrSchedule::Cosine(0.01)),
        };
        let transfer = ProbeConfig {
            pools: Pools::Both,
            norms: vec![HeadNorm::None, HeadNorm::Vissl],
            lrs: vec![0.01],
            weight_decays: vec![5e-4],
            optimizer: ProbeOptimizer::Nesterov,
            batch_size: 256,
            epochs,
            schedule,
            seed: 0,
        };
        match self {
            Self::Quick => ProbeConfig {
                pools: Pools::Mean,
                norms: vec![HeadNorm::Mae],
                lrs: vec![0.003, 0.01, 0.03, 0.1],
                weight_decays: vec![0.0],
                ..transfer
            },
            Self::VisslIn1k => ProbeConfig {
                lrs: vec![0.1, 0.05, 0.01, 0.001],
                weight_decays: vec![5e-4, 0.0],
                optimizer: ProbeOptimizer::Lars,
                batch_size: 16384,
                ..transfer
            },
            Self::Attentive => ProbeConfig {
                pools: Pools::Attentive {
                    tokens: 14 * 14,
                    num_heads: 16,
                },
                norms: vec![HeadNorm::None],
                lrs: vec![3e-4, 1e-3, 3e-3],
                weight_decays: vec![1e-3],
                optimizer: ProbeOptimizer::AdamW,
                ..transfer
            },
            _ => transfer,
        }
    }

    /// What is done to training images of `[height, width]` in every epoch, if anything.
    pub fn augment(self, size: [usize; 2]) -> Option<ClassifierAugment> {
        let crop = ClassifierAugment::random_crop(size);
        match self {
            Self::Quick => None,
            Self::VisslPlaces205 => {
                Some(crop.with_crop(ClassifierAugment::CROP_SCALE, Filter::Bilinear))
            }
            Self::ClevrCount | Self::ClevrDistance => Some(ClassifierAugment::squash(size)),
            _ => Some(crop),
        }
    }

    /// How test images get their size, if the protocol says so.
    pub fn preprocess(self) -> Option<Preprocess> {
        match self {
            Self::ClevrCount | Self::ClevrDistance => Some(Preprocess::Squash),
            _ => None,
        }
    }
}
