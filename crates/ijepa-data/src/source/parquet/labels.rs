//! What a label column may hold.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// Columns that can hold labels, in the order of preference.
const LABEL_COLUMNS: [&str; 3] = ["label", "labels", "fine_label"];

/// The place of the label column among the leaves, and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct LabelColumn {
    pub(super) leaf: usize,
    pub(super) kind: LabelKind,
}

/// The label column, if there is one with labels; its name and type if it holds no classes.
pub(super) fn label_column(
    schema: &SchemaDescriptor,
) -> Result<Option<LabelColumn>, (&'static str, String)> {
    // A column without a single value is written as one of unknown type.
    let has_values = |column: &ColumnDescriptor| {
        !matches!(column.logical_type_ref(), Some(LogicalType::Unknown))
    };
    let of_name = |name: &&'static str| {
        let mut columns = schema.columns().iter();
        let is_it = |column: &ColumnDescriptor| column.path().parts()[0] == *name;
        let leaf = columns.position(|column| is_it(column) && has_values(column))?;
        Some((*name, leaf))
    };
    let Some((name, leaf)) = LABEL_COLUMNS.iter().find_map(of_name) else {
        return Ok(None);
    };
    let kind = LabelKind::of(&schema.column(leaf)).map_err(|found| (name, found))?;
    Ok(Some(LabelColumn { leaf, kind }))
}

/// The values of a label column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelKind {
    /// Whole numbers, which are the classes themselves.
    Integer {
        /// Whether the sign bit is one.
        signed: bool,
    },
    /// `false` and `true`.
    Boolean,
    /// Names of classes.
    Text,
}

impl LabelKind {
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Integer { .. })
    }

    /// The kind of a column, or the name of its type if it holds no classes.
    pub(super) fn of(column: &ColumnDescriptor) -> Result<Self, String> {
        let physical = column.physical_type();
        if column.max_rep_level() > 0 {
            return Err(format!("list of {physical}").to_lowercase());
        }
        if column.path().parts().len() > 1 {
            return Err("struct".to_owned());
        }
        let logical = column.logical_type_ref();
        let is_text = matches!(logical, Some(LogicalType::String | LogicalType::Enum))
            || matches!(
                column.converted_type(),
                ConvertedType::UTF8 | ConvertedType::ENUM
            );
        let is_plain = logical.is_none() && column.converted_type() == ConvertedType::NONE;
        let is_integer = is_plain
            || is_integer(column.converted_type())
            || matches!(logical, Some(LogicalType::Integer(_)));
        match physical {
            Type::INT32 | Type::INT64 if is_integer => Ok(Self::Integer {
                signed: !is_unsigned(column),
            }),
            Type::BOOLEAN => Ok(Self::Boolean),
            Type::BYTE_ARRAY if is_text => Ok(Self::Text),
            _ => Err(type_name(column)),
        }
    }
}

fn is_integer(converted: ConvertedType) -> bool {
    use ConvertedType as Is;
    is_unsigned_type(converted)
        || matches!(converted, Is::INT_8 | Is::INT_16 | Is::INT_32 | Is::INT_64)
}

fn is_unsigned_type(converted: ConvertedType) -> bool {
    use ConvertedType as Is;
    matches!(
        converted,
        Is::UINT_8 | Is::UINT_16 | Is::UINT_32 | Is::UINT_64
    )
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    is_unsigned_type(column.converted_type())
        || matches!(column.logical_type_ref(), Some(LogicalType::Integer(kind)) if !kind.is_signed)
}

/// The name of what is stored, before it the name of what is meant: `timestamp (int64)`.
fn type_name(column: &ColumnDescriptor) -> String {
    let meant = match (column.logical_type_ref(), column.converted_type()) {
        (Some(logical), _) => format!("{logical:?}"),
        (None, ConvertedType::NONE) => String::new(),
        (None, converted) => converted.to_string(),
    };
    let stored = match column.physical_type() {
        Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY => "binary".to_owned(),
        number => number.to_string(),
    };
    // Parameters such as units follow in brackets.
    match meant.split(['(', '{', ' ']).next() {
        Some(word) if !word.is_empty() => format!("{word} ({stored})").to_lowercase(),
        _ => stored.to_lowercase(),
    }
}
