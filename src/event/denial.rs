//! Refusals of KMS: who was refused what, on which key, and for want of what.
//!
//! `errorCode` and `errorMessage` of a record come in; a [`Denial`] goes out, borrowed from the message. The
//! wordings are those of AWS; a message that fits none of them is a refusal without a reason, never a guess.

use super::KeyArn;

/// A refusal, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    /// Principal named in the message (a session ARN for an assumed role).
    pub principal: Option<&'a str>,
    /// Action, such as `kms:CreateGrant`.
    pub action: Option<&'a str>,
    /// ARN of the key named in the message, or of the alias where the message names that.
    pub key_arn: Option<&'a str>,
    /// Which kind of policy refused.
    pub kind: DenialKind,
}

/// Which kind of policy refused, as far as the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialKind {
    /// "because no identity-based policy allows": neither the role's policies nor the key policy allow it.
    NoIdentityPolicy,
    /// "because no resource-based policy allows": the key policy does not allow it.
    NoResourcePolicy,
    /// "because no permissions boundary allows".
    NoPermissionsBoundary,
    /// "because no session policy allows".
    NoSessionPolicy,
    /// "because no service control policy allows".
    NoServiceControlPolicy,
    /// "because no resource control policy allows".
    NoResourceControlPolicy,
    /// "because no VPC endpoint policy allows".
    NoVpcEndpointPolicy,
    /// "with an explicit deny in …": the words that name the policy.
    ExplicitDeny(ExplicitDenyIn),
    /// The key is disabled.
    KeyDisabled,
    /// The key waits for its deletion.
    KeyPendingDeletion,
    /// Another state in which a key cannot be used: pending import, unavailable, still being made, of a usage
    /// other than encryption.
    KeyUnusable,
    /// The key, or the alias's target, does not exist here.
    KeyNotFound,
    /// "does not exist, does not exist in this region, or you are not allowed to access", "the resource does not
    /// exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly
    /// denies access": AWS does not say which.
    Ambiguous,
    /// The message says no more than that access was denied.
    Unspecified,
}

/// Where an explicit deny stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExplicitDenyIn {
    /// A policy of the role or user.
    IdentityPolicy,
    /// The key policy.
    ResourcePolicy,
    /// A service control policy of the organisation.
    ServiceControlPolicy,
    /// A resource control policy of the organisation.
    ResourceControlPolicy,
    /// The permissions boundary.
    PermissionsBoundary,
    /// The session policy.
    SessionPolicy,
    /// A VPC endpoint policy.
    VpcEndpointPolicy,
    /// Words that are not known.
    Unnamed,
}

impl<'a> Denial<'a> {
    /// Takes a failed call's `errorCode` and `errorMessage` apart.
    ///
    /// `None` where the failure is neither a refusal nor about the key's state: throttling, quotas, dry runs,
    /// internal errors, unknown codes. Nothing is guessed from a message that CloudTrail cut off: a resource
    /// that may be incomplete is left out, and cut words name a kind only if no other kind begins like that.
    /// Takes time linear in the message.
    #[must_use]
    pub fn parse(error_code: &str, message: &'a str) -> Option<Self> {
        let message = Message::new(message);
        let code = normal_code(error_code);
        let state = key_state(code, &message);
        if is_throttling(code) || matches!(code, "LimitExceeded" | "DryRunOperation") {
            return None;
        }
        if state.is_none() && !is_refusal(code) && !message.is_ambiguous() {
            return None;
        }
        let refused = message.authorization();
        Some(Denial {
            principal: refused.as_ref().and_then(|refused| refused.principal),
            action: refused.as_ref().and_then(|refused| refused.action),
            key_arn: message.key_arn(refused.as_ref()),
            kind: state.unwrap_or_else(|| message.refusal_kind(refused.as_ref())),
        })
    }
}

/// Whether `code` says that permission was refused.
///
/// With or without `Client.` or `Server.` and `Exception`. The state of a key is no refusal (see
/// [`is_key_state_failure`]), nor is a quota, a throttled call or a dry run.
#[must_use]
pub fn is_refusal(code: &str) -> bool {
    matches!(normal_code(code), "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized")
}

/// Whether `code` says that calls came too fast. A quota of grants or keys (`LimitExceededException`) is
/// something else: waiting does not help there.
#[must_use]
pub fn is_throttling(code: &str) -> bool {
    matches!(
        normal_code(code),
        "Throttling" | "Throttled" | "RequestLimitExceeded" | "RequestThrottled" | "TooManyRequests"
    )
}

