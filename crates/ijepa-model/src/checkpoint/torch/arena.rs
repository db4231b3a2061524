//! Where the objects of a pickle live, and how to walk them.

use super::value::{TensorMeta, Value};

/// The place of an object in its [`Arena`].
///
/// Two references to one Python object have equal ids; so have equal small integers, as in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

/// All objects of a pickle.
///
/// Containers hold ids instead of owning their items: an object that is referred to twice keeps
/// its identity, a cycle is harmless, and neither reading nor dropping a deeply nested pickle
/// recurses.
#[derive(Debug, Clone)]
pub struct Arena {
    nodes: Vec<Value>,
    root: NodeId,
}

impl Arena {
    // Objects without parts that never change are made once, at the places named here.
    pub(super) const NONE: NodeId = NodeId(0);
    pub(super) const EMPTY_TUPLE: NodeId = NodeId(1);
    const FALSE: NodeId = NodeId(2);
    const TRUE: NodeId = NodeId(3);
    const FIRST_INT: u32 = 4;

    /// Arena with only the objects that all pickles share; its root is `None`.
    pub(super) fn new() -> Self {
        let mut nodes = vec![
            Value::None,
            Value::Tuple(Vec::new()),
            Value::Bool(false),
            Value::Bool(true),
        ];
        nodes.extend((0..=u8::MAX).map(|int| Value::Int(int.into())));
        Self {
            nodes,
            root: Self::NONE,
        }
    }

    pub(super) const fn bool(value: bool) -> NodeId {
        if value { Self::TRUE } else { Self::FALSE }
    }

    pub(super) const fn small_int(value: u8) -> NodeId {
        NodeId(Self::FIRST_INT + value as u32)
    }

    /// Adds an object, or returns `None` when ids have run out.
    pub(super) fn push(&mut self, value: Value) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(value);
        Some(id)
    }

    pub(super) fn set_root(&mut self, root: NodeId) {
        self.root = root;
    }

    pub(super) fn value(&self, id: NodeId) -> &Value {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn value_mut(&mut self, id: NodeId) -> &mut Value {
        &mut self.nodes[id.0 as usize]
    }

    /// The saved object.
    pub fn root(&self) -> Node<'_> {
        Node {
            arena: self,
            id: self.root,
        }
    }
}

/// An object together with the arena that its items live in.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    arena: &'a Arena,
    id: NodeId,
}

impl<'a> Node<'a> {
    /// Identity of the object.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The object itself.
    pub fn value(self) -> &'a Value {
        self.arena.value(self.id)
    }

    /// Whether this is `None`.
    pub fn is_none(self) -> bool {
        matches!(self.value(), Value::None)
    }

    /// The integer, if this is one.
    pub fn as_i64(self) -> Option<i64> {
        match self.value() {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if this is a float or an integer.
    pub fn as_f64(self) -> Option<f64> {
        match self.value() {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if this is one.
    pub fn as_str(self) -> Option<&'a str> {
        match self.value() {
            Value::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The tensor, if this is one.
    pub fn as_tensor(self) -> Option<&'a TensorMeta> {
        match self.value() {
            Value::Tensor(value) => Some(value),
            _ => None,
        }
    }

    /// Whether this is a dict.
    pub fn is_dict(self) -> bool {
        matches!(self.value(), Value::Dict(_))
    }

    /// The items of a list or tuple in order; nothing for any other object.
    pub fn items(self) -> impl ExactSizeIterator<Item = Node<'a>> + DoubleEndedIterator {
        let ids: &[NodeId] = match self.value() {
            Value::List(ids) | Value::Tuple(ids) => ids,
            _ => &[],
        };
        ids.iter().map(move |&id| Node {
            arena: self.arena,
            id,
        })
    }

    /// The pairs of a dict in insertion order; nothing for any other object.
    ///
    /// A key that was set twice appears twice, the valid value last.
    pub fn entries(self) -> impl ExactSizeIterator<Item = (Node<'a>, Node<'a>)> {
        let pairs: &[(NodeId, NodeId)] = match self.value() {
            Value::Dict(pairs) => pairs,
            _ => &[],
        };
        let node = move |id| Node {
            arena: self.arena,
            id,
        };
        pairs
            .iter()
            .map(move |&(key, value)| (node(key), node(value)))
    }

    /// The value under a text key of a dict, found by scanning it.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.find(|found| found.as_str() == Some(key))
    }

    /// The value under an integer key of a dict, found by scanning it.
    pub fn get_index(self, key: i64) -> Option<Node<'a>> {
        self.find(|found| found.as_i64() == Some(key))
    }

    fn find(self, matches: impl Fn(Node<'a>) -> bool) -> Option<Node<'a>> {
        let last = self.entries().filter(|(key, _)| matches(*key)).last();
        last.map(|(_, value)| value)
    }
}
