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

/// `[.., features]` as `[rows, features]` with adjacent features, copied only if they are not.
pub(super) fn as_rows(tensor: CubeTensor) -> CubeTensor {
    let tensor = untile(tensor);
    let shape = tensor.meta.shape();
    let last = shape.num_dims() - 1;
    let columns = shape[last];
    let rows = shape.num_elements() / columns.max(1);
    let (mut tensor, stride) = match row_stride(&tensor) {
        Some(stride) => (tensor, stride),
        None => (into_contiguous(tensor), columns),
    };
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

/// The longest vectors in which all rows of all matrices can be read.
pub(super) fn vector_size(matrices: &[&CubeTensor]) -> usize {
    let widest = matrices.iter().map(|matrix| matrix.dtype.size()).max();
    let fits = |size: &usize| {
        matrices.iter().all(|matrix| {
            let (shape, strides) = (matrix.meta.shape(), matrix.meta.strides());
            shape[1].is_multiple_of(*size) && strides[0].is_multiple_of(*size)
        })
    };
    let sizes = matrices[0]
        .client
        .io_optimized_vector_sizes(widest.unwrap_or(4));
    sizes.filter(fits).max().unwrap_or(1)
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
    use burn::backend::DispatchDevice;
    use burn_cubecl::CubeDevice;
    use ijepa_testkit::device;

    use super::*;

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

    /// The device under test, if it runs on CubeCL.
    fn cube_device() -> Option<CubeDevice> {
        match device().as_dispatch() {
            DispatchDevice::Cube(device) => Some(device.clone()),
            #[allow(
                unreachable_patterns,
                reason = "without other backends there is one variant"
            )]
            _ => None,
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
            let bytes = |values: &[f32]| client.create_from_slice(f32::as_bytes(values));
            let [x, sums, greatest] =
                [bytes(&values), bytes(&values), bytes(&values)].map(|handle| {
                    let shape = Shape::new([units]);
                    CubeTensor::new_contiguous(
                        client.clone(),
                        device.clone(),
                        shape,
                        handle,
                        DType::F32,
                    )
                });
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
            let read = |tensor: CubeTensor| {
                let bytes = client.read_one(tensor.handle).expect("a readable buffer");
                f32::from_bytes(&bytes).to_vec()
            };
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