/// Whether the call failed for what the key is: disabled, pending deletion or import, not found, of the wrong
/// usage. Failures inside KMS that a retry may pass (`KMSInternalException`, `DependencyTimeoutException`) are
/// not among them.
#[must_use]
pub fn is_key_state_failure(code: &str, message: &str) -> bool {
    key_state(normal_code(code), &Message::new(message)).is_some()
}

/// The code without `Client.`, `Server.` and `Exception`.
fn normal_code(code: &str) -> &str {
    let code = code.trim();
    let code = code.strip_prefix("Client.").or_else(|| code.strip_prefix("Server.")).unwrap_or(code);
    code.strip_suffix("Exception").unwrap_or(code)
}

/// What the failure says of the key's state, if that is what it is about.
fn key_state(code: &str, message: &Message<'_>) -> Option<DenialKind> {
    let says = |words: &str| message.lower.contains(words);
    match code {
        "Disabled" => Some(DenialKind::KeyDisabled),
        "KMSInvalidState" => Some(if says("is disabled") {
            DenialKind::KeyDisabled
        } else if says("is pending deletion") || says("is pending replica deletion") {
            DenialKind::KeyPendingDeletion
        } else {
            DenialKind::KeyUnusable
        }),
        "KeyUnavailable" | "InvalidKeyUsage" => Some(DenialKind::KeyUnusable),
        // A grant that is not found says nothing about its key.
        "NotFound" => (!says("grant") || says("key") || says("alias")).then_some(DenialKind::KeyNotFound),
        "InvalidArn" | "Validation" => says("invalid keyid").then_some(DenialKind::KeyNotFound),
        _ => None,
    }
}

/// Longest `errorMessage` that CloudTrail keeps, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

const NOT_AUTHORIZED: &str = " is not authorized to perform: ";

/// The kinds of policy, as AWS's messages name them.
const POLICY_NAMES: [(&str, ExplicitDenyIn); 7] = [
    ("identity-based polic", ExplicitDenyIn::IdentityPolicy),
    ("resource-based polic", ExplicitDenyIn::ResourcePolicy),
    ("service control polic", ExplicitDenyIn::ServiceControlPolicy),
    ("resource control polic", ExplicitDenyIn::ResourceControlPolicy),
    ("permissions boundar", ExplicitDenyIn::PermissionsBoundary),
    ("session polic", ExplicitDenyIn::SessionPolicy),
    ("vpc endpoint polic", ExplicitDenyIn::VpcEndpointPolicy),
];

/// A message, with a lower-case copy whose byte offsets are the same.
struct Message<'a> {
    text: &'a str,
    lower: String,
    /// Whether the end may be missing.
    is_cut: bool,
}

/// The part `User: PRINCIPAL is not authorized to perform: ACTION…`.
struct Authorization<'a> {
    principal: Option<&'a str>,
    action: Option<&'a str>,
    /// Byte offset behind the action.
    end: usize,
}

impl<'a> Message<'a> {
    fn new(text: &'a str) -> Self {
        let whole = text.trim_end();
        let is_cut = text.len() >= MESSAGE_BYTES_MAX || whole.ends_with("...") || whole.ends_with('…');
        Self { text, lower: text.to_ascii_lowercase(), is_cut }
    }

    /// KMS answers so on purpose, lest a stranger learn which keys exist.
    fn is_ambiguous(&self) -> bool {
        [
            "the ciphertext refers to a",
            "or you are not allowed to access",
            "because the resource does not exist",
        ]
        .iter()
        .any(|words| self.lower.contains(words))
    }

