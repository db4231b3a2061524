//! Masks as arrays.

use ijepa_masking::{MaskRng, PatchIndices, ReferenceStreams};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::{
    Bound, PyResult, Python, exceptions::PyValueError, pyclass, pymethods, types::PyMapping,
};

use crate::{
    arguments::{self, Size},
    raise::Raise,
};

/// Contexts and targets of a batch, an array [images, patches] each.
type Masks<'py> = (
    Vec<Bound<'py, PyArray2<i64>>>,
    Vec<Bound<'py, PyArray2<i64>>>,
);

/// Draws the masks of batches as a recipe says.
///
/// `recipe` is the name of a preset or a path of a .toml file (`ijepa recipes list`), `overrides`
/// changes keys of it, such as `{"mask.num_targets": 2}`; `image_size` (the side of a square, or
/// (height, width)) and `patch_size`, in pixels, change its grid.
///
/// `generator` is "reference": sizes come from a Mersenne Twister seeded with the step and positions
/// from one seeded with `seed` that runs on, as those of the reference code after
/// `torch.manual_seed(seed)`; or "ijepa": masks are those of `ijepa pretrain`, which follow from
/// `seed` and step alone.
///
/// Raises FileNotFoundError for a recipe that is not there and ValueError for one that makes no
/// masks.
#[pyclass(frozen, module = "ijepa")]
pub(crate) struct MaskSampler {
    sampler: Box<dyn ijepa_masking::MaskSampler>,
    generator: Generator,
    group_size: usize,
}

enum Generator {
    Reference(ReferenceStreams),
    OfRun { seed: u64 },
}

#[pymethods]
impl MaskSampler {
    #[new]
    #[pyo3(signature = (
        recipe="in1k_vitb16_ep600", *, overrides=None, image_size=None, patch_size=None, seed=0,
        generator="reference"
    ))]
    fn new(
        recipe: &str,
        overrides: Option<&Bound<'_, PyMapping>>,
        image_size: Option<Size>,
        patch_size: Option<usize>,
        seed: u64,
        generator: &str,
    ) -> PyResult<Self> {
        let recipe = arguments::recipe(Some(recipe), overrides, &[])?;
        let recipe = recipe
            .with_overrides(&grid(image_size, patch_size))
            .or_raise()?;
        let generator = match generator {
            // PyTorch takes the lowest bits, too.
            "reference" => Generator::Reference(ReferenceStreams::new(seed as u32)),
            "ijepa" => Generator::OfRun { seed },
            other => {
                let what = format!("unknown generator `{other}`, expected reference or ijepa");
                return Err(PyValueError::new_err(what));
            }
        };
        if !recipe.objective.kind.predicts() {
            let what = "`objective.kind` = lejepa has views instead of masks";
            return Err(PyValueError::new_err(what));
        }
        Ok(Self {
            sampler: recipe.mask_sampler().or_raise()?,
            generator,
            group_size: recipe.mask_group_size(),
        })
    }

    /// The masks of `images` images as `(contexts, targets)`, lists of int64 [images, patches] with
    /// patch numbers row by row; all contexts have one length and all targets another.
    fn sample<'py>(&self, py: Python<'py>, images: usize, step: u64) -> PyResult<Masks<'py>> {
        if images == 0 {
            return Err(PyValueError::new_err("no images have no masks"));
        }
        let mut random = match &self.generator {
            Generator::Reference(streams) => streams.batch(step as u32),
            Generator::OfRun { seed } => MaskRng::for_group(*seed, step, 0),
        };
        let group = py.detach(|| self.sampler.sample(images, &mut random));
        let arrays = |masks: &[PatchIndices]| masks.iter().map(|mask| array(py, mask)).collect();
        let contexts: PyResult<Vec<_>> = arrays(&group.contexts);
        Ok((contexts?, arrays(&group.targets)?))
    }

    /// (rows, columns) of patches.
    #[getter]
    fn grid(&self) -> (usize, usize) {
        let grid = self.sampler.grid();
        (grid.rows(), grid.cols())
    }

    /// Images that share their block sizes in `ijepa pretrain`.
    #[getter]
    fn group_size(&self) -> usize {
        self.group_size
    }
}

/// What changes the patch grid of a recipe; the other sizes of a model do not matter to masks.
fn grid(image_size: Option<Size>, patch_size: Option<usize>) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(size) = image_size {
        changes.push(format!("model.image_size={:?}", size.sides()));
    }
    if let Some(side) = patch_size {
        changes.push(format!("model.patch_size={side}"));
        let others = ["embed_dim", "depth", "num_heads", "predictor_dim"];
        changes.extend(others.map(|key| format!("model.{key}=12")));
    }
    changes
}

fn array<'py>(py: Python<'py>, mask: &PatchIndices) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let patches = mask.as_slice().iter().map(|&patch| i64::from(patch));
    PyArray1::from_vec(py, patches.collect()).reshape([mask.images(), mask.kept()])
}
