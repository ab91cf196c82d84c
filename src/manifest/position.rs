//! Where something is written in a manifest.

use std::fmt;

use crate::event::Text;

/// A place in a file, or in a text that a file holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// File as the user named it; `-` for standard input.
    pub file: Text,
    /// Address of the Terraform resource. If there is one, line and column count in the YAML text that the
    /// resource holds (1 and 1 where it holds none), not in `file`, which is generated.
    pub address: Option<Text>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, address, line, column } = self;
        match address {
            None => write!(formatter, "{file}:{line}:{column}"),
            Some(address) if (*line, *column) == (1, 1) => write!(formatter, "{file}: {address}"),
            Some(address) => write!(formatter, "{file}: {address}: line {line}, column {column}"),
        }
    }
}
