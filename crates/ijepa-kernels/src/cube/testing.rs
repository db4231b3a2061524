//! Tensors of the device under test.

use burn::{
    backend::DispatchDevice,
    tensor::{DType, Shape},
};
use burn_cubecl::{CubeDevice, cubecl::prelude::*, tensor::CubeTensor};
use ijepa_testkit::{device, device_name, skip};

/// The device under test, if it runs on CubeCL.
pub(super) fn cube_device() -> Option<CubeDevice> {
    if let DispatchDevice::Cube(device) = device().as_dispatch() {
        return Some(device.clone());
    }
    let name = device_name();
    assert!(
        !["wgpu", "cuda"].contains(&name.as_str()),
        "{name} runs on CubeCL"
    );
    skip(format!("kernels of CubeCL, on which {name} does not run"));
    None
}

pub(super) fn tensor(device: &CubeDevice, values: &[f32], shape: impl Into<Shape>) -> CubeTensor {
    let client = device.client();
    let handle = client.create_from_slice(f32::as_bytes(values));
    CubeTensor::new_contiguous(client, device.clone(), shape.into(), handle, DType::F32)
}

pub(super) fn read(tensor: CubeTensor) -> Vec<f32> {
    let client = tensor.client.clone();
    let bytes = client.read_one(tensor.handle).expect("a readable buffer");
    f32::from_bytes(&bytes).to_vec()
}

/// The elements of a tensor that lies in `values`, in order.
pub(super) fn elements(values: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let Some((&rows, rest)) = shape.split_first() else {
        return vec![values[0]];
    };
    (0..rows)
        .flat_map(|row| elements(&values[row * strides[0]..], rest, &strides[1..]))
        .collect()
}
