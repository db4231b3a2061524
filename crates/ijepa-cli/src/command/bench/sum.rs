//! `ijepa bench sum`: how fast processes add up gradients.

use std::{sync::Arc, time::Instant};

use burn::tensor::Tensor;
use clap::Args;
use ijepa_train::ranks::{BUCKET, Ranks, Single, on_device};
use serde_json::json;

use super::rates::Rates;
use crate::{
    args::positive,
    context::Context,
    error::CliError,
    report::{self, Report},
};

/// Add up numbers over all processes, as the gradients of a step are with `run.reduce = "fast"`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ijepa bench sum --device cuda --values 700000000\n  \
                  mpirun -n 8 ijepa bench sum --device cuda --json"
)]
pub(crate) struct Sum {
    /// Numbers to add up, four bytes each; a step has as many as values that are trained
    #[arg(long, value_name = "N", default_value_t = 25_000_000, value_parser = positive)]
    values: usize,
    /// Number of sums, after one that does not count
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    rounds: usize,
    /// Go by way of host memory even where NCCL is
    #[arg(long)]
    host: bool,
}

impl Sum {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let compute = context.compute()?;
        let ranks = match context.ranks().size() {
            1 => on_device(Single::shared()),
            _ => Arc::clone(context.ranks()),
        };
        let on_device = compute.spec.backend.is_gpu() && !self.host;
        let warning = on_device.then(|| ranks.prepare(&compute.device)).flatten();
        if let Some(warning) = warning.as_ref().filter(|_| context.leads()) {
            report::line(&format!("warning: {warning}"));
        }
        let by = match cfg!(feature = "nccl") && on_device && warning.is_none() {
            true => "NCCL",
            false => "host memory",
        };
        let bucket = Tensor::ones([BUCKET.min(self.values)], &compute.device);
        let timed = |_| self.seconds(ranks.as_ref(), &bucket);
        timed(0);
        let seconds: Vec<f64> = (0..self.rounds).map(timed).collect();
        let (size, bytes) = (ranks.size(), 4.0 * self.values as f64);
        // What each sends around a ring.
        let sent = 2.0 * (size - 1) as f64 / size as f64 * bytes;
        let of = |figure: &dyn Fn(&f64) -> f64| Rates::of(seconds.iter().map(figure).collect());
        let ms = of(&|seconds| 1e3 * seconds);
        let gb_per_s = of(&|seconds| 1e-9 * sent / seconds);
        Ok(Report {
            text: format!(
                "sums      median {:.1} ms, {:.1} to {:.1}\n\
                 link      {:.2} GB/s\n\
                 {} values of {size} processes on {}, by way of {by}, {} rounds\n",
                ms.median, ms.min, ms.max, gb_per_s.median, self.values, compute.spec, self.rounds
            ),
            json: json!({
                "ms": ms.json(),
                "gb_per_s": gb_per_s.json(),
                "values": self.values,
                "processes": size,
                "by": by,
                "device": compute.spec.to_string(),
            }),
        })
    }

    /// How long all take together, from where all are ready.
    fn seconds(&self, ranks: &dyn Ranks, bucket: &Tensor<1>) -> f64 {
        let [most] = bucket.dims();
        let mut tensors = (0..self.values).step_by(most).map(|first| {
            let values = most.min(self.values - first);
            bucket.clone().narrow(0, 0, values)
        });
        // Reading a value waits for all of them.
        let wait = |tensor: Tensor<1>| std::hint::black_box(tensor.narrow(0, 0, 1).into_data());
        wait(bucket.clone());
        ranks.meet();
        let started = Instant::now();
        ranks.sum_tensors(&mut tensors).into_iter().for_each(|sum| {
            wait(sum);
        });
        started.elapsed().as_secs_f64()
    }
}
