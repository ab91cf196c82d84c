//! The text of a key policy, read into types.
//!
//! One policy document comes in, bare or as `aws kms get-key-policy` wraps it. What AWS would refuse (unknown
//! elements, a statement without an effect) is an error with its line and column. Size and nesting are bounded.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::condition::Condition;
use super::principal::{Principal, Principals};

/// Largest text that is read, in bytes: AWS allows key policies of 32 KB, and a wrapped one is escaped.
pub const POLICY_BYTES_MAX: usize = 128 * 1024;

/// Longest description of what is wrong with a text, in characters.
const PROBLEM_LETTERS_MAX: usize = 200;

/// A key policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether `${…}` is a variable: from version 2012-10-17 on.
    pub has_variables: bool,
    /// The statements, in order.
    pub statements: Vec<Statement>,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its place and name.
    pub name: StatementName,
    /// Allow or deny.
    pub effect: Effect,
    /// Whom it means.
    pub principals: Principals,
    /// Which actions.
    pub actions: Selection,
    /// Which resources; `*` is the key that the policy belongs to.
    pub resources: Selection,
    /// What must hold besides, all of it.
    pub conditions: Vec<Condition>,
}

/// A statement, as a reader finds it again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementName {
    /// Place in the policy, from 0.
    pub index: usize,
    /// `Sid`.
    pub sid: Option<String>,
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Effect {
    /// `Allow`.
    Allow,
    /// `Deny`.
    Deny,
}

/// Patterns, or all but patterns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// Whether this is `NotAction` or `NotResource`.
    pub is_negated: bool,
    /// The patterns, as written.
    pub patterns: Vec<String>,
}

/// Why a text is no key policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The text is larger than any key policy.
    #[error("the policy has {bytes} bytes; a key policy has at most {limit}")]
    TooLarge {
        /// Size of the text.
        bytes: usize,
        /// [`POLICY_BYTES_MAX`].
        limit: usize,
    },
    /// The text is no JSON, or no policy.
    #[error("line {line}, column {column} of the key policy: {problem}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there. Words only: a parser's error quotes the text, which may be hostile.
        problem: String,
    },
}

impl Policy {
    /// Reads a policy document, or the answer of `GetKeyPolicy` around one.
    ///
    /// # Errors
    ///
    /// If the text is too large, no JSON, or holds what the policy language does not have.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        #[derive(Deserialize)]
        struct GetKeyPolicyAnswer<'a> {
            #[serde(rename = "Policy", borrow)]
            policy: Cow<'a, str>,
        }
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLarge { bytes: text.len(), limit: POLICY_BYTES_MAX });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = match serde_json::from_str::<GetKeyPolicyAnswer<'_>>(text) {
            Ok(answer) => serde_json::from_str::<Document>(&answer.policy),
            Err(_) => serde_json::from_str::<Document>(text),
        };
        document.map(Self::from).map_err(|error| {
            let problem = error.to_string();
            let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
            PolicyError::Malformed {
                line: error.line(),
                column: error.column(),
                problem: super::printable(problem).chars().take(PROBLEM_LETTERS_MAX).collect(),
            }
        })
    }
}

impl From<Document> for Policy {
    fn from(document: Document) -> Self {
        let number = |(index, statement): (usize, StatementDocument)| Statement {
            name: StatementName { index, sid: statement.sid },
            effect: statement.effect,
            principals: statement.principals,
            actions: statement.actions,
            resources: statement.resources,
            conditions: statement.conditions,
        };
        Self {
            has_variables: document.version == Some(Version::Of2012),
            statements: document.statements.0.into_iter().enumerate().map(number).collect(),
        }
    }
}

impl fmt::Display for StatementName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "statement {}", self.index + 1)?;
        match &self.sid {
            Some(sid) => write!(formatter, " \"{}\"", super::printable(sid)),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: Option<Version>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    #[serde(rename = "Statement")]
    statements: Statements,
}

#[derive(Deserialize, PartialEq)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Of2012,
    #[serde(rename = "2008-10-17")]
    Of2008,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    sid: Option<String>,
    effect: Effect,
    principal: Option<PrincipalList>,
    not_principal: Option<PrincipalList>,
    action: Option<Texts>,
    not_action: Option<Texts>,
    resource: Option<Texts>,
    not_resource: Option<Texts>,
    condition: Option<Conditions>,
}

