//! Comparison with PyTorch, see `tests/golden/dense.py` and `depth.py`.

use burn::{module::Param, nn::Linear, tensor::Tensor};
use ijepa_model::checkpoint::named_gradients;
use ijepa_testkit::{Golden, assert_close, device, tolerance, values};

use super::{Upsample, task::Task};

pub(super) fn golden(name: &str) -> Golden {
    Golden::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"), name)
}

/// Interpolated outputs, loss and gradients of a linear layer with `task`. `[those, outputs]` are
/// the names of the golden labels and outputs; `numbers` reads the former, and `labels` makes those
/// of `[height, width]` of them.
pub(super) fn check<T: Task, N>(
    golden: &Golden,
    task: &T,
    [those, outputs]: [&str; 2],
    numbers: impl Fn(&str) -> Vec<N>,
    labels: impl Fn([usize; 2], &[N]) -> T::Labels,
) {
    let device = device().autodiff();
    let parameter = |tensor: Tensor<2>| Param::from_tensor(tensor.require_grad());
    let grid = [0, 1].map(|axis| {
        let side = golden.json["grid"][axis].as_u64();
        side.unwrap() as usize
    });
    for case in ["larger", "smaller"] {
        let name = |what: &str| format!("{case}.{what}");
        let [height, width] = golden.shape(&name(those))[1..] else {
            panic!("labels are maps")
        };
        let size = [height, width];
        let bias = golden.tensor::<1>("bias", &device).require_grad();
        let head = Linear {
            weight: parameter(golden.tensor("weight", &device)),
            bias: Some(Param::from_tensor(bias)),
        };
        let numbers = numbers(&name(those));
        let maps = numbers.chunks_exact(height * width);
        let maps: Vec<T::Labels> = maps.map(|map| labels(size, map)).collect();
        let targets = task.targets(&maps.iter().collect::<Vec<_>>(), &device);

        let tokens = golden.tensor::<3>("tokens", &device);
        let upsample = Upsample::new(grid, size, &device);
        let found = upsample.forward(head.forward(tokens));
        let close = |what: &str, found: &[f32]| {
            assert_close(what, found, &golden.f32s(&name(what)), tolerance(1e-5));
        };
        close(outputs, &values(found.clone()));
        let loss = task.loss(found, &targets);
        close("loss", &values(loss.clone()));
        let gradients = named_gradients(&head, &loss.backward());
        assert_eq!(gradients.len(), 2);
        for gradient in gradients {
            close(&gradient.name, &gradient.read().unwrap());
        }
    }
}
