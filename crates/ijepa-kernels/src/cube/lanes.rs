//! Rows of a matrix, each held and reduced by neighbouring units of a cube, its lanes.

use burn::tensor::{DType, Shape};
use burn_cubecl::{
    cubecl::{
        self, calculate_cube_count_elemwise, client::Client, features::Plane, prelude::*,
        zspace::metadata::Metadata,
    },
    kernel::{into_contiguous, untile},
    ops::numeric::empty_device_contiguous_dtype,
    tensor::CubeTensor,
};

/// Vectors that a lane keeps of its row at most.
const MOST_PER_LANE: usize = 64;

/// How a cube is divided: `height` rows of `width` lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lanes {
    pub(super) width: usize,
    pub(super) height: usize,
    /// The lanes of a row are a plane, which sums without shared memory.
    pub(super) planes: bool,
}

impl Lanes {
    pub(super) fn of(client: &Client) -> Self {
        let properties = client.properties();
        let hardware = &properties.hardware;
        let plane = hardware.plane_size_max;
        let planes = hardware.plane_size_min == plane
            && (4..=64).contains(&plane)
            && properties.features.plane.contains(Plane::Ops);
        let width = if planes { plane } else { 32 };
        let units = hardware.max_units_per_cube.min(256);
        Self {
            width: width as usize,
            height: (units / width).max(1) as usize,
            planes,
        }
    }

    pub(super) fn cube_dim(&self) -> CubeDim {
        CubeDim::new_2d(self.width as u32, self.height as u32)
    }

    /// Cubes for one row to each group of lanes.
    pub(super) fn cube_count(&self, client: &Client, rows: usize) -> CubeCount {
        calculate_cube_count_elemwise(client, rows * self.width, self.cube_dim())
    }

    /// Vectors that a lane keeps of a row of `vectors`, if it can keep so many.
    pub(super) fn per_lane(&self, vectors: usize) -> Option<usize> {
        let each = vectors.div_ceil(self.width);
        (each <= MOST_PER_LANE).then_some(each)
    }
}

/// Whether the kernels compute in f32 on `dtype`.
pub(super) fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::BF16 | DType::F16)
}

/// `tensor` if its rows have adjacent features and lie equally far apart, else a copy whose do.
pub(super) fn with_rows(tensor: CubeTensor) -> CubeTensor {
    let tensor = untile(tensor);
    match row_stride(&tensor) {
        Some(_) => tensor,
        None => into_contiguous(tensor),
    }
}

/// `[.., features]` as `[rows, features]`, a view if [`with_rows`] copies nothing.
pub(super) fn as_rows(tensor: CubeTensor) -> CubeTensor {
    let mut tensor = with_rows(tensor);
    let shape = tensor.meta.shape();
    let columns = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / columns.max(1);
    let stride = row_stride(&tensor).unwrap_or(columns);
    tensor.meta = Box::new(Metadata::new([rows, columns], [stride, 1]));
    tensor
}

/// Elements from one row to the next, if that is the same for all rows.
fn row_stride(tensor: &CubeTensor) -> Option<usize> {
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    let last = shape.num_dims() - 1;
    if strides[last] != 1 {
        return None;
    }
    let mut found: Option<(usize, usize)> = None;
    for dim in (0..last).rev().filter(|dim| shape[*dim] != 1) {
        let span = strides[dim] * shape[dim];
        found = match found {
            None => Some((strides[dim], span)),
            Some((stride, expected)) if strides[dim] == expected => Some((stride, span)),
            Some(_) => return None,
        };
    }
    Some(found.map_or(shape[last], |(stride, _)| stride))
}

/// The longest of the device's vectors that `fits`, 1 if none does.
pub(super) fn longest_vector(
    like: &CubeTensor,
    bytes: usize,
    fits: impl Fn(usize) -> bool,
) -> usize {
    let sizes = like.client.io_optimized_vector_sizes(bytes);
    sizes.filter(|size| fits(*size)).max().unwrap_or(1)
}

