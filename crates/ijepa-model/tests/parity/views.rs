//! LeJEPA's loss of large and small views.

use burn::tensor::Tensor;
use ijepa_model::{IJepa, Initialization, Views};
use ijepa_testkit::{assert_close, device, tolerance, values};

use crate::{
    pixels::config,
    support::{COMPUTE, TOLERANCE, check_gradients, golden, gradients, with_weights},
};

#[test]
fn projections_loss_and_gradients_match() {
    let (golden, networks) = (golden("lejepa"), golden("pixels"));
    let device = device().autodiff();
    let check = |name: &str, found: Vec<f32>| {
        assert_close(name, &found, &golden.f32s(name), tolerance(TOLERANCE));
    };
    for compute in COMPUTE {
        let model = config().init(Initialization::default(), &device);
        let model: IJepa = with_weights(model, &networks, "init.").with_compute(compute);
        let views = Views {
            global: golden.tensor("large", &device),
            local: Some(golden.tensor("small", &device)),
            batch: 2,
        };
        let directions: Tensor<2> = golden.tensor("directions", &device);
        let weight = golden.json["sigreg"].as_f64().unwrap();
        let output = model.forward_views(views, weight, directions);
        check("projected", values(output.projected));
        check("distance", values(output.distance));
        check("loss", values(output.loss.clone()));
        assert_eq!(output.features.dims(), [4, 16, 16]);
        let mut found = gradients(&model, &output.loss.backward());
        // The file has those of the first and the last layers, and of what attention ends with.
        let kept = ["patch_embed", "blocks.1", "proj"];
        found.retain(|name, _| kept.iter().any(|part| name.contains(part)));
        check_gradients(&golden, "grad.", &found);
    }
}
