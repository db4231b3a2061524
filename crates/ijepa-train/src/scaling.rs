//! How long a run takes on how many devices, and what it needs there: by formula.
//!
//! What is assumed: devices share the backward passes of a batch, and the one with most of them
//! sets the pace; gradients in f32 are summed by a ring, which moves `2 (n - 1) / n` of them over
//! each link; a device computes at a constant rate, whatever its share; loading never waits.
//!
//! ```
//! use ijepa_train::{Recipe, scaling::{Machine, Workload}};
//!
//! let recipe = Recipe::preset("in1k_vith14_ep300")?;
//! let workload = Workload::of(&recipe, 1_281_167)?;
//! let machine = Machine {
//!     flops: 125e12, // 40 % of what an A100 does in bf16
//!     bandwidth: 100e9,
//!     latency: 10e-6,
//!     overlap: 0.0,
//! };
//! let run = workload.on(16, machine);
//! assert!(run.hours < 72.0); // the paper's ViT-H/14 on 16 A100 (§1)
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod memory;

use ijepa_masking::{MaskReport, MaskRng};
use serde::Serialize;

pub use memory::MemoryEstimate;

use crate::{
    flops::{self, StepTokens},
    recipe::Recipe,
    resolve::ResolveError,
};

/// Mask groups over which the operations of a step are averaged.
const GROUPS: usize = 64;
/// Bytes of a gradient.
const GRADIENT: f64 = 4.0;

/// What a run has to do, whatever it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Workload {
    /// Operations a training image, mean over the masks that are drawn.
    pub flop_per_image: f64,
    /// Trainable values, whose gradients are summed over devices.
    pub parameters: usize,
    /// Images of an optimizer step.
    pub batch_size: usize,
    /// Images of a mask group.
    pub group_size: usize,
    /// Images of a backward pass, of which a device has whole ones.
    pub pass_size: usize,
    /// Optimizer steps of the run.
    pub steps: u64,
}

/// What a device and its links do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machine {
    /// Operations a second that a device sustains in training steps.
    pub flops: f64,
    /// Bytes a second over the slowest link of the ring.
    pub bandwidth: f64,
    /// Seconds before a message arrives.
    pub latency: f64,
    /// Share of the communication that is hidden behind the backward pass, in `[0, 1]`.
    pub overlap: f64,
}

/// A run on some devices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scaled {
    /// Devices.
    pub devices: usize,
    /// Seconds that a step computes.
    pub compute_s: f64,
    /// Seconds that a step waits for gradients of others.
    pub communication_s: f64,
    /// Images a second of all devices.
    pub images_per_s: f64,
    /// Images a second over those of as many devices that never wait.
    pub efficiency: f64,
    /// Hours of the run.
    pub hours: f64,
}

impl Workload {
    /// The work of `recipe` on `images` training images.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] if the recipe makes no network or no masks, or its batch is larger than the
    /// data.
    pub fn of(recipe: &Recipe, images: usize) -> Result<Self, ResolveError> {
        let config = recipe.model_config()?;
        let sampler = recipe.mask_sampler()?;
        let (group_size, seed) = (recipe.mask_group_size(), recipe.run.seed);
        let masks = MaskReport::draw(sampler.as_ref(), group_size, GROUPS, seed);
        let image = sampler.sample(1, &mut MaskRng::for_group(seed, 0, 0));
        let tokens = StepTokens {
            contexts: image.contexts.len(),
            context: masks.context_size.mean.round() as usize,
            targets: image.targets.len(),
            target: masks.target_size.mean.round() as usize,
        };
        let steps_per_epoch = recipe.steps_per_epoch(images)?;
        let steps = steps_per_epoch.saturating_mul(recipe.optimizer.epochs);
        Ok(Self {
            flop_per_image: flops::recipe_step(recipe, tokens)?,
            parameters: memory::trainable(&config),
            batch_size: recipe.run.batch_size,
            group_size,
            pass_size: recipe.images_per_pass(),
            steps: steps as u64,
        })
    }

    /// The most devices that have a backward pass each.
    pub fn most_devices(&self) -> usize {
        self.batch_size.div_ceil(self.pass_size)
    }