/// The longest vectors in which all rows of all matrices can be read.
pub(super) fn vector_size(matrices: &[&CubeTensor]) -> usize {
    let widest = matrices.iter().map(|matrix| matrix.dtype.size()).max();
    longest_vector(matrices[0], widest.unwrap_or(4), |size| {
        matrices.iter().all(|matrix| {
            let (shape, strides) = (matrix.meta.shape(), matrix.meta.strides());
            shape[1].is_multiple_of(size) && strides[0].is_multiple_of(size)
        })
    })
}

/// How kernels go over the rows of some matrices of one width.
pub(super) struct Plan {
    pub(super) lanes: Lanes,
    /// Elements of a vector.
    pub(super) size: usize,
    pub(super) rows: usize,
    /// Vectors of a row.
    pub(super) vectors: usize,
    /// Vectors of a row that a lane keeps.
    pub(super) per_lane: usize,
}

impl Plan {
    /// Nothing if the rows are too long for the lanes.
    pub(super) fn new(matrices: &[&CubeTensor]) -> Option<Self> {
        let lanes = Lanes::of(&matrices[0].client);
        let size = vector_size(matrices);
        let shape = matrices[0].meta.shape();
        let vectors = shape[1] / size;
        Some(Self {
            lanes,
            size,
            rows: shape[0],
            vectors,
            per_lane: lanes.per_lane(vectors)?,
        })
    }
}

/// Cubes and units for one unit to each of `total` elements.
pub(super) fn elementwise(client: &Client, total: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, total);
    (calculate_cube_count_elemwise(client, total, dim), dim)
}

/// The address type that indexes all of `tensors`.
pub(super) fn address_type(tensors: &[&CubeTensor]) -> AddressType {
    let types = tensors.iter().map(|tensor| tensor.required_address_type());
    types.max().unwrap_or_default()
}

/// An uninitialized tensor beside `like`, contiguous.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        shape.into(),
        dtype,
    )
}

/// Where a result in `dtype` goes: the memory of `x`, which is argument `position`, if it has this
/// type, lies in order and is held by nobody else; or a new tensor of its shape.
pub(super) fn output_for(x: &CubeTensor, position: usize, dtype: DType) -> (CubeTensor, TensorArg) {
    if x.dtype == dtype && x.can_mut() && x.is_contiguous() {
        return (x.clone(), x.as_tensor_alias(position));
    }
    let output = empty(x, x.meta.shape().clone(), dtype);
    (output.clone(), output.into_tensor_arg())
}

/// A contiguous tensor in another shape.
pub(super) fn with_shape(x: CubeTensor, shape: Shape) -> CubeTensor {
    CubeTensor::new_contiguous(x.client, x.device, shape, x.handle, x.dtype)
}

/// The sum of `value` over the lanes of a row, for each of them.
#[cube]
pub(super) fn sum_over_lanes(value: f32, #[comptime] lanes: Lanes) -> f32 {
    if comptime!(lanes.planes) {
        plane_sum(value)
    } else {
        reduce_in_shared_memory(value, lanes, false)
    }
}

/// The greatest `value` over the lanes of a row, for each of them.
#[cube]
pub(super) fn max_over_lanes(value: f32, #[comptime] lanes: Lanes) -> f32 {
    if comptime!(lanes.planes) {
        plane_max(value)
    } else {
        reduce_in_shared_memory(value, lanes, true)
    }
}

#[cube]
fn reduce_in_shared_memory(
    value: f32,
    #[comptime] lanes: Lanes,
    #[comptime] greatest: bool,
) -> f32 {
    let mut scratch = Shared::<[f32]>::new_slice(comptime!(lanes.width * lanes.height));
    let lane = UNIT_POS_X as usize;
    let own = UNIT_POS_Y as usize * comptime!(lanes.width) + lane;
    // The one before may still be read.
    sync_cube();
    scratch[own] = value;
    sync_cube();
    #[unroll]
    for step in 0..comptime!(lanes.width.ilog2() as usize) {
        let half = comptime!(lanes.width >> (step + 1));
        if lane < half {
            let other = scratch[own + half];
            if comptime!(greatest) {
                scratch[own] = max(scratch[own], other);
            } else {
                scratch[own] += other;
            }
        }
        sync_cube();
    }
    scratch[own - lane]
}

