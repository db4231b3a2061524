//! A step of the loop, alone or together with other ranks.

use std::time::Instant;

use burn::tensor::Tensor;
use ijepa_model::kernels::on_workers;

use super::{Run, device};
use crate::{
    error::TrainError,
    gradients::SumOfGradients,
    ranks::told,
    recipe::OnNan,
    run::{
        agreement::{Half, Outcome},
        task::{Gradients, Task},
    },
};

/// Steps in a row that may be left out: weights whose every gradient is not finite learn nothing.
const MOST_LEFT_OUT: u32 = 10;

/// A step whose gradients are there and not yet added up over ranks.
struct Halfway<T: Task> {
    /// Those of the passes of this rank.
    own: Gradients<T::Seen>,
    /// The losses of all groups of the step, `[groups]`.
    losses: Tensor<1>,
    /// Whether unreadable images could be written down, if that was not looked at yet.
    listed: Result<(), TrainError>,
}

impl<T: Task> Run<'_, '_, '_, T> {
    /// Trains on the next batch and logs what the settings say; on its own nothing waits for the
    /// device but for that.
    pub(super) fn train_step(&mut self) -> Result<(), TrainError> {
        self.clock.start();
        let known = self.loader.skipped().len();
        let own = self.own_gradients();
        let halfway = match self.ranks.size() {
            1 => self.alone(own, known)?,
            _ => self.together(own, known)?,
        };
        let Some(Halfway {
            own: Gradients { sum, seen, .. },
            losses,
            listed,
        }) = halfway
        else {
            return Ok(());
        };
        let [groups] = losses.dims();
        let talking = Instant::now();
        let (ranks, passes) = (self.ranks.as_ref(), self.rhythm.passes());
        let sum = sum.over_ranks(self.task.network(), ranks, passes);
        self.clock.talked(talking.elapsed());
        // A rank that fails before it has added up would leave the others waiting.
        self.or_save_files(listed)?;
        let (sum, not_finite) = self.checked(sum);
        if let Some(tensor) = not_finite {
            return self.leave_out(tensor);
        }
        let grad_norm = self.task.apply(self.step, sum, groups);
        self.left_out = 0;
        self.pass();
        if !self.leads() {
            return Ok(());
        }
        self.losses.push(losses.mean());
        self.seen = Some((seen, grad_norm));
        if (self.step - 1).is_multiple_of(self.rhythm.keeping.log_every_steps as u64) {
            let logged = self.log();
            self.or_save_files(logged)?;
        }
        Ok(())
    }

    /// Counts a step.
    fn pass(&mut self) {
        self.clock.stepped(self.rhythm.batch_size);
        self.images += self.rhythm.batch_size;
        self.step += 1;
    }

    /// The gradients, and what of them is not finite, where they are looked at.
    fn checked(&self, sum: SumOfGradients) -> (SumOfGradients, Option<String>) {
        if !self.watches {
            return (sum, None);
        }
        let network = self.task.network();
        on_workers(&device(&self.task), move || {
            let found = sum.first_not_finite(network);
            (sum, found)
        })
    }

    /// A step with gradients that are not finite, the same on all ranks: leaves everything as it
    /// is and goes on or ends the run, as the settings say.
    fn leave_out(&mut self, tensor: String) -> Result<(), TrainError> {
        self.left_out += 1;
        if self.rhythm.on_nan == OnNan::Stop || self.left_out > MOST_LEFT_OUT {
            let written = self.writer.finish();
            // Whoever ends the others lets rank 0 write first.
            self.ranks.meet();
            let step = self.step;
            return written.and(Err(TrainError::Diverged { step, tensor }));
        }
        let warned = self.warn(&format!(
            "step {} is left out: {tensor} is not finite",
            self.step
        ));
        self.or_save_files(warned)?;
        self.pass();
        Ok(())
    }

    /// The gradients of the passes of this rank; none if it was told to stop while it waited.
    fn own_gradients(&mut self) -> Result<Option<Gradients<T::Seen>>, TrainError> {
        let waiting = Instant::now();
        let batch = self.loader.next_batch_unless(self.span.stop());
        self.clock.waited(waiting.elapsed());
        let Some(batch) = batch? else {
            return Ok(None);
        };
        (self.seen, self.unlogged) = (None, None);
        let sum = SumOfGradients::new(self.rhythm.summation, self.passes.start);
        let gradients = self.task.gradients(&batch, sum);
        self.loader.recycle(batch);
        gradients.map(Some)
    }

    fn alone(
        &mut self,
        own: Result<Option<Gradients<T::Seen>>, TrainError>,
        known: usize,
    ) -> Result<Option<Halfway<T>>, TrainError> {
        let listed = self.list_skipped(known);
        self.or_save_files(listed)?;
        let own = self.or_save(own)?;
        Ok(own.map(|mut own| Halfway {
            losses: Tensor::cat(std::mem::take(&mut own.losses), 0),
            own,
            listed: Ok(()),
        }))
    }

    /// As all ranks are: without gradients if any was told to stop, failed if any has. Unreadable
    /// images are counted over all of them.
    fn together(
        &mut self,
        own: Result<Option<Gradients<T::Seen>>, TrainError>,
        known: usize,
    ) -> Result<Option<Halfway<T>>, TrainError> {
        let (outcome, losses) = match &own {
            Ok(Some(gradients)) => {
                let losses = Tensor::cat(gradients.losses.clone(), 0).into_data();
                (Outcome::Done, losses.iter::<f32>().collect())
            }
            Ok(None) => (Outcome::Stopped, Vec::new()),
            Err(_) => (Outcome::Failed, Vec::new()),
        };
        let skipped = self.loader.skipped()[known..].to_vec();
        let talking = Instant::now();
        let halves = told(self.ranks.as_ref(), &Half::new(outcome, &losses, skipped));
        self.clock.talked(talking.elapsed());
        let skipped = halves.iter().flat_map(|half| half.skipped.clone());
        let counted = self.loader.add_skipped(skipped.collect());
        let listed = self.list_skipped(known);
        let failed = halves
            .iter()
            .position(|half| half.outcome == Outcome::Failed);
        let failed = failed.map(|rank| Err(TrainError::OtherRank { rank }));
        let all = own.and_then(|own| failed.unwrap_or(Ok(own)));
        let all = all.and_then(|own| counted.map(|()| own).map_err(TrainError::from));
        if all.is_err() {
            let saved = self.or_save(all).map(|_| None);
            // Whoever ends the others lets rank 0 save first.
            self.ranks.meet();
            return saved;
        }
        let all = all?.filter(|_| halves.iter().all(|half| half.outcome == Outcome::Done));
        let Some(own) = all else {
            self.or_save_files(listed)?;
            return Ok(None);
        };
        let losses: Vec<f32> = halves.iter().flat_map(Half::losses).collect();
        let losses = Tensor::from_floats(losses.as_slice(), &own.losses[0].device());
        Ok(Some(Halfway {
            own,
            losses,
            listed,
        }))
    }

    /// Writes down the images that were found unreadable after the first `known`.
    fn list_skipped(&mut self, known: usize) -> Result<(), TrainError> {
        match &mut self.tables {
            Some(tables) => Ok(tables.skipped(&self.loader.skipped()[known..])?),
            None => Ok(()),
        }
    }
}
