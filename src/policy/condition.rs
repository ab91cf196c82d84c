//! Conditions of a statement, as far as the facts of a call allow.
//!
//! A condition and a request come in; it holds, fails, or cannot be decided, and then the reason says which
//! key or operator is at fault. A key that the call does not carry is absent, and a key that nobody can know
//! from a log is unknown: the two are never mixed up.

use std::fmt;

use super::decide::Request;
use super::pattern;

/// One condition: an operator, a key and the values of which one must match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Operator as written, such as `StringEqualsIfExists`.
    pub operator: String,
    /// Key as written, such as `kms:ViaService`.
    pub key: String,
    /// The values.
    pub values: Vec<String>,
}

/// Most values that a condition in words names.
const VALUES_SHOWN_MAX: usize = 20;

/// What is known of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// It depends on what is not known; why.
    Unknown(String),
}

/// What a request says under a condition key.
enum Value<'a> {
    /// This.
    Is(&'a str),
    /// Nothing: the call does not carry the key.
    Absent,
    /// It may carry it, with a value that a log does not show.
    Unknown,
}

#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    String,
    StringIgnoringCase,
    StringPattern,
    Arn,
    Bool,
}

/// An operator, taken apart.
struct Operator {
    comparison: Comparison,
    is_negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

/// The prefix of an operator for keys of several values. The keys known here have at most one.
#[derive(Clone, Copy, PartialEq)]
enum Set {
    ForAnyValue,
    ForAllValues,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (text, set) = match text.split_once(':') {
            Some(("ForAnyValue", rest)) => (rest, Some(Set::ForAnyValue)),
            Some(("ForAllValues", rest)) => (rest, Some(Set::ForAllValues)),
            Some(_) => return None,
            None => (text, None),
        };
        let (text, if_exists) = match text.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (comparison, is_negated) = match text {
            "StringEquals" => (Comparison::String, false),
            "StringNotEquals" => (Comparison::String, true),
            "StringEqualsIgnoreCase" => (Comparison::StringIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::StringIgnoringCase, true),
            "StringLike" => (Comparison::StringPattern, false),
            "StringNotLike" => (Comparison::StringPattern, true),
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "Bool" => (Comparison::Bool, false),
            _ => return None,
        };
        Some(Self { comparison, is_negated, if_exists, set })
    }
}

impl Comparison {
    fn holds(self, wanted: &str, value: &str) -> bool {
        match self {
            Self::String => wanted == value,
            Self::StringIgnoringCase => wanted.to_lowercase() == value.to_lowercase(),
            Self::StringPattern => pattern::matches(wanted, value),
            Self::Arn => pattern::arn_matches(wanted, value),
            Self::Bool => wanted.eq_ignore_ascii_case(value),
        }
    }
}

impl Condition {
    /// Whether the condition holds for `request`, in a policy whose `${…}` are variables or not.
    pub(super) fn holds(&self, request: &Request<'_>, has_variables: bool) -> Truth {
        let key = super::printable(&self.key);
        if has_variables && self.values.iter().any(|value| value.contains("${")) {
            return Truth::Unknown(format!("the value of {key} holds a policy variable"));
        }
        let value = match request_value(&self.key, request) {
            Value::Unknown => return Truth::Unknown(format!("{key} is not in the archive")),
            Value::Absent => None,
            Value::Is(value) => Some(value),
        };
        if self.operator == "Null" {
            return self.holds_null(value.is_none());
        }
        let Some(operator) = Operator::parse(&self.operator) else {
            let operator = super::printable(&self.operator);
            return Truth::Unknown(format!("the operator {operator} on {key} is not evaluated"));
        };
        let Some(value) = value else {
            return match operator.set {
                Some(Set::ForAllValues) => Truth::Yes,
                Some(Set::ForAnyValue) if !operator.if_exists => Truth::No,
                // AWS documents one suffix as true and one prefix as false without the key, not the two together.
                Some(Set::ForAnyValue) => {
                    let operator = super::printable(&self.operator);
                    Truth::Unknown(format!(
                        "{operator} on {key}, which the call does not carry, is not evaluated"
                    ))
                }
                None => truth(operator.if_exists || operator.is_negated),
            };
        };
        let matches = self.values.iter().any(|wanted| operator.comparison.holds(wanted, value));
        truth(matches != operator.is_negated)
    }

    fn holds_null(&self, is_absent: bool) -> Truth {
        truth(
            self.values
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(if is_absent { "true" } else { "false" })),
        )
    }
}

fn truth(holds: bool) -> Truth {
    if holds { Truth::Yes } else { Truth::No }
}

/// Condition keys are the same in either case.
fn request_value<'a>(key: &str, request: &Request<'a>) -> Value<'a> {
    let present = |value: Option<&'a str>| value.map_or(Value::Absent, Value::Is);
    match key.to_ascii_lowercase().as_str() {
        "kms:viaservice" => present(request.via_service),
        "kms:calleraccount" | "aws:principalaccount" => Value::Is(request.principal_account),
        "kms:grantisforawsresource" => {
            present(request.grant_is_for_aws_resource.map(|truth| if truth { "true" } else { "false" }))
        }
        // The ARN of a session does not show the path of its role, which the key's value has.
        "aws:principalarn" if request.principal_arn.contains(":assumed-role/") => Value::Unknown,
        "aws:principalarn" => Value::Is(request.principal_arn),
        // Only calls that a service makes on its own account carry it; a role's call through EC2 is no such call.
        "aws:sourceaccount" => Value::Absent,
        _ => Value::Unknown,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} ", super::printable(&self.key), super::printable(&self.operator))?;
        for (index, value) in self.values.iter().take(VALUES_SHOWN_MAX).enumerate() {
            let or = if index > 0 { " or " } else { "" };
            write!(formatter, "{or}{}", super::printable(value))?;
        }
        match self.values.len().saturating_sub(VALUES_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(formatter, " or {more} more"),
        }
    }
}
