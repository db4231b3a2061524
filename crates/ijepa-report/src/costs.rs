//! What the rows of a run have cost, and their places on the axes of charts.

use ijepa_masking::MaskRng;
use ijepa_train::{
    Recipe,
    flops::{self, StepTokens},
    run::PROCESSES,
};

use crate::run::RunRecord;

impl RunRecord {
    /// For every row of the metrics, hours of computing up to it, of all processes; rows without a
    /// speed count nothing.
    pub(crate) fn hours(&self) -> Vec<Option<f64>> {
        let speed = self.metrics.column("images_per_s");
        let processes = self.metrics.column(PROCESSES);
        self.accumulate(|row, images| match speed[row] {
            Some(speed) if speed > 0.0 => processes[row].unwrap_or(1.0) * images / speed / 3600.0,
            _ => 0.0,
        })
    }

    /// For every row of the metrics, operations up to it by [`flops::step`]; empty without a recipe.
    pub(crate) fn flop(&self) -> Vec<Option<f64>> {
        let of_one_image = |recipe: &Recipe| {
            recipe.model_config().ok()?;
            Some(
                recipe
                    .mask_sampler()
                    .ok()?
                    .sample(1, &mut MaskRng::for_group(0, 0, 0)),
            )
        };
        let recipe = self.recipe.as_ref();
        let Some((recipe, masks)) = recipe.and_then(|it| Some((it, of_one_image(it)?))) else {
            return Vec::new();
        };
        let context = self.metrics.column("context_patches");
        let target = self.metrics.column("target_patches");
        self.accumulate(|row, images| {
            let tokens = StepTokens {
                contexts: masks.contexts.len(),
                context: context[row].unwrap_or(0.0).round() as usize,
                targets: masks.targets.len(),
                target: target[row].unwrap_or(0.0).round() as usize,
            };
            images * flops::recipe_step(recipe, tokens).unwrap_or(0.0)
        })
    }

    /// Sums `cost(row, images since the row before)` over the rows.
    fn accumulate(&self, cost: impl Fn(usize, f64) -> f64) -> Vec<Option<f64>> {
        let (mut sum, mut before) = (0.0, 0.0);
        let images = self.metrics.column("images").into_iter().enumerate();
        images
            .map(|(row, images)| {
                let images = images?;
                sum += cost(row, (images - before).max(0.0));
                before = images;
                Some(sum)
            })
            .collect()
    }

    /// Images seen at each of `steps`, as the row of that step says; rows go up in steps.
    pub(crate) fn images_at(&self, steps: &[Option<f64>]) -> Vec<Option<f64>> {
        let rows = self.metrics.column("step");
        let images = self.metrics.column("images");
        let at = |step: &Option<f64>| {
            let step = Some((*step)?);
            let row = rows.partition_point(|&row| row < step);
            images.get(row).copied().filter(|_| rows[row] == step)?
        };
        steps.iter().map(at).collect()
    }

    /// Value of a column of `epochs.csv` before the first step, of random weights, if others can be
    /// compared with it.
    pub(crate) fn at_start(&self, column: &str) -> Option<f64> {
        let epochs = self.compared();
        let steps = epochs.column("step");
        let row = steps.iter().position(|step| *step == Some(0.0))?;
        epochs.column(column)[row]
    }

    /// For every evaluated epoch the value of `totals` (one per row of the metrics) at its step.
    pub(crate) fn at_epochs(&self, totals: &[Option<f64>]) -> Vec<Option<f64>> {
        let steps = self.metrics.column("step");
        let ends = self.epochs.column("step");
        let at = |end: Option<f64>| {
            let end = end?;
            if end == 0.0 {
                return Some(0.0);
            }
            let before = steps.iter().zip(totals);
            let before = before.take_while(|(step, _)| step.is_some_and(|step| step < end));
            before.filter_map(|(_, total)| *total).last()
        };
        ends.into_iter().map(at).collect()
    }
}
