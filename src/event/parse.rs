//! Bytes of one record -> [`Event`].

use super::{Event, Origin};

/// Parses records; keeps its buffers and its pool of shared texts from record to record.
#[derive(Default)]
pub struct EventParser {}

/// What one record turned out to be.
#[derive(Debug)]
pub enum Parsed {
    /// Evidence.
    Relevant(Box<Event>),
    /// A CloudTrail record of no use for the question.
    Irrelevant,
}

/// Why a record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The text is no JSON.
    #[error("invalid JSON: {0}")]
    InvalidJson(String),
    /// The text is no UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// The value is no CloudTrail record.
    #[error("not a CloudTrail record: {0}")]
    NotARecord(&'static str),
    /// A CloudTrail record without what every record has.
    #[error("incomplete record: {0}")]
    Incomplete(&'static str),
}

impl EventParser {
    /// Parses the bytes of one record, a JSON object.
    ///
    /// # Errors
    /// When the bytes are no CloudTrail record.
    pub fn parse(&mut self, _raw: &[u8], _origin: Origin) -> Result<Parsed, ParseError> {
        unimplemented!()
    }
}
