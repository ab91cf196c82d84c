//! Ids of instances and volumes as keys of maps.
//!
//! A text comes in; what goes out is compared and hashed without a look at where the text lies, as long as the text is
//! no longer than EC2's ids are. To follow the text of each entry that a look-up meets costs more than all else of it.

use std::hash::{Hash, Hasher};

/// How many bytes are held in the key itself: an instance id has 19, a volume id 21.
const BYTES_HELD_MAX: usize = 23;

/// An id. Two are equal if and only if their texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The text, filled up with zeros, and its length in the last byte.
    Held([u64; 3]),
    /// A longer one.
    Long(&'a str),
}

impl<'a> Name<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let length = text.len();
        if length > BYTES_HELD_MAX {
            return Self::Long(text);
        }
        let mut bytes = [[0; 8]; 3];
        bytes.as_flattened_mut()[..length].copy_from_slice(text.as_bytes());
        bytes[2][7] = u8::try_from(length).expect("no more than the bytes held");
        Self::Held(bytes.map(u64::from_ne_bytes))
    }
}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Held([first, second, third]) => {
                state.write_u64(*first);
                state.write_u64(*second);
                state.write_u64(*third);
            }
            Self::Long(text) => text.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_are_equal_where_their_texts_are() {
        let long = "i-0123456789abcdef0123456789abcdef";
        let texts = [
            "",
            "\0",
            "i-0123456789abcdef0",
            "i-0123456789abcdef1",
            "i-0123456789abcdef0\0",
            long,
            &long[..23],
        ];
        for one in texts {
            for two in texts {
                // Another copy of the text, as another event holds.
                let copy = String::from(two);
                assert_eq!(Name::of(one) == Name::of(&copy), one == two, "{one:?} {two:?}");
            }
        }
    }
}
