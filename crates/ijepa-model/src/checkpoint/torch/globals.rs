//! The few globals of a torch pickle that describe data.
//!
//! Nothing is called: the effect of each recognised function on data is written out here, and
//! every other global stays a [`Value::Opaque`].

use std::sync::Arc;

use super::arena::NodeId;
use super::dtype::Dtype;
use super::error::PickleErrorKind;
use super::unpickle::{Machine, operand};
use super::value::{StorageMeta, TensorMeta, Value};

/// Axes that a torch tensor can have.
const MAX_AXES: usize = 64;

impl Machine<'_> {
    /// The object that applying `callee` to `arguments` stands for.
    pub(super) fn call(
        &mut self,
        callee: NodeId,
        arguments: NodeId,
    ) -> Result<NodeId, PickleErrorKind> {
        let Value::Opaque { module, name } = self.arena.value(callee) else {
            return Err(operand("a global", self.arena.value(callee)));
        };
        match (&**module, &**name) {
            ("collections", "OrderedDict") => self.ordered_dict(arguments),
            ("torch._utils", "_rebuild_tensor_v2") => self.tensor(callee, arguments),
            ("torch._utils", "_rebuild_parameter") => {
                let parameter = *self
                    .items(arguments)?
                    .first()
                    .ok_or(PickleErrorKind::StackUnderflow)?;
                match self.arena.value(parameter) {
                    Value::Tensor(_) | Value::Opaque { .. } => Ok(parameter),
                    other => Err(operand("a tensor", other)),
                }
            }
            // The object takes the place of its class, because only the name is kept.
            _ => Ok(callee),
        }
    }

    /// An `OrderedDict`, empty or, as Python 2 wrote it, made of a list of pairs.
    fn ordered_dict(&mut self, arguments: NodeId) -> Result<NodeId, PickleErrorKind> {
        let mut pairs = Vec::new();
        if let Some(&list) = self.items(arguments)?.first() {
            for &pair in self.items(list)? {
                let &[key, value] = self.items(pair)? else {
                    return Err(operand("a pair", self.arena.value(pair)));
                };
                pairs.push((key, value));
            }
        }
        let heap = size_of_val(&*pairs);
        self.node(Value::Dict(pairs), heap)
    }

    /// A tensor from storage, offset, shape and strides; what follows concerns gradients.
    fn tensor(&mut self, callee: NodeId, arguments: NodeId) -> Result<NodeId, PickleErrorKind> {
        let &[storage, offset, shape, stride, ..] = self.items(arguments)? else {
            return Err(PickleErrorKind::StackUnderflow);
        };
        let storage = match self.arena.value(storage) {
            Value::Storage(storage) => storage,
            // A storage of a type that is not read makes a tensor that is not read.
            Value::Opaque { .. } => return Ok(callee),
            other => return Err(operand("a storage", other)),
        };
        let meta = TensorMeta {
            dtype: storage.dtype,
            shape: self.sizes(shape)?,
            stride: self.sizes(stride)?,
            storage_key: storage.key.clone(),
            storage_offset: self.size(offset)?,
            storage_numel: storage.numel,
        };
        if meta.shape.len() != meta.stride.len() || meta.shape.len() > MAX_AXES {
            return Err(operand(
                "at most 64 axes with a stride each",
                self.arena.value(stride),
            ));
        }
        let heap = size_of::<TensorMeta>() + 2 * size_of_val(&*meta.shape);
        self.node(Value::Tensor(Box::new(meta)), heap)
    }

    /// The storage that a persistent id `('storage', class, key, location, numel)` names.
    pub(super) fn storage(&mut self, id: NodeId) -> Result<NodeId, PickleErrorKind> {
        let &[tag, class, key, location, numel] = self.items(id)? else {
            return Err(operand("a storage id of five items", self.arena.value(id)));
        };
        if &*self.str(tag)? != "storage" {
            return Err(operand("the text `storage`", self.arena.value(tag)));
        }
        let dtype = match self.arena.value(class) {
            Value::Opaque { module, name } => Dtype::from_storage_class(module, name),
            other => return Err(operand("a storage class", other)),
        };
        let Some(dtype) = dtype else {
            return Ok(class);
        };
        let storage = StorageMeta {
            dtype,
            key: self.str(key)?,
            location: self.str(location)?,
            numel: self.size(numel)?,
        };
        self.node(Value::Storage(Box::new(storage)), size_of::<StorageMeta>())
    }

    /// The items of a tuple or list.
    fn items(&self, id: NodeId) -> Result<&[NodeId], PickleErrorKind> {
        match self.arena.value(id) {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            other => Err(operand("a tuple", other)),
        }
    }

    /// A text, which is shared and not copied.
    pub(super) fn str(&self, id: NodeId) -> Result<Arc<str>, PickleErrorKind> {
        match self.arena.value(id) {
            Value::Str(text) => Ok(text.clone()),
            other => Err(operand("a string", other)),
        }
    }

    fn size(&self, id: NodeId) -> Result<usize, PickleErrorKind> {
        match self.arena.value(id) {
            Value::Int(size) => {
                usize::try_from(*size).map_err(|_| operand("a size", self.arena.value(id)))
            }
            other => Err(operand("a size", other)),
        }
    }

    fn sizes(&self, id: NodeId) -> Result<Vec<usize>, PickleErrorKind> {
        self.items(id)?
            .iter()
            .map(|&item| self.size(item))
            .collect()
    }
}
