//! LeJEPA (Balestriero and LeCun 2025): views of an image agree, and all images together are an
//! isotropic Gaussian; no target encoder, no masks.

use burn::tensor::Tensor;

use crate::{
    encoder::VisionTransformer, ijepa::IJepa, pos_embed::PositionResampling, regularize::sigreg,
};

/// Views of the images of a batch, normalised.
#[derive(Debug, Clone)]
pub struct Views {
    /// Large ones, `[globals * batch, in_chans, height, width]` with all images of a view together.
    pub global: Tensor<4>,
    /// Small ones, `[locals * batch, in_chans, rows, columns]`, if there are any.
    pub local: Option<Tensor<4>>,
    /// Images.
    pub batch: usize,
}

/// The loss of a batch of views and what it was computed from.
#[derive(Debug)]
pub struct ViewsOutput {
    /// What is minimised, `[1]`.
    pub loss: Tensor<1>,
    /// The distance of the views from the centre of their image alone, `[1]`; without autodiff.
    pub distance: Tensor<1>,
    /// What the projector makes of every view, `[views * batch, 1, outputs]`; without autodiff.
    pub projected: Tensor<3>,
    /// Features of the large views, `[globals * batch, patches, embed_dim]`; without autodiff.
    pub features: Tensor<3>,
}

impl IJepa {
    /// LeJEPA's loss (algorithm 2 of its paper).
    ///
    /// With `z` the projection of the mean over the tokens of a view, and the centre of an image the
    /// mean `z` of its large views: `(1 - weight)` times the mean square of what all views differ
    /// from their centre, and `weight` times the mean over the views of
    /// [`sigreg`](crate::regularize::sigreg) of all images. The predictor's network is the projector.
    ///
    /// `directions` are `[outputs, directions]`, see [`Sketch`](crate::regularize::Sketch).
    ///
    /// # Panics
    ///
    /// Panics if there is no large view or the sides of a view are no whole number of patches.
    pub fn forward_views(&self, views: Views, weight: f64, directions: Tensor<2>) -> ViewsOutput {
        let Views {
            global,
            local,
            batch,
        } = views;
        let features = self.encoder.forward_features(global);
        let mut projected = vec![self.predictor.project(features.clone().mean_dim(1))];
        if let Some(local) = local {
            let features = resized(&self.encoder, &local).forward_features(local);
            projected.push(self.predictor.project(features.mean_dim(1)));
        }
        let globals = features.dims()[0] / batch;
        let projected = Tensor::cat(projected, 0);
        let [rows, _, outputs] = projected.dims();
        let count = rows / batch;
        let by_view = projected.clone().reshape([count, batch, outputs]);
        let centers = by_view.clone().narrow(0, 0, globals).mean_dim(0);
        let distance = (centers - by_view.clone()).square().mean();
        let regularization = (0..count)
            .map(|view| sigreg(by_view.clone().narrow(0, view, 1), directions.clone()))
            .reduce(|sum, next| sum + next);
        let regularization = regularization.expect("there are views") / count as f64;
        ViewsOutput {
            loss: distance.clone() * (1.0 - weight) + regularization * weight,
            distance: distance.without_autodiff(),
            projected: projected.without_autodiff(),
            features: features.without_autodiff(),
        }
    }
}

/// The same weights for images of the size of `views`.
fn resized(encoder: &VisionTransformer, views: &Tensor<4>) -> VisionTransformer {
    let [_, _, height, width] = views.dims();
    let resized = encoder
        .clone()
        .with_image_size([height, width], PositionResampling::Bicubic);
    resized.unwrap_or_else(|error| panic!("{error}"))
}
