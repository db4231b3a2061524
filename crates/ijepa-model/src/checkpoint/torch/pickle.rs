//! Writing object trees as pickles that torch loads.

use std::collections::HashMap;

use super::dtype::Dtype;
use super::opcode as op;

/// An object to write.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(String),
    /// A list.
    List(Vec<Item>),
    /// A tuple.
    Tuple(Vec<Item>),
    /// A `dict` in the order given.
    Dict(Vec<(Item, Item)>),
    /// A `collections.OrderedDict`, which is what state dicts are.
    OrderedDict(Vec<(Item, Item)>),
    /// A contiguous tensor that fills a storage.
    Tensor {
        /// Element type.
        dtype: Dtype,
        /// Size of every axis; empty for a scalar.
        shape: Vec<usize>,
        /// Index of the storage; tensors with the same index share their elements.
        storage: usize,
    },
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

/// The storage that a tensor item fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StorageSpec {
    pub(super) index: usize,
    pub(super) dtype: Dtype,
    pub(super) numel: usize,
}

impl StorageSpec {
    /// Bytes of the storage; [`Pickler`] has checked that they fit.
    pub(super) fn byte_length(self) -> usize {
        self.numel * self.dtype.size()
    }
}

/// A pickle and the storages that it refers to, each once, in order of appearance.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) bytes: Vec<u8>,
    pub(super) storages: Vec<StorageSpec>,
}

/// Pickles a tree, or returns the index of a storage on which its tensors disagree.
pub(super) fn pickle(root: &Item) -> Result<Pickle, usize> {
    let mut pickler = Pickler::default();
    // Protocol 2 is what torch writes, and the only one that its safe loader fully supports.
    pickler.bytes.extend([op::PROTO, 2]);
    pickler.item(root)?;
    pickler.bytes.push(op::STOP);
    Ok(Pickle {
        bytes: pickler.bytes,
        storages: pickler.storages,
    })
}

#[derive(Debug, Default)]
struct Pickler {
    bytes: Vec<u8>,
    storages: Vec<StorageSpec>,
    /// Places in `storages` by index.
    places: HashMap<usize, usize>,
    /// Memo entries of texts and globals by the opcodes that make them.
    memo: HashMap<Vec<u8>, u32>,
}

impl Pickler {
    fn item(&mut self, item: &Item) -> Result<(), usize> {
        match item {
            Item::None => self.bytes.push(op::NONE),
            Item::Bool(true) => self.bytes.push(op::NEWTRUE),
            Item::Bool(false) => self.bytes.push(op::NEWFALSE),
            Item::Int(value) => self.int(*value),
            Item::Float(value) => {
                self.bytes.push(op::BINFLOAT);
                self.bytes.extend(value.to_be_bytes());
            }
            Item::Str(text) => self.text(text),
            Item::List(items) => {
                self.bytes.extend([op::EMPTY_LIST, op::MARK]);
                self.items(items)?;
                self.bytes.push(op::APPENDS);
            }
            Item::Tuple(items) => {
                self.bytes.push(op::MARK);
                self.items(items)?;
                self.bytes.push(op::TUPLE);
            }
            Item::Dict(pairs) => {
                self.bytes.push(op::EMPTY_DICT);
                self.pairs(pairs)?;
            }
            Item::OrderedDict(pairs) => {
                self.ordered_dict();
                self.pairs(pairs)?;
            }
            Item::Tensor {
                dtype,
                shape,
                storage,
            } => {
                let spec = self.storage(*dtype, shape, *storage)?;
                self.tensor(spec, shape);
            }
        }
        Ok(())
    }

    fn items(&mut self, items: &[Item]) -> Result<(), usize> {
        items.iter().try_for_each(|item| self.item(item))
    }

    fn pairs(&mut self, pairs: &[(Item, Item)]) -> Result<(), usize> {
        self.bytes.push(op::MARK);
        for (key, value) in pairs {
            self.item(key)?;
            self.item(value)?;
        }
        self.bytes.push(op::SETITEMS);
        Ok(())
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = u8::try_from(value) {
            self.bytes.extend([op::BININT1, value]);
        } else if let Ok(value) = i32::try_from(value) {
            self.bytes.push(op::BININT);
            self.bytes.extend(value.to_le_bytes());
        } else {
            self.bytes.extend([op::LONG1, 8]);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    fn size(&mut self, size: usize) {
        // No allocation, and so no axis of a real tensor, is larger than `i64::MAX`.
        self.int(i64::try_from(size).unwrap_or(i64::MAX));
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.bytes.push(op::MARK);
        sizes.iter().for_each(|&size| self.size(size));
        self.bytes.push(op::TUPLE);
    }

    fn text(&mut self, text: &str) {
        let mut opcodes = Vec::new();
        match u32::try_from(text.len()) {
            Ok(length) => {
                opcodes.push(op::BINUNICODE);
                opcodes.extend(length.to_le_bytes());
            }
            Err(_) => {
                opcodes.push(op::BINUNICODE8);
                opcodes.extend((text.len() as u64).to_le_bytes());
            }
        }
        opcodes.extend(text.as_bytes());
        self.once(opcodes);
    }

    fn global(&mut self, module: &str, name: &str) {
        let mut opcodes = vec![op::GLOBAL];
        opcodes.extend(format!("{module}\n{name}\n").into_bytes());
        self.once(opcodes);
    }

    /// Writes the opcodes of an object the first time and refers to it from then on.
    fn once(&mut self, opcodes: Vec<u8>) {
        let next = self.memo.len() as u32;
        match self.memo.get(&opcodes) {
            Some(index) => {
                self.bytes.push(op::LONG_BINGET);
                self.bytes.extend(index.to_le_bytes());
            }
            None => {
                self.bytes.extend(&opcodes);
                self.bytes.push(op::LONG_BINPUT);
                self.bytes.extend(next.to_le_bytes());
                self.memo.insert(opcodes, next);
            }
        }
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend([op::EMPTY_TUPLE, op::REDUCE]);
    }

    fn storage(
        &mut self,
        dtype: Dtype,
        shape: &[usize],
        index: usize,
    ) -> Result<StorageSpec, usize> {
        let numel = shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        let numel = numel.filter(|numel| numel.checked_mul(dtype.size()).is_some());
        let spec = StorageSpec {
            index,
            dtype,
            numel: numel.ok_or(index)?,
        };
        let place = *self.places.entry(index).or_insert(self.storages.len());
        match self.storages.get(place) {
            Some(known) if *known != spec => Err(index),
            Some(_) => Ok(spec),
            None => {
                self.storages.push(spec);
                Ok(spec)
            }
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)`
    fn tensor(&mut self, storage: StorageSpec, shape: &[usize]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend([op::MARK, op::MARK]);
        self.text("storage");
        self.global("torch", storage.dtype.storage_class());
        self.text(&storage.index.to_string());
        self.text("cpu");
        self.size(storage.numel);
        self.bytes.extend([op::TUPLE, op::BINPERSID]);
        self.int(0);
        self.sizes(shape);
        self.sizes(&row_major(shape));
        self.bytes.push(op::NEWFALSE);
        self.ordered_dict();
        self.bytes.extend([op::TUPLE, op::REDUCE]);
    }
}

/// Strides of a contiguous tensor, which torch counts as if empty axes had one element.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}
