//! What a rule concludes. The fields are those of the JSON output, with the same names.

use schemars::JsonSchema;
use serde::Serialize;

use crate::correlate::Confidence;
use crate::event::{Id, Text};

/// One conclusion, with its evidence and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Rule id, such as `KT101`.
    pub rule: &'static str,
    /// Rule name, such as `kms-denied-by-identity-policy`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// What it is about.
    pub subject: Subject,
    /// One line.
    pub title: String,
    /// A few sentences.
    pub explanation: String,
    /// Events that it rests on.
    pub evidence: Vec<Id>,
    /// Other causes that the evidence excludes, and why.
    pub ruled_out: Vec<String>,
    /// What the archive does not show.
    pub missing: Vec<String>,
    /// What to change; `null` where there is nothing to change.
    pub remediation: Option<Remediation>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Low,
    /// Should be mended.
    Medium,
    /// Will hurt, or already does.
    High,
    /// Nodes die of it.
    Critical,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct Subject {
    /// Kind of thing.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Text,
}

/// Kinds of things that findings are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A node: its instance id.
    Node,
    /// A failed launch: its event id.
    Launch,
    /// A nodepool: its name.
    Nodepool,
    /// A key: its ARN.
    Key,
    /// An account in a region: `ACCOUNT/REGION`.
    Account,
    /// The archive as a whole.
    Archive,
}

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Remediation {
    /// What to do, in a sentence.
    pub summary: String,
    /// What is to be changed, such as "key policy of arn:…".
    pub target: String,
    /// Texts ready to paste.
    pub documents: Vec<Document>,
}

/// A text ready to paste.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Document {
    /// `iam-json`, `terraform`, `yaml` or `aws-cli`.
    pub format: &'static str,
    /// The text.
    pub body: String,
}
