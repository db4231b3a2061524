//! Element types of torch storages.

/// The element type of a torch tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// `torch.float32`
    Float32,
    /// `torch.float16`
    Float16,
    /// `torch.bfloat16`
    BFloat16,
    /// `torch.float64`
    Float64,
    /// `torch.int64`
    Int64,
    /// `torch.int32`
    Int32,
    /// `torch.int16`
    Int16,
    /// `torch.int8`
    Int8,
    /// `torch.uint8`
    UInt8,
    /// `torch.bool`
    Bool,
}

/// Every element type with its torch name and the name of its storage class.
const TABLE: [(Dtype, &str, &str); 10] = [
    (Dtype::Float32, "float32", "FloatStorage"),
    (Dtype::Float16, "float16", "HalfStorage"),
    (Dtype::BFloat16, "bfloat16", "BFloat16Storage"),
    (Dtype::Float64, "float64", "DoubleStorage"),
    (Dtype::Int64, "int64", "LongStorage"),
    (Dtype::Int32, "int32", "IntStorage"),
    (Dtype::Int16, "int16", "ShortStorage"),
    (Dtype::Int8, "int8", "CharStorage"),
    (Dtype::UInt8, "uint8", "ByteStorage"),
    (Dtype::Bool, "bool", "BoolStorage"),
];

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::Float64 | Self::Int64 => 8,
            Self::Float32 | Self::Int32 => 4,
            Self::Float16 | Self::BFloat16 | Self::Int16 => 2,
            Self::Int8 | Self::UInt8 | Self::Bool => 1,
        }
    }

    /// The torch name without its module, such as `float32`.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The storage class in module `torch` that a pickle names for this type.
    pub(super) const fn storage_class(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The type of a storage class, if it is one that this crate reads.
    pub(super) fn from_storage_class(module: &str, name: &str) -> Option<Self> {
        if !matches!(module, "torch" | "torch.storage") {
            return None;
        }
        // An untyped storage counts bytes.
        if name == "UntypedStorage" {
            return Some(Self::UInt8);
        }
        TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }
}
