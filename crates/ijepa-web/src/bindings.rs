//! The model for JavaScript: numbers and byte arrays.

use std::error::Error;

use burn::tensor::Device;
use ijepa_masking::MaskGroup;
use ijepa_model::{Checkpoint, checkpoint::NATIVE_FILES, files::on_one_line};
use wasm_bindgen::prelude::*;

#[cfg(feature = "webgpu")]
use crate::computes;
use crate::{Model, Picture};

#[expect(unsafe_code, reason = "the linker makes this function")]
unsafe extern "C" {
    fn __wasm_call_ctors();
}

/// Registers what the crates below register before a program starts. The linker would do it anew in
/// every function of the module unless one of them does it.
#[wasm_bindgen(start)]
#[expect(
    unsafe_code,
    reason = "called once, before anything else of the module"
)]
fn start() {
    // SAFETY: it takes nothing, and nothing is registered yet.
    unsafe { __wasm_call_ctors() }
}

/// What the page computes on.
#[wasm_bindgen]
#[derive(Debug)]
pub struct PageDevice {
    device: Device,
    name: &'static str,
}

#[wasm_bindgen]
impl PageDevice {
    /// The processor, one thread of it.
    pub fn cpu() -> Self {
        Self {
            device: Device::flex(),
            name: "CPU",
        }
    }

    /// The GPU, if the module is built for it, the browser has WebGPU, and it computes what the CPU
    /// does. It can be had only once.
    #[cfg(feature = "webgpu")]
    pub async fn gpu() -> Option<Self> {
        let device = Device::wgpu_options().init_async().await.ok()?;
        computes(&device).await.then_some(Self {
            device,
            name: "WebGPU",
        })
    }

    /// None: the module is not built for it.
    #[cfg(not(feature = "webgpu"))]
    pub async fn gpu() -> Option<Self> {
        None
    }

    /// `WebGPU` or `CPU`.
    pub fn name(&self) -> String {
        self.name.to_owned()
    }
}

/// A model with the picture and the masks that are shown.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Page {
    model: Model,
    picture: Option<Picture>,
    masks: MaskGroup,
}

fn error(error: impl Error) -> JsError {
    JsError::new(&on_one_line(&error))
}

#[wasm_bindgen]
impl Page {
    /// Opens the files of a checkpoint folder, in the order of [`NATIVE_FILES`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &PageDevice,
        state: Vec<u8>,
        encoder: Vec<u8>,
        target_encoder: Vec<u8>,
        predictor: Vec<u8>,
    ) -> Result<Page, JsError> {
        let names = NATIVE_FILES.map(str::to_owned).into_iter();
        let files = names.zip([state, encoder, target_encoder, predictor]);
        let checkpoint = Checkpoint::from_memory(files.collect()).map_err(error)?;
        let model = Model::open(&checkpoint, &device.device).map_err(error)?;
        Ok(Self {
            masks: model.masks(0),
            picture: None,
            model,
        })
    }

    /// Columns of patches.
    pub fn cols(&self) -> usize {
        self.model.grid().cols()
    }

    /// Rows of patches.
    pub fn rows(&self) -> usize {
        self.model.grid().rows()
    }

    /// Columns of the pictures, in pixels.
    pub fn width(&self) -> usize {
        self.model.image_size()[1]
    }

    /// Rows of the pictures, in pixels.
    pub fn height(&self) -> usize {
        self.model.image_size()[0]
    }

    /// Encodes a picture: red, green and blue of every patch.
    pub async fn look(&mut self, rgba: Vec<u8>) -> Result<Vec<u8>, JsError> {
        let picture = self.model.look(&rgba).await.map_err(error)?;
        let colors = picture.colors.patches.concat();
        self.picture = Some(picture);
        Ok(colors)
    }

    /// Draws masks anew.
    pub fn draw_masks(&mut self, number: u32) {
        self.masks = self.model.masks(u64::from(number));
    }

    /// Blocks to predict.
    pub fn blocks(&self) -> usize {
        self.masks.targets.len()
    }

    /// Patches of the context.
    pub fn context(&self) -> Vec<u32> {
        self.masks.contexts[0].row(0).to_vec()
    }

    /// Patches of a block; none if there is no such block.
    pub fn block(&self, block: usize) -> Vec<u32> {
        let block = self.masks.targets.get(block);
        block.map_or_else(Vec::new, |block| block.row(0).to_vec())
    }

    /// Predicts a block: the cosine of the mean prediction with every patch, and then for each patch
    /// of the block the number of the patch that its prediction is most like.
    pub async fn predict(&self, block: usize) -> Result<Vec<f64>, JsError> {
        let picture = self.picture.as_ref();
        let picture = picture.ok_or_else(|| JsError::new("there is no picture yet"))?;
        let found = self.model.predict(picture, &self.masks, block).await;
        let found = found.map_err(error)?;
        let nearest = found.nearest.into_iter().map(|patch| patch as f64);
        Ok(found.mean.into_iter().chain(nearest).collect())
    }
}
