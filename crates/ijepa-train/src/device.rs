//! Devices by name, as `--device` takes them.

use std::{fmt, str::FromStr};

use burn::tensor::Device;

/// A backend that Burn can compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Portable CPU backend, the default.
    Flex,
    /// The older CPU backend on the `ndarray` crate.
    Ndarray,
    /// WebGPU shaders on any graphics driver.
    Wgpu,
    /// SPIR-V on Vulkan.
    Vulkan,
    /// Apple GPUs.
    Metal,
    /// NVIDIA GPUs.
    Cuda,
    /// AMD GPUs.
    Rocm,
}

impl Backend {
    /// All backends, the one to prefer first.
    pub const ALL: [Self; 7] = [
        Self::Cuda,
        Self::Metal,
        Self::Rocm,
        Self::Vulkan,
        Self::Wgpu,
        Self::Flex,
        Self::Ndarray,
    ];

    /// Name on the command line and of the Cargo feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
        }
    }

    /// Whether the backend is part of this binary.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
        }
    }

    /// Whether the backend runs on a GPU.
    pub fn is_gpu(self) -> bool {
        !matches!(self, Self::Flex | Self::Ndarray)
    }

    /// The backends of this binary, the one to prefer first.
    pub fn compiled_in() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|backend| backend.is_compiled_in())
    }
}

/// A backend and the number of one of its devices, such as `flex` or `cuda:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSpec {
    /// The backend.
    pub backend: Backend,
    /// Number of the device; CPUs have only 0.
    pub index: usize,
}

impl DeviceSpec {
    /// The best device of this binary.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoBackend`] if no backend is compiled in.
    pub fn best() -> Result<Self, DeviceError> {
        let backend = Backend::compiled_in().next();
        let backend = backend.ok_or(DeviceError::NoBackend)?;
        Ok(Self { backend, index: 0 })
    }

    /// The best CPU backend of this binary.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NoBackend`] if none is compiled in.
    pub fn cpu() -> Result<Self, DeviceError> {
        let backend = Backend::compiled_in().find(|backend| !backend.is_gpu());
        let backend = backend.ok_or(DeviceError::NoBackend)?;
        Ok(Self { backend, index: 0 })
    }

    /// Versions, this device and the command line, as [`TrainOptions::environment`] is to have
    /// them.
    ///
    /// [`TrainOptions::environment`]: crate::TrainOptions::environment
    pub fn environment(self) -> serde_json::Value {
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        serde_json::json!({
            "ijepa": env!("CARGO_PKG_VERSION"),
            "burn": "0.22",
            "device": self.to_string(),
            "command": words.collect::<Vec<_>>(),
        })
    }

    /// The Burn device.
    ///
    /// # Errors
    ///
    /// [`DeviceError::NotCompiledIn`] names the backends that are.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self.backend {
            #[cfg(feature = "flex")]
            Backend::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            Backend::Ndarray =>
            {
                #[expect(deprecated, reason = "ndarray is a promised backend")]
                Ok(Device::ndarray())
            }
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => Ok(Device::wgpu(self.kind())),
            #[cfg(feature = "vulkan")]
            Backend::Vulkan => Ok(Device::vulkan(self.kind())),
            #[cfg(feature = "metal")]
            Backend::Metal => Ok(Device::metal(self.kind())),
            #[cfg(feature = "cuda")]
            Backend::Cuda => Ok(Device::cuda(self.index)),
            #[cfg(feature = "rocm")]
            Backend::Rocm => Ok(Device::rocm(self.index)),
            backend => Err(DeviceError::NotCompiledIn {
                name: backend.name(),
            }),
        }
    }

    #[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
    fn kind(self) -> burn::tensor::DeviceKind {
        match self.index {
            0 => burn::tensor::DeviceKind::DefaultDevice,
            index => burn::tensor::DeviceKind::DiscreteGpu(index),
        }
    }
}

