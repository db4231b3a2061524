//! Opcodes that make one object each.

use std::sync::Arc;

use super::arena::{Arena, NodeId};
use super::cursor::text;
use super::error::PickleErrorKind;
use super::opcode as op;
use super::unpickle::{Machine, pairs};
use super::value::Value;

impl Machine<'_> {
    /// Runs an opcode whose whole effect is one new object on the stack.
    pub(super) fn make(&mut self, opcode: u8) -> Result<NodeId, PickleErrorKind> {
        match opcode {
            op::NONE => Ok(Arena::NONE),
            op::NEWTRUE => Ok(Arena::bool(true)),
            op::NEWFALSE => Ok(Arena::bool(false)),
            op::BININT => self.input.i32().and_then(|value| self.int(value.into())),
            op::BININT1 => self.input.u8().and_then(|value| self.int(value.into())),
            op::BININT2 => self.input.u16().and_then(|value| self.int(value.into())),
            op::LONG1 => {
                let length = self.input.u8()?;
                self.long(length.into())
            }
            op::LONG4 => {
                let length = self.input.u32()?;
                self.long(length.into())
            }
            // Protocols 0 and 1 spell bools as two-digit integers.
            op::INT => match self.input.line()? {
                "00" => Ok(Arena::bool(false)),
                "01" => Ok(Arena::bool(true)),
                digits => self.decimal(digits),
            },
            op::LONG => {
                let line = self.input.line()?;
                self.decimal(line.strip_suffix('L').unwrap_or(line))
            }
            op::FLOAT => {
                let line = self.input.line()?;
                let value = line.parse().map_err(|_| PickleErrorKind::Number)?;
                self.node(Value::Float(value), 0)
            }
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.node(Value::Float(value), 0)
            }

            op::SHORT_BINUNICODE => self.input.u8().and_then(|n| self.unicode(n.into())),
            op::BINUNICODE => self.input.u32().and_then(|n| self.unicode(n.into())),
            op::BINUNICODE8 => self.input.u64().and_then(|n| self.unicode(n)),
            op::SHORT_BINSTRING => self.input.u8().and_then(|n| self.string(n.into())),
            op::BINSTRING => self.input.u32().and_then(|n| self.string(n.into())),
            op::SHORT_BINBYTES => self.input.u8().and_then(|n| self.bytes(n.into())),
            op::BINBYTES => self.input.u32().and_then(|n| self.bytes(n.into())),
            op::BINBYTES8 | op::BYTEARRAY8 => self.input.u64().and_then(|n| self.bytes(n)),

            op::EMPTY_TUPLE => self.tuple(Vec::new()),
            op::TUPLE1 => self.pop_many(1).and_then(|items| self.tuple(items)),
            op::TUPLE2 => self.pop_many(2).and_then(|items| self.tuple(items)),
            op::TUPLE3 => self.pop_many(3).and_then(|items| self.tuple(items)),
            op::TUPLE => self.pop_mark().and_then(|items| self.tuple(items)),
            op::EMPTY_LIST => self.node(Value::List(Vec::new()), 0),
            op::LIST => {
                let items = self.pop_mark()?;
                self.node(Value::List(items), 0)
            }
            op::EMPTY_DICT => self.node(Value::Dict(Vec::new()), 0),
            op::DICT => {
                let pairs = pairs(&self.pop_mark()?)?;
                self.node(Value::Dict(pairs), 0)
            }
            op::EMPTY_SET => self.opaque("builtins".into(), "set".into()),
            op::FROZENSET => {
                self.pop_mark()?;
                self.opaque("builtins".into(), "frozenset".into())
            }

            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.opaque(module.into(), name.into())
            }
            op::STACK_GLOBAL => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (module, name) = (self.str(module)?, self.str(name)?);
                self.opaque(module, name)
            }
            op::INST => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                let arguments = self.pop_mark()?;
                let arguments = self.tuple(arguments)?;
                let callee = self.opaque(module.into(), name.into())?;
                self.call(callee, arguments)
            }
            op::OBJ => {
                let items = self.pop_mark()?;
                let (&callee, arguments) =
                    items.split_first().ok_or(PickleErrorKind::StackUnderflow)?;
                let arguments = self.tuple(arguments.to_vec())?;
                self.call(callee, arguments)
            }
            opcode => Err(PickleErrorKind::Opcode { opcode }),
        }
    }

    fn int(&mut self, value: i64) -> Result<NodeId, PickleErrorKind> {
        match u8::try_from(value) {
            Ok(small) => Ok(Arena::small_int(small)),
            Err(_) => self.node(Value::Int(value), 0),
        }
    }

    fn tuple(&mut self, items: Vec<NodeId>) -> Result<NodeId, PickleErrorKind> {
        if items.is_empty() {
            return Ok(Arena::EMPTY_TUPLE);
        }
        self.node(Value::Tuple(items), 0)
    }

    /// An integer of `length` little-endian two's complement bytes.
    fn long(&mut self, length: u64) -> Result<NodeId, PickleErrorKind> {
        let bytes = self.input.take(length)?;
        if bytes.len() > 8 {
            return self.node(Value::BigInt, 0);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        wide[..bytes.len()].copy_from_slice(bytes);
        self.int(i64::from_le_bytes(wide))
    }

    fn decimal(&mut self, digits: &str) -> Result<NodeId, PickleErrorKind> {
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PickleErrorKind::Number);
        }
        match digits.parse() {
            Ok(value) => self.int(value),
            Err(_) => self.node(Value::BigInt, 0),
        }
    }

    fn unicode(&mut self, length: u64) -> Result<NodeId, PickleErrorKind> {
        let text = text(self.input.take(length)?)?;
        self.node(Value::Str(text.into()), text.len())
    }

    /// A Python 2 string, which is a text if it can be one.
    fn string(&mut self, length: u64) -> Result<NodeId, PickleErrorKind> {
        let bytes = self.input.take(length)?;
        match text(bytes) {
            Ok(text) => self.node(Value::Str(text.into()), text.len()),
            Err(_) => self.node(Value::Bytes(bytes.to_vec()), bytes.len()),
        }
    }

    fn bytes(&mut self, length: u64) -> Result<NodeId, PickleErrorKind> {
        let bytes = self.input.take(length)?;
        self.node(Value::Bytes(bytes.to_vec()), bytes.len())
    }

    fn opaque(&mut self, module: Arc<str>, name: Arc<str>) -> Result<NodeId, PickleErrorKind> {
        let heap = module.len() + name.len();
        self.node(Value::Opaque { module, name }, heap)
    }
}
