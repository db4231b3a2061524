//! LeJEPA's gradients: views of images instead of masks.

use burn::tensor::Tensor;
use ijepa_model::{GroupSeed, IJepa, Views, ViewsOutput, regularize::Sketch};

use super::{GroupOutput, Learner};
use crate::{gradients::SumOfGradients, run::Gradients};

/// Views of the images of one group, for LeJEPA.
#[derive(Debug)]
pub struct ViewBatch {
    /// The views.
    pub views: Views,
    /// Seed of the directions along which they are compared with a Gaussian.
    pub seed: GroupSeed,
}

impl Learner {
    /// As [`gradients`](Self::gradients), of LeJEPA's loss with the weight of the objective's
    /// SIGReg; what is returned in place of targets are projections of all views, and the features
    /// are those of the large ones (see [`ViewsOutput`]).
    ///
    /// # Panics
    ///
    /// As [`gradients`](Self::gradients), and if there is no large view.
    pub fn view_gradients(
        &mut self,
        groups: impl IntoIterator<Item = ViewBatch>,
        groups_per_pass: usize,
        sum: SumOfGradients,
    ) -> Gradients<[Tensor<3>; 2]> {
        let (model, weight) = (&self.model, self.objective.sigreg);
        let output = |group| output_of_views(model, weight, group);
        self.added_up(groups, groups_per_pass, sum, output)
    }
}

fn output_of_views(model: &IJepa, weight: f64, group: ViewBatch) -> GroupOutput {
    let ViewBatch { views, seed } = group;
    let GroupSeed { seed, step, group } = seed;
    let outputs = model.predictor.config().outputs(model.encoder.config());
    let sketch = Sketch::for_group(seed, step, group);
    let directions = sketch.directions(outputs, &views.global.device());
    let ViewsOutput {
        loss,
        distance,
        projected,
        features,
    } = model.forward_views(views, weight, directions);
    GroupOutput {
        loss,
        distance,
        target_mean: None,
        seen: [projected, features],
    }
}