    /// The run on `devices` devices, at most one a backward pass.
    ///
    /// # Panics
    ///
    /// Panics if there is no device.
    pub fn on(&self, devices: usize, machine: Machine) -> Scaled {
        assert!(devices > 0, "a run needs a device");
        let passes = self.most_devices().div_ceil(devices);
        let seconds_per_image = self.flop_per_image / machine.flops;
        let images = self.batch_size.min(passes * self.pass_size);
        let compute_s = images as f64 * seconds_per_image;
        let communication_s = self.all_reduce_s(devices, machine) * (1.0 - machine.overlap);
        let step_s = compute_s + communication_s;
        let images_per_s = self.batch_size as f64 / step_s;
        Scaled {
            devices,
            compute_s,
            communication_s,
            images_per_s,
            efficiency: images_per_s * seconds_per_image / devices as f64,
            hours: self.steps as f64 * step_s / 3600.0,
        }
    }

    /// Seconds of a ring all-reduce of all gradients: every value goes around twice, less one link.
    fn all_reduce_s(&self, devices: usize, machine: Machine) -> f64 {
        let hops = 2.0 * (devices as f64 - 1.0);
        let bytes = GRADIENT * self.parameters as f64;
        hops * (bytes / devices as f64 / machine.bandwidth + machine.latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Workload = Workload {
        flop_per_image: 1e12,
        parameters: 250_000_000,
        batch_size: 1024,
        group_size: 128,
        pass_size: 128,
        steps: 3600,
    };
    const MACHINE: Machine = Machine {
        flops: 1e14,
        bandwidth: 1e11,
        latency: 1e-5,
        overlap: 0.0,
    };

    #[test]
    fn one_device_computes_and_never_waits() {
        let alone = WORK.on(1, MACHINE);
        assert_eq!(alone.communication_s, 0.0);
        assert!((alone.compute_s - 10.24).abs() < 1e-9);
        assert!((alone.hours - 10.24).abs() < 1e-9);
        assert!((alone.efficiency - 1.0).abs() < 1e-12);
    }

    #[test]
    fn devices_share_passes_and_not_groups() {
        let wide = Workload {
            pass_size: 512,
            ..WORK
        };
        assert_eq!((WORK.most_devices(), wide.most_devices()), (8, 2));
        let seconds = |work: Workload, devices| work.on(devices, MACHINE).compute_s;
        assert!((seconds(wide, 8) - seconds(WORK, 2)).abs() < 1e-9);
        // The last pass may be of fewer images.
        let odd = Workload {
            pass_size: 768,
            ..WORK
        };
        assert!((seconds(odd, 2) - 7.68).abs() < 1e-9);
    }

    #[test]
    fn a_ring_moves_the_gradients_almost_twice() {
        let four = WORK.on(4, MACHINE);
        // 1 GB of gradients: 2 * 3 / 4 of it at 100 GB/s, and six messages.
        assert!((four.communication_s - (0.015 + 6e-5)).abs() < 1e-9);
        let hidden = Machine {
            overlap: 0.75,
            ..MACHINE
        };
        let ratio = WORK.on(4, hidden).communication_s / four.communication_s;
        assert!((ratio - 0.25).abs() < 1e-9);
        assert!((four.images_per_s - 1024.0 / (2.56 + four.communication_s)).abs() < 1e-6);
    }

    #[test]
    fn whole_groups_belong_to_devices() {
        // Eight groups: of three devices two have three groups, of sixteen half have none.
        assert!((WORK.on(3, MACHINE).compute_s - 3.84).abs() < 1e-9);
        let [eight, sixteen] = [8, 16].map(|devices| WORK.on(devices, MACHINE));
        assert_eq!(eight.compute_s, sixteen.compute_s);
        assert!(sixteen.efficiency < 0.51 && eight.efficiency > 0.95);
        assert_eq!(WORK.most_devices(), 8);
    }

    #[test]
    fn the_published_run_has_its_steps() {
        let recipe = Recipe::preset("in1k_vith14_ep300").unwrap();
        let work = Workload::of(&recipe, 1_281_167).unwrap();
        assert_eq!((work.steps, work.most_devices()), (300 * 625, 16));
    }
}
