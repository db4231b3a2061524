//! The stack machine of pickle, restricted to plain data.

use std::collections::HashMap;

use super::arena::{Arena, NodeId};
use super::cursor::Cursor;
use super::error::{PickleError, PickleErrorKind};
use super::opcode as op;
use super::value::Value;

/// Bytes of memory granted per byte of pickle.
///
/// One opcode byte can make one object, so this is a little more than the size of an object with
/// its memo entry; honest files need a fraction of it.
const MEMORY_PER_BYTE: usize = 64;
/// Bytes of memory granted to every pickle.
const MEMORY_FLOOR: usize = 64 << 10;
/// Bytes of memory that no pickle may exceed.
const MEMORY_CEILING: usize = 512 << 20;
/// What one memo entry is charged with.
const MEMO_ENTRY: usize = 16;

/// Reads a pickle into an arena without running anything that it names.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Arena, PickleError> {
    let mut machine = Machine::new(bytes);
    loop {
        let offset = machine.input.position();
        match machine.step() {
            Ok(Step::Next) => {}
            Ok(Step::Done(root)) => {
                machine.arena.set_root(root);
                return Ok(machine.arena);
            }
            Err(kind) => return Err(PickleError { offset, kind }),
        }
    }
}

enum Step {
    Next,
    Done(NodeId),
}

pub(super) struct Machine<'a> {
    pub(super) input: Cursor<'a>,
    pub(super) arena: Arena,
    stack: Vec<NodeId>,
    /// Heights of the stack where a mark was set; nothing below the last one can be popped.
    marks: Vec<usize>,
    memo: HashMap<u32, NodeId>,
    memory_limit: usize,
    memory_used: usize,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let memory_limit = bytes
            .len()
            .saturating_mul(MEMORY_PER_BYTE)
            .saturating_add(MEMORY_FLOOR);
        Self {
            input: Cursor::new(bytes),
            arena: Arena::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            memory_limit: memory_limit.min(MEMORY_CEILING),
            memory_used: 0,
        }
    }

    fn step(&mut self) -> Result<Step, PickleErrorKind> {
        let opcode = self.input.u8()?;
        match opcode {
            op::STOP => return Ok(Step::Done(self.pop()?)),
            op::PROTO => match self.input.u8()? {
                0..=5 => {}
                found => return Err(PickleErrorKind::Protocol { found }),
            },
            op::FRAME => {
                let length = self.input.u64()?;
                self.input.require(length)?;
            }
            op::MARK => self.marks.push(self.stack.len()),
            op::POP if self.stack.len() > self.floor() => {
                self.pop()?;
            }
            op::POP | op::POP_MARK => {
                self.pop_mark()?;
            }
            op::DUP => self.stack.push(self.peek()?),

            op::BINPUT => {
                let index = self.input.u8()?;
                self.memoize(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = self.input.u32()?;
                self.memoize(index)?;
            }
            // The memo is charged to the memory allowance, so its length always fits.
            op::MEMOIZE => self.memoize(self.memo.len() as u32)?,
            op::BINGET => {
                let index = self.input.u8()?;
                self.recall(index.into())?;
            }
            op::LONG_BINGET => {
                let index = self.input.u32()?;
                self.recall(index)?;
            }

            op::APPEND => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            op::APPENDS => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])?;
            }
            op::SETITEMS => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)?;
            }
            // Sets are opaque, so their items are dropped.
            op::ADDITEMS => {
                self.pop_mark()?;
                self.peek()?;
            }

            op::REDUCE | op::NEWOBJ => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.push_call(callee, arguments)?;
            }
            op::NEWOBJ_EX => {
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.push_call(callee, arguments)?;
            }
            // State would only add attributes, such as the `_metadata` of a state dict.
            op::BUILD => {
                let _state = self.pop()?;
                self.peek()?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            _ => {
                let made = self.make(opcode)?;
                self.stack.push(made);
            }
        }
        Ok(Step::Next)
    }

    fn push_call(&mut self, callee: NodeId, arguments: NodeId) -> Result<(), PickleErrorKind> {
        let made = self.call(callee, arguments)?;
        self.stack.push(made);
        Ok(())
    }

    /// Charges memory, so that a few bytes that refer to one large thing cannot multiply it.
    fn charge(&mut self, bytes: usize) -> Result<(), PickleErrorKind> {
        self.memory_used = self.memory_used.saturating_add(bytes);
        if self.memory_used > self.memory_limit {
            return Err(PickleErrorKind::Memory {
                limit: self.memory_limit,
            });
        }
        Ok(())
    }

    /// Adds an object that owns `heap` bytes besides the ids of its items.
    ///
    /// Ids need no charge: each one was pushed by an opcode of its own.
    pub(super) fn node(&mut self, value: Value, heap: usize) -> Result<NodeId, PickleErrorKind> {
        self.charge(size_of::<Value>() + heap)?;
        self.arena.push(value).ok_or(PickleErrorKind::Memory {
            limit: self.memory_limit,
        })
    }

    /// Height of the stack that pops must leave untouched.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn peek(&self) -> Result<NodeId, PickleErrorKind> {
        let above = &self.stack[self.floor()..];
        above.last().copied().ok_or(PickleErrorKind::StackUnderflow)
    }

    pub(super) fn pop(&mut self) -> Result<NodeId, PickleErrorKind> {
        let top = self.peek()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>, PickleErrorKind> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= self.floor());
        Ok(self
            .stack
            .split_off(start.ok_or(PickleErrorKind::StackUnderflow)?))
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<NodeId>, PickleErrorKind> {
        let mark = self.marks.pop().ok_or(PickleErrorKind::NoMark)?;
        Ok(self.stack.split_off(mark))
    }

    fn memoize(&mut self, index: u32) -> Result<(), PickleErrorKind> {
        let top = self.peek()?;
        if self.memo.insert(index, top).is_none() {
            self.charge(MEMO_ENTRY)?;
        }
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), PickleErrorKind> {
        let id = *self
            .memo
            .get(&index)
            .ok_or(PickleErrorKind::Memo { index })?;
        self.stack.push(id);
        Ok(())
    }

    fn extend_list(&mut self, mut items: Vec<NodeId>) -> Result<(), PickleErrorKind> {
        let target = self.peek()?;
        match self.arena.value_mut(target) {
            Value::List(list) => list.append(&mut items),
            Value::Opaque { .. } => {}
            other => return Err(operand("a list", other)),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[NodeId]) -> Result<(), PickleErrorKind> {
        let new = pairs(items)?;
        let target = self.peek()?;
        match self.arena.value_mut(target) {
            Value::Dict(dict) => dict.extend(new),
            Value::Opaque { .. } => {}
            other => return Err(operand("a dict", other)),
        }
        Ok(())
    }
}

/// Keys and values that alternate, as pairs.
pub(super) fn pairs(items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, PickleErrorKind> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(PickleErrorKind::StackUnderflow);
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

/// The error for an object of the wrong type.
pub(super) fn operand(expected: &'static str, found: &Value) -> PickleErrorKind {
    PickleErrorKind::Operand {
        expected,
        found: found.kind(),
    }
}