/// The lane's vectors of the row that begins at vector `start`, zero past its end.
#[cube]
pub(super) fn load_row<X: Float, N: Size>(
    x: &[Vector<X, N>],
    start: usize,
    vectors: usize,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
) -> Array<Vector<f32, N>> {
    let mut values = Array::<Vector<f32, N>>::new(per_lane);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        values[index] = Vector::new(0.0f32);
        if vector < vectors {
            values[index] = Vector::cast_from(x[start + vector]);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cube::testing::{cube_device, elements, read, tensor};

    #[cube(launch_unchecked)]
    fn reduce_kernel(
        x: &Tensor<f32>,
        sums: &mut Tensor<f32>,
        greatest: &mut Tensor<f32>,
        #[comptime] lanes: Lanes,
    ) {
        let unit = UNIT_POS as usize;
        let value = x[unit];
        let sum = sum_over_lanes(value, lanes);
        let most = max_over_lanes(value, lanes);
        sums[unit] = sum;
        greatest[unit] = most;
    }

    /// Rows that lie equally far apart are viewed, others copied.
    #[test]
    fn rows_are_viewed_where_they_can_be() {
        let Some(device) = cube_device() else {
            return;
        };
        let values: Vec<f32> = (0..24).map(|value| value as f32).collect();
        for (shape, strides, stride, viewed) in [
            ([2, 3, 4], [12, 4, 1], 4, true),
            // The first two features, every other row, one row.
            ([2, 3, 2], [12, 4, 1], 4, true),
            ([3, 1, 4], [8, 4, 1], 8, true),
            ([1, 1, 4], [24, 24, 1], 4, true),
            // Some rows of each image, and features that are not adjacent.
            ([2, 2, 4], [12, 4, 1], 4, false),
            ([2, 4, 3], [12, 1, 4], 3, false),
        ] {
            let mut part = tensor(&device, &values, [24]);
            *part.meta = Metadata::new(shape, strides);
            let rows = as_rows(part.clone());
            let expected = [shape[0] * shape[1], shape[2]];
            assert_eq!(rows.meta.shape().dims(), expected, "{shape:?}");
            // A copy has memory of its own.
            assert_eq!(!rows.can_mut(), viewed, "{shape:?}");
            let found = elements(&read(rows), &expected, &[stride, 1]);
            assert_eq!(found, elements(&values, &shape, &strides), "{shape:?}");
        }
    }

    /// Sum and maximum of every row, by the device's own way and through shared memory.
    #[test]
    fn lanes_reduce_rows_with_and_without_planes() {
        let Some(device) = cube_device() else {
            return;
        };
        let client = device.client();
        let shared = Lanes {
            width: 32,
            height: 4,
            planes: false,
        };
        for lanes in [Lanes::of(&client), shared] {
            let units = lanes.width * lanes.height;
            let values: Vec<f32> = (0..units).map(|unit| ((unit * 7) % 23) as f32).collect();
            let [x, sums, greatest] = [(); 3].map(|()| tensor(&device, &values, [units]));
            // SAFETY: there are as many units as elements.
            unsafe {
                reduce_kernel::launch_unchecked(
                    &client,
                    CubeCount::new_single(),
                    lanes.cube_dim(),
                    x.into_tensor_arg(),
                    sums.clone().into_tensor_arg(),
                    greatest.clone().into_tensor_arg(),
                    lanes,
                );
            }
            let per_row = |reduce: fn(&[f32]) -> f32| -> Vec<f32> {
                let rows = values.chunks(lanes.width);
                rows.flat_map(|row| vec![reduce(row); row.len()]).collect()
            };
            let expected = per_row(|row| row.iter().sum());
            assert_eq!(read(sums)[..units], expected, "sums with {lanes:?}");
            let expected = per_row(|row| row.iter().copied().fold(f32::MIN, f32::max));
            assert_eq!(read(greatest)[..units], expected, "maxima with {lanes:?}");
        }
    }
}