/// Whether a device computes on the CPU.
pub(crate) fn is_cpu(device: &Device) -> bool {
    let device = device.clone().inner();
    match device.as_dispatch() {
        #[cfg(feature = "flex")]
        burn::backend::DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        burn::backend::DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown {
            text: text.to_owned(),
        };
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let backend = Backend::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(unknown)?;
        let index = index.parse().map_err(|_| unknown())?;
        if !backend.is_gpu() && index != 0 {
            return Err(unknown());
        }
        Ok(Self { backend, index })
    }
}

/// The devices of the processes of a machine: a name as of a [`DeviceSpec`], or of GPUs several
/// numbers (`cuda:0,2`).
///
/// ```
/// use ijepa_train::DeviceList;
///
/// let devices: DeviceList = "cuda:0,2".parse()?;
/// assert_eq!(devices.specs()[1], "cuda:2".parse()?);
/// # Ok::<(), ijepa_train::DeviceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList(Vec<DeviceSpec>);

impl DeviceList {
    /// The devices in their order, at least one.
    pub fn specs(&self) -> &[DeviceSpec] {
        &self.0
    }
}

impl From<DeviceSpec> for DeviceList {
    fn from(spec: DeviceSpec) -> Self {
        Self(vec![spec])
    }
}

impl FromStr for DeviceList {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let Some((name, numbers)) = text.split_once(':') else {
            return Ok(text.parse::<DeviceSpec>()?.into());
        };
        let spec = |number: &str| {
            let found = format!("{name}:{number}").parse();
            found.map_err(|_| DeviceError::Unknown {
                text: text.to_owned(),
            })
        };
        numbers
            .split(',')
            .map(spec)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.backend.is_gpu(), self.index) {
            (true, index) if index > 0 => write!(f, "{}:{index}", self.backend.name()),
            _ => f.write_str(self.backend.name()),
        }
    }
}

/// A device that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The text names no device.
    #[error(
        "unknown device `{text}`, expected flex, ndarray, wgpu, vulkan, metal, rocm or cuda, GPUs with an optional number as in cuda:1, or one for each process as in cuda:0,2"
    )]
    Unknown {
        /// The text found.
        text: String,
    },
    /// The binary was built without the backend.
    #[error(
        "backend `{name}` is not compiled in (compiled in: {}); rebuild with --features {name}",
        compiled_in()
    )]
    NotCompiledIn {
        /// Name of the backend.
        name: &'static str,
    },
    /// The binary was built without any backend.
    #[error("no backend is compiled in; rebuild with --features flex")]
    NoBackend,
}

fn compiled_in() -> String {
    let names: Vec<&str> = Backend::compiled_in().map(Backend::name).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "flex", "ndarray", "wgpu", "vulkan", "metal", "rocm", "cuda", "cuda:3",
        ] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "flex:1", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<DeviceSpec>().is_err(), "{text}");
            assert!(text.parse::<DeviceList>().is_err(), "{text}");
        }
        let several: DeviceList = "rocm:3,1".parse().unwrap();
        let names: Vec<String> = several.specs().iter().map(DeviceSpec::to_string).collect();
        assert_eq!(names, ["rocm:3", "rocm:1"]);
        for text in ["cuda:0,", "cuda:0,x", "flex:0,1"] {
            assert!(text.parse::<DeviceList>().is_err(), "{text}");
        }
    }

    #[test]
    fn flex_is_a_cpu() {
        assert!(is_cpu(&ijepa_testkit::device().autodiff()) || cfg!(not(feature = "flex")));
    }

    #[test]
    fn a_backend_opens_exactly_when_it_is_compiled_in() {
        for backend in [Backend::Flex, Backend::Ndarray] {
            let opened = DeviceSpec { backend, index: 0 }.open();
            assert_eq!(opened.is_ok(), backend.is_compiled_in(), "{backend:?}");
        }
    }
}
