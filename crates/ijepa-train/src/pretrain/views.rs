//! The step of LeJEPA, which learns from views instead of masks.

use burn::tensor::Tensor;
use ijepa_data::{Batch, MultiCrop};
use ijepa_masking::{MaskGroup, PatchIndices};
use ijepa_model::{GroupSeed, Views};

use super::{Pretraining, Seen};
use crate::{gradients::SumOfGradients, run::Gradients, step::ViewBatch};

impl Pretraining<'_> {
    /// Adds the gradients of the views of a batch to `sum`.
    pub(super) fn view_gradients(
        &mut self,
        views: &MultiCrop,
        batch: &Batch,
        sum: SumOfGradients,
    ) -> Gradients<Seen> {
        let per_pass = self.plan.recipe.groups_per_pass();
        let groups = self.view_groups(views, batch);
        let Gradients { sum, losses, seen } = self.learner.view_gradients(groups, per_pass, sum);
        let patches = |[height, width]: [usize; 2]| {
            let side = self.plan.model.encoder.patch_size;
            (height / side * (width / side)) as f64
        };
        let seen = Seen {
            last: seen,
            patches: [views.global.size, views.local.size].map(patches),
            masks: self.one_token(views.globals + views.locals),
        };
        Gradients { sum, losses, seen }
    }

    /// The views of every group, moved to the device together.
    fn view_groups(&self, views: &MultiCrop, batch: &Batch) -> Vec<ViewBatch> {
        let recipe = &self.plan.recipe;
        let (images, seed) = (recipe.mask_group_size(), recipe.run.seed);
        let bytes = batch.images.len() / batch.indices.len();
        let groups = batch.images.chunks_exact(images * bytes);
        let groups = groups.zip(self.numbers(batch));
        let group = |(bytes_of_group, group): (&[u8], u64)| {
            let of_image: Vec<&[u8]> = bytes_of_group.chunks_exact(bytes).collect();
            let [large, small] = [&views.global, &views.local].map(|it| area(it.size));
            let tensor = |count: usize, first: usize, size: [usize; 2]| -> Tensor<4> {
                let view = |number: usize| {
                    let start = first + number * area(size);
                    of_image
                        .iter()
                        .flat_map(move |image| &image[start..][..area(size)])
                };
                let bytes: Vec<u8> = (0..count).flat_map(view).copied().collect();
                let [height, width] = size;
                let shape = [count * images, height, width];
                recipe
                    .data
                    .normalization()
                    .loaded_images(&bytes, shape, &self.device)
            };
            debug_assert_eq!(bytes, views.globals * large + views.locals * small);
            let local = || tensor(views.locals, views.globals * large, views.local.size);
            let views = Views {
                global: tensor(views.globals, 0, views.global.size),
                local: (views.locals > 0).then(local),
                batch: images,
            };
            let step = batch.step;
            let seed = GroupSeed { seed, step, group };
            ViewBatch { views, seed }
        };
        groups.map(group).collect()
    }

    /// Masks under which the monitors see one token of every view: its projection.
    fn one_token(&self, views: usize) -> MaskGroup {
        let images = self.plan.recipe.mask_group_size();
        let first = PatchIndices::new(1, vec![0; images]);
        MaskGroup {
            grid: self.plan.sampler.grid(),
            contexts: vec![first.clone()],
            targets: vec![first; views],
            relaxations: 0,
        }
    }
}

/// Bytes of a view.
fn area([height, width]: [usize; 2]) -> usize {
    3 * height * width
}