    fn authorization(&self) -> Option<Authorization<'a>> {
        let start = self.lower.find(NOT_AUTHORIZED)?;
        let before = &self.text[..start];
        let principal =
            before.rsplit_once("User: ").map(|(_, principal)| principal.trim()).filter(|text| is_word(text));
        let rest = &self.text[start + NOT_AUTHORIZED.len()..];
        let word = rest.split_ascii_whitespace().next().unwrap_or_default();
        let end = self.text.len() - rest.len() + rest.find(word).unwrap_or(0) + word.len();
        let is_whole = end < self.text.len() || !self.is_cut;
        let action = word.trim_end_matches(is_punctuation);
        let is_action = action
            .split_once(':')
            .is_some_and(|(service, name)| !service.is_empty() && !name.is_empty() && is_word(action));
        Some(Authorization { principal, action: (is_whole && is_action).then_some(action), end })
    }

    /// The first ARN of a key or alias, behind the action if there is one (the principal's ARN is none).
    fn key_arn(&self, refused: Option<&Authorization<'a>>) -> Option<&'a str> {
        let start = refused.map_or(0, |refused| refused.end);
        let delimiter = |letter: char| letter.is_whitespace() || ",'\"`()[]<>{}".contains(letter);
        let mut end = start;
        for word in self.text[start..].split_inclusive(delimiter) {
            end += word.len();
            let word = word.trim_end_matches(delimiter);
            let arn_text = word.trim_end_matches(is_punctuation);
            let Some(arn) = KeyArn::parse(arn_text).filter(is_plain) else {
                continue;
            };
            // With nothing behind it, a key ARN may be the beginning of a longer one.
            let may_be_cut = end == self.text.len()
                && (self.is_cut || arn.key_id().is_some() && arn_text.len() == word.len());
            return (!may_be_cut || arn.key_id().is_some_and(is_whole_key_id)).then_some(arn_text);
        }
        None
    }

    fn refusal_kind(&self, refused: Option<&Authorization<'a>>) -> DenialKind {
        // Names of principals and resources are free text: only what follows them is AWS's.
        let from = refused.map_or(0, |refused| refused.end);
        let tail = &self.lower[from..];
        if self.is_ambiguous() {
            return DenialKind::Ambiguous;
        }
        if let Some((_, rest)) = tail.split_once(" explicit deny") {
            let rest = rest.trim_start();
            let rest = rest.strip_prefix("in an ").or_else(|| rest.strip_prefix("in a ")).unwrap_or("");
            return DenialKind::ExplicitDeny(named_policy(rest).unwrap_or(ExplicitDenyIn::Unnamed));
        }
        let Some(policy) = tail.split_once(" because no ").and_then(|(_, rest)| named_policy(rest)) else {
            return DenialKind::Unspecified;
        };
        match policy {
            ExplicitDenyIn::IdentityPolicy => DenialKind::NoIdentityPolicy,
            ExplicitDenyIn::ResourcePolicy => DenialKind::NoResourcePolicy,
            ExplicitDenyIn::ServiceControlPolicy => DenialKind::NoServiceControlPolicy,
            ExplicitDenyIn::ResourceControlPolicy => DenialKind::NoResourceControlPolicy,
            ExplicitDenyIn::PermissionsBoundary => DenialKind::NoPermissionsBoundary,
            ExplicitDenyIn::SessionPolicy => DenialKind::NoSessionPolicy,
            ExplicitDenyIn::VpcEndpointPolicy => DenialKind::NoVpcEndpointPolicy,
            ExplicitDenyIn::Unnamed => DenialKind::Unspecified,
        }
    }
}

/// The policy that `text` begins with, or that alone can begin with all of `text`.
fn named_policy(text: &str) -> Option<ExplicitDenyIn> {
    let cut = text.trim_end_matches(['.', '…']);
    let mut begins = POLICY_NAMES
        .iter()
        .filter(|(name, _)| text.starts_with(name) || (!cut.is_empty() && name.starts_with(cut)));
    let (_, policy) = begins.next()?;
    begins.next().is_none().then_some(*policy)
}

fn is_punctuation(letter: char) -> bool {
    matches!(letter, '.' | ',' | ';' | ':' | '!' | '…')
}

/// One word of printable ASCII: what names and ARNs consist of.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the ARN has no character that no key or alias has.
fn is_plain(arn: &KeyArn<'_>) -> bool {
    let plain = |text: &str, also: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
    };
    plain(arn.partition, b"-")
        && plain(arn.region, b"-")
        && plain(arn.account_id, b"")
        && plain(arn.resource, b"/_-")
}

/// Whether this has the length and letters of a key id: `8-4-4-4-12` hexadecimal digits, or `mrk-` and 32.
fn is_whole_key_id(key_id: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match key_id.strip_prefix("mrk-") {
        Some(digits) => digits.len() == 32 && hexadecimal(digits),
        None => key_id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && key_id.split('-').all(hexadecimal),
    }
}

#[cfg(test)]
mod tests;
