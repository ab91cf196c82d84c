//! CloudTrail's ids, packed.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use super::Text;

/// An event id, request id or shared event id.
///
/// Nearly all of them are lower-case UUIDs and take 16 bytes here; any other text is kept as it is.
/// The order is that of the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Packed);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Packed {
    Uuid([u8; 16]),
    Text(Text),
}

impl Id {
    /// Packs `text`; lossless for any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(match parse_uuid(text.as_bytes()) {
            Some(value) => Packed::Uuid(value),
            None => Packed::Text(text.into()),
        })
    }

    /// The first eight bytes of the text, as a number: ids whose beginnings differ have the order of those.
    #[must_use]
    pub fn beginning(&self) -> u64 {
        let mut first = [0; 8];
        match &self.0 {
            Packed::Uuid(value) => {
                for (digits, byte) in first.chunks_exact_mut(2).zip(value) {
                    digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
                }
            }
            Packed::Text(text) => {
                let length = text.len().min(first.len());
                first[..length].copy_from_slice(&text.as_bytes()[..length]);
            }
        }
        u64::from_be_bytes(first)
    }

    fn write_uuid(value: [u8; 16]) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in value.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        text
    }

    fn with_str<R>(&self, use_text: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Packed::Uuid(value) => {
                let text = Self::write_uuid(*value);
                use_text(std::str::from_utf8(&text).expect("hexadecimal digits and dashes are ASCII"))
            }
            Packed::Text(text) => use_text(text),
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of each lower-case hexadecimal digit; all ones for other bytes.
const DIGIT_VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    /// Where each byte's two digits stand.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let text: &[u8; 36] = text.try_into().ok()?;
    let mut value = [0; 16];
    let mut digits = 0;
    for (byte, place) in value.iter_mut().zip(PLACES) {
        let high = DIGIT_VALUES[usize::from(text[place])];
        let low = DIGIT_VALUES[usize::from(text[place + 1])];
        digits |= high | low;
        *byte = high << 4 | low;
    }
    let has_dashes = [text[8], text[13], text[18], text[23]] == *b"----";
    (has_dashes && digits < 16).then_some(value)
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Packed::Uuid(one), Packed::Uuid(two)) => one.cmp(two),
            (Packed::Text(one), Packed::Text(two)) => one.cmp(two),
            _ => self.with_str(|one| other.with_str(|two| one.cmp(two))),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| formatter.pad(text))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| fmt::Debug::fmt(text, formatter))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_str(|text| serializer.serialize_str(text))
    }
}

impl schemars::JsonSchema for Id {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        str::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn any_text_survives_packing() {
        for text in [
            "351203c4-371d-350e-8071-7227e3bbe185",
            "351203C4-371D-350E-8071-7227E3BBE185",
            "create-111122223333-758241-1389",
            "",
            "351203c4+371d-350e-8071-7227e3bbe185",
            "351203c4-371d-350e-8071+7227e3bbe185",
            "351203c4-371d-350e-8071-7227e3bbe18g",
            "g51203c4-371d-350e-8071-7227e3bbe185",
            "351203c4-371d-350e-8071-7227e3bbe185a",
        ] {
            assert_eq!(Id::new(text).to_string(), text);
        }
    }

    #[test]
    fn order_is_the_order_of_the_text() {
        let mut texts = [
            "fffffff4-371d-350e-8071-7227e3bbe185",
            "create-111122223333-758241-1389",
            "051203c4-371d-350e-8071-7227e3bbe185",
            "A",
        ];
        let mut ids = texts.map(Id::new);
        ids.sort();
        texts.sort_unstable();
        assert!(ids.is_sorted_by_key(Id::beginning));
        assert_eq!(ids.map(|id| id.to_string()), texts);
    }
}
