//! The step of LeJEPA, which learns from views instead of masks.

use burn::tensor::Tensor;
use ijepa_data::{Batch, MultiCrop};
use ijepa_masking::{MaskGroup, PatchIndices};
use ijepa_model::{GroupSeed, Views};

use super::{Pretraining, SOME_GROUP, Seen};
use crate::{flops::patches, gradients::SumOfGradients, run::Gradients, step::ViewBatch};

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
        let side = self.plan.model.encoder.patch_size;
        let patches = |view| patches(view, side) as f64;
        let seen = Seen {
            last: seen,
            loss: losses.last().expect(SOME_GROUP).clone(),
            patches: [&views.global, &views.local].map(patches),
            masks: self.one_token(views.globals + views.locals),
        };
        Gradients { sum, losses, seen }
    }

    /// The views of every group, moved to the device as they are asked for.
    fn view_groups<'b>(
        &self,
        views: &MultiCrop,
        batch: &'b Batch,
    ) -> impl Iterator<Item = ViewBatch> + use<'b> {
        let recipe = &self.plan.recipe;
        let (images, seed, step) = (recipe.mask_group_size(), recipe.run.seed, batch.step);
        let (normalization, device) = (recipe.data.normalization(), self.device.clone());
        let bytes = batch.images.len() / batch.indices.len();
        let groups = batch.images.chunks_exact(images * bytes);
        // The size of a kind of view, how many an image has and where they begin.
        let large = (views.global.size, views.globals, 0);
        let small = (
            views.local.size,
            views.locals,
            views.globals * area(views.global.size),
        );
        groups.zip(self.numbers(batch)).map(move |(group, number)| {
            let tensor = |(size, count, first): ([usize; 2], usize, usize)| -> Tensor<4> {
                let mut pixels = Vec::with_capacity(count * images * area(size));
                for start in (0..count).map(|view| first + view * area(size)) {
                    for image in group.chunks_exact(bytes) {
                        pixels.extend_from_slice(&image[start..][..area(size)]);
                    }
                }
                let [height, width] = size;
                normalization.loaded_images(&pixels, [count * images, height, width], &device)
            };
            ViewBatch {
                views: Views {
                    global: tensor(large),
                    local: (small.1 > 0).then(|| tensor(small)),
                    batch: images,
                },
                seed: GroupSeed {
                    seed,
                    step,
                    group: number,
                },
            }
        })
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