/// A statement whose elements fit together, still without its place.
#[derive(Deserialize)]
#[serde(try_from = "RawStatement")]
struct StatementDocument {
    sid: Option<String>,
    effect: Effect,
    principals: Principals,
    actions: Selection,
    resources: Selection,
    conditions: Vec<Condition>,
}

impl TryFrom<RawStatement> for StatementDocument {
    type Error = &'static str;

    fn try_from(raw: RawStatement) -> Result<Self, Self::Error> {
        let principals = match (raw.principal, raw.not_principal) {
            (Some(listed), None) => Principals::Of(listed.0),
            (None, Some(listed)) => Principals::AllBut(listed.0),
            _ => return Err("a statement of a key policy has either Principal or NotPrincipal"),
        };
        let selection = |of, all_but, problem| match (of, all_but) {
            (Some(Texts(patterns)), None) => Ok(Selection { is_negated: false, patterns }),
            (None, Some(Texts(patterns))) => Ok(Selection { is_negated: true, patterns }),
            _ => Err(problem),
        };
        Ok(Self {
            sid: raw.sid,
            effect: raw.effect,
            principals,
            actions: selection(raw.action, raw.not_action, "a statement has either Action or NotAction")?,
            resources: selection(
                raw.resource,
                raw.not_resource,
                "a statement has either Resource or NotResource",
            )?,
            conditions: raw.condition.unwrap_or_default().0,
        })
    }
}

/// One statement or a list of them.
struct Statements(Vec<StatementDocument>);

impl<'de> Deserialize<'de> for Statements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Statements;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a statement or a list of statements")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Statements, A::Error> {
                let one = StatementDocument::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Statements(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statements, A::Error> {
                let mut statements = Vec::new();
                while let Some(statement) = list.next_element()? {
                    statements.push(statement);
                }
                Ok(Statements(statements))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// One text or a list of texts; truth values and numbers count as texts, as AWS reads them in conditions.
pub(super) struct Texts(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Texts, E> {
                Ok(Texts(vec![truth.to_string()]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(Text(text)) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// One text of a list.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text")]
        enum Scalar {
            Text(String),
            Truth(bool),
            Number(serde_json::Number),
        }
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            Scalar::Truth(truth) => truth.to_string(),
            Scalar::Number(number) => number.to_string(),
        }))
    }
}

/// `"*"`, or principals by kind.
struct PrincipalList(Vec<Principal>);

impl<'de> Deserialize<'de> for PrincipalList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StarOrKinds;
        impl<'de> Visitor<'de> for StarOrKinds {
            type Value = PrincipalList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"*\" or an object with AWS, Service, Federated or CanonicalUser")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PrincipalList, E> {
                match text {
                    "*" => Ok(PrincipalList(vec![Principal::Everyone])),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PrincipalList, A::Error> {
                let mut principals = Vec::new();
                while let Some(kind) = map.next_key::<String>()? {
                    let make: fn(String) -> Principal = match kind.as_str() {
                        "AWS" => Principal::aws,
                        "Service" => Principal::Service,
                        "Federated" => Principal::Federated,
                        "CanonicalUser" => Principal::CanonicalUser,
                        other => {
                            let kinds = &["AWS", "Service", "Federated", "CanonicalUser"];
                            return Err(de::Error::unknown_field(other, kinds));
                        }
                    };
                    principals.extend(map.next_value::<Texts>()?.0.into_iter().map(make));
                }
                Ok(PrincipalList(principals))
            }
        }
        deserializer.deserialize_any(StarOrKinds)
    }
}

/// Operator -> key -> values, flattened.
#[derive(Default)]
struct Conditions(Vec<Condition>);

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Operators;
        impl<'de> Visitor<'de> for Operators {
            type Value = Conditions;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of condition operators")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Conditions, A::Error> {
                let mut conditions = Vec::new();
                while let Some((operator, keys)) = map.next_entry::<String, Keys>()? {
                    conditions.extend(keys.0.into_iter().map(|(key, values)| Condition {
                        operator: operator.clone(),
                        key,
                        values,
                    }));
                }
                Ok(Conditions(conditions))
            }
        }
        deserializer.deserialize_map(Operators)
    }
}

struct Keys(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyValues;
        impl<'de> Visitor<'de> for KeyValues {
            type Value = Keys;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of condition keys and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, Texts(values))) = map.next_entry::<String, Texts>()? {
                    keys.push((key, values));
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(KeyValues)
    }
}

#[cfg(test)]
mod tests;
