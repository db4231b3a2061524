//! Sums on CUDA devices by NCCL, a library that is loaded when it is asked for.
//!
//! The memory of a tensor lies below Burn's dispatch, its fusion and CubeCL, each of which hands
//! out what is below. CubeCL shows nobody its streams: the host waits for what is to be added up
//! before NCCL gets it, and for the sums.

#![expect(
    unsafe_code,
    reason = "NCCL is given addresses of device memory, each with the reason why they hold"
)]

use std::{
    ffi::c_char,
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    backend::{Cube, DispatchDevice},
    tensor::{DType, Device, Tensor},
};
use burn_cubecl::{
    CubeBackend, CubeDevice,
    cubecl::{cuda::CudaRuntime, future::block_on},
    kernel::into_contiguous,
    tensor::CubeTensor,
};
use cubecl_runtime::runtime::Runtime;
use cudarc::{
    driver::{CudaContext, CudaStream},
    nccl::{Comm, Id, ReduceOp, result::NcclError, sys::is_culib_present},
};

use super::{
    Ranks,
    on_device::{Collective, agreed},
};

/// Connects the CUDA devices of `ranks`; all say that they have the library before one waits for
/// the others in it.
///
/// # Errors
///
/// Says why they are not connected.
pub(super) fn connect(
    ranks: &Arc<dyn Ranks>,
    device: &Device,
) -> Result<Box<dyn Collective>, String> {
    let ranks = ranks.as_ref();
    let (stream, own) = agreed(ranks, own_side(device, ranks.rank()))?;
    let bytes = own.internal().map(|byte| byte.to_ne_bytes()[0]);
    let first = ranks.gather(&bytes).swap_remove(0);
    let mut id = [0; 128];
    for (byte, sent) in id.iter_mut().zip(first) {
        *byte = c_char::from_ne_bytes([sent]);
    }
    let comm = Comm::from_rank(stream, ranks.rank(), ranks.size(), Id::uninit(id));
    let comm = comm.map_err(|error| refused("ncclCommInitRank", &error))?;
    Ok(Box::new(Nccl(Mutex::new(Movable(comm)))))
}

/// A stream of the CUDA device, and the id of the connection on rank 0.
fn own_side(device: &Device, rank: usize) -> Result<(Arc<CudaStream>, Id), String> {
    let plain = device.clone().inner();
    let DispatchDevice::Cube(CubeDevice::Cuda(cuda)) = plain.as_dispatch() else {
        return Err(format!("{device:?} is no CUDA device"));
    };
    // SAFETY: NCCL has no code that runs when it is loaded.
    if !unsafe { is_culib_present() } {
        return Err("libnccl.so is not found (a link to libnccl.so.2 will do)".to_owned());
    }
    let id = match rank {
        0 => Id::new().map_err(|error| refused("ncclGetUniqueId", &error))?,
        _ => Id::uninit([0; 128]),
    };
    let context = CudaContext::new(cuda.index);
    let context = context.map_err(|error| failed("a CUDA context", &error))?;
    let stream = context.new_stream();
    Ok((stream.map_err(|error| failed("a CUDA stream", &error))?, id))
}

fn failed(what: &str, error: &dyn Debug) -> String {
    format!("{what}: {error:?}")
}

fn refused(call: &str, error: &NcclError) -> String {
    failed(call, &error.0)
}

/// This rank's end of the connection.
struct Nccl(Mutex<Movable>);

struct Movable(Comm);

// SAFETY: NCCL takes calls of any thread, one at a time; cudarc does not say so because of the
// pointer in it.
unsafe impl Send for Movable {}

impl Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nccl")
    }
}

impl Collective for Nccl {
    fn sum(&self, tensors: &mut dyn Iterator<Item = Tensor<1>>) -> Result<Vec<Tensor<1>>, String> {
        let comm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let comm = &comm.0;
        let stream = comm.stream();
        let (mut sums, mut in_use) = (Vec::new(), Vec::new());
        for tensor in tensors {
            let [values] = tensor.dims();
            let sum = tensor.zeros_like();
            let [from, to] = [tensor, sum.clone()].map(on_cuda);
            let (from, to) = (from?, to?);
            let memory = |tensor: &CubeTensor| {
                let handle = tensor.handle.clone();
                let memory = tensor
                    .client
                    .get_resource::<<CudaRuntime as Runtime>::Server>(handle);
                memory.map_err(|error| failed("memory of a tensor", &error))
            };
            let memory = [memory(&from)?, memory(&to)?];
            let written = block_on(to.client.sync());
            written.map_err(|error| failed("the device", &error))?;
            let [from, mut to] = [0, 1].map(|side: usize| {
                let address = memory[side].resource().ptr;
                // SAFETY: there are that many values, which are contiguous and stay there as long
                // as `in_use` does; nobody else reads or writes them, because all that was asked of
                // the device is done and the two tensors are only here.
                unsafe { stream.upgrade_device_ptr::<f32>(address, values) }
            });
            let summed = comm.all_reduce(&from, &mut to, &ReduceOp::Sum);
            // The memory is CubeCL's to free.
            from.leak();
            to.leak();
            summed.map_err(|error| refused("ncclAllReduce", &error))?;
            in_use.push(memory);
            sums.push(sum);
        }
        stream
            .synchronize()
            .map_err(|error| failed("the sums", &error))?;
        Ok(sums)
    }
}

/// A tensor of contiguous f32 values as CubeCL has it.
fn on_cuda(tensor: Tensor<1>) -> Result<CubeTensor, String> {
    if tensor.dtype() != DType::F32 {
        return Err(format!("gradients of type {:?}", tensor.dtype()));
    }
    let fused = tensor.try_into_primitive::<Cube>();
    let fused = fused.map_err(|error| failed("a tensor", &error))?;
    let client = fused.client.clone();
    Ok(into_contiguous(
        client.resolve_tensor_float::<CubeBackend>(fused),
    ))
}
