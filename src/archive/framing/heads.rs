//! How containers and exported lines begin.
//!
//! The text of an object or a line comes in; where its records or its JSON begin goes out, if it is one of
//! the shapes known, and where text goes on behind damage. Text may be cut off anywhere.

use memchr::{memchr_iter, memchr2, memmem};

use crate::archive::structure::{Members, is_container_key, skip_whitespace};

/// Longest time and stream name before the JSON of an exported CloudWatch Logs line.
pub(super) const TIME_PREFIX_BYTES_MAX: usize = 640;

/// How far a value is sought at first behind damage.
const SEEK_BYTES_FIRST: usize = 256;

pub(super) enum Prefix {
    /// The object begins this many bytes further on.
    Before(usize),
    /// The text ends too soon to tell.
    Unknown,
    /// There is none.
    None,
}

/// CloudWatch Logs exports write a time, and some tools a stream's name too, before each event.
pub(super) fn time_prefix(text: &[u8]) -> Prefix {
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let fits = text.iter().zip(FORM).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b' '),
        _ => byte == form,
    });
    if !fits {
        return Prefix::None;
    }
    let reach = &text[..text.len().min(TIME_PREFIX_BYTES_MAX)];
    match memchr2(b'{', b'\n', reach) {
        Some(found) if text[found] == b'{' && found >= FORM.len() => Prefix::Before(found),
        None if reach.len() < TIME_PREFIX_BYTES_MAX => Prefix::Unknown,
        _ => Prefix::None,
    }
}

/// `{"Records":[` at the beginning of an object: the length of it.
pub(super) fn container_head(object: &[u8]) -> Option<usize> {
    let key = skip_whitespace(object, 1);
    array_member(object.get(key..)?).map(|length| key + length)
}

/// `"Records":[` at the beginning of `member`: the length of it.
pub(super) fn array_member(member: &[u8]) -> Option<usize> {
    let key_end = ["\"Records\"", "\"Events\"", "\"logEvents\"", "\"keytrailExtract\""]
        .iter()
        .find_map(|key| member.starts_with(key.as_bytes()).then_some(key.len()))?;
    let colon = skip_whitespace(member, key_end);
    if member.get(colon) != Some(&b':') {
        return None;
    }
    let bracket = skip_whitespace(member, colon + 1);
    (member.get(bracket) == Some(&b'[')).then_some(bracket + 1)
}

/// The same among the members of an object that may be cut off or broken.
pub(in crate::archive) fn container_member(object: &[u8]) -> Option<usize> {
    let mut members = Members::of(object);
    loop {
        let (key, value_at) = members.next_key()?;
        if is_container_key(&key) && object.get(value_at) == Some(&b'[') {
            return Some(value_at + 1);
        }
        members.skip_value()?;
    }
}

/// What stands before the first place where a value surely begins: the newline before a line that begins with a
/// bracket or a time, or, inside an array, the comma before CloudTrail's own first member.
pub(super) fn value_behind_damage(text: &[u8], in_array: bool) -> Option<usize> {
    const FIRST_MEMBER: &[u8] = b",{\"eventVersion\":";
    let is_value_at = |at: usize| match text.get(at) {
        Some(b'{') => true,
        Some(b'[') => !in_array,
        Some(b'0'..=b'9') => !in_array && matches!(time_prefix(&text[at..]), Prefix::Before(_)),
        _ => false,
    };
    let find = |start: usize, end: usize| {
        let line = memchr_iter(b'\n', &text[start..end])
            .map(|found| start + found)
            .find(|newline| is_value_at(newline + 1));
        let end = line.unwrap_or(end).saturating_add(FIRST_MEMBER.len() - 1).min(text.len());
        let member = if in_array { memmem::find(&text[start..end], FIRST_MEMBER) } else { None };
        member.map(|found| start + found).or(line)
    };
    // One kind may be near where the other is nowhere: neither is searched for much farther than the other.
    let (mut start, mut end) = (0, text.len().min(SEEK_BYTES_FIRST));
    loop {
        let found = find(start, end);
        if found.is_some() || end == text.len() {
            return found;
        }
        (start, end) = (end, end.saturating_mul(2).min(text.len()));
    }
}

/// So much white space behind a damaged element tells nothing more.
const WHITESPACE_BYTES_MAX: usize = 4 << 10;

/// Whether text goes on as it does behind an element of an array of objects; `None` if more of it must be seen.
pub(super) fn is_end_of_element(text: &[u8]) -> Option<bool> {
    let near = &text[..text.len().min(WHITESPACE_BYTES_MAX)];
    let at = skip_whitespace(near, 0);
    let next = match near.get(at) {
        Some(b',') => near.get(skip_whitespace(near, at + 1)).map(|next| *next == b'{'),
        next => next.map(|next| *next == b']'),
    };
    next.or((near.len() == WHITESPACE_BYTES_MAX).then_some(true))
}
