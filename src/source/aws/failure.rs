//! What AWS refused, and what to do about it: one readable line each.
//!
//! Errors of the SDK come in, an [`AwsError`] goes out that says who refused what and what comes next. Texts of a
//! service are shown as they are, credentials never.

use std::error::Error;
use std::fmt;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Why something in AWS was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The runtime of the requests could not be started.
    #[error("no runtime for requests to AWS: {source}")]
    Runtime {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing in the chain has credentials.
    #[error("{}", without_credentials(profile.as_deref()))]
    NoCredentials {
        /// The profile asked for.
        profile: Option<String>,
    },
    /// There are credentials, but their time is over.
    #[error("the AWS credentials{} have expired ({detail}); {}", of_profile(profile.as_deref()), renewal(profile.as_deref()))]
    Expired {
        /// The profile asked for.
        profile: Option<String>,
        /// What the chain or the service said.
        detail: String,
    },
    /// The role cannot be assumed.
    #[error(
        "the role {role} cannot be assumed: {detail}; does its trust policy name you, and does it want an --external-id?"
    )]
    Role {
        /// The role asked for.
        role: String,
        /// What the service said.
        detail: String,
    },
    /// The chain failed otherwise.
    #[error(
        "the AWS credentials{} cannot be loaded: {detail}{}",
        of_profile(profile.as_deref()),
        login(profile.as_deref(), detail)
    )]
    Credentials {
        /// The profile asked for.
        profile: Option<String>,
        /// What the chain said.
        detail: String,
    },
    /// No answer came.
    #[error(
        "{request}: no answer from AWS: {detail}; is there a network, and are region and endpoint right?"
    )]
    Unreachable {
        /// What was asked.
        request: String,
        /// What was in the way.
        detail: String,
    },
    /// A service refused for want of a permission.
    #[error("{request}: refused by {by} ({code}: {message}); {}", by.advice())]
    Refused {
        /// What was asked.
        request: String,
        /// Who refused.
        by: Refuser,
        /// The service's code.
        code: String,
        /// The service's words.
        message: String,
    },
    /// A service answered with another error.
    #[error("{request}: {code}: {message}{}", advice(code))]
    Service {
        /// What was asked.
        request: String,
        /// The service's code, or the HTTP status where there is none.
        code: String,
        /// The service's words.
        message: String,
    },
}

/// Who refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refuser {
    /// The service that was asked, such as `S3`.
    Service(&'static str),
    /// KMS, which the service asked in turn.
    Kms {
        /// The key, where the message names it.
        key: Option<String>,
    },
}

impl fmt::Display for Refuser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => formatter.write_str(name),
            Self::Kms { key: Some(key) } => write!(formatter, "KMS for the key {key}"),
            Self::Kms { key: None } => formatter.write_str("KMS, which does not name the key"),
        }
    }
}

impl Refuser {
    fn advice(&self) -> &'static str {
        match self {
            Self::Service("S3") => {
                "s3:ListBucket on the bucket and s3:GetObject on its objects are needed, see docs/aws.md"
            }
            Self::Service("CloudTrail") => "cloudtrail:LookupEvents is needed, see docs/aws.md",
            Self::Service(_) => "see docs/aws.md for what is needed",
            Self::Kms { .. } => "kms:Decrypt is needed on the key that encrypts the objects, see docs/aws.md",
        }
    }

    /// KMS, if the message is about a key; else `service`.
    fn of(service: &'static str, code: &str, message: &str) -> Self {
        let is_about_a_key = code.starts_with("KMS.")
            || message.contains("kms:")
            || message.contains(":kms:")
            || message.contains("customer master key")
            || message.contains("KMS key");
        if is_about_a_key { Self::Kms { key: key_arn(message) } } else { Self::Service(service) }
    }
}

impl AwsError {
    /// Of credentials that could not be had.
    pub(super) fn of_credentials(
        error: &CredentialsError,
        profile: Option<&str>,
        role: Option<&str>,
    ) -> Self {
        let profile = profile.map(str::to_owned);
        let detail = innermost(error);
        let is_expired = detail.to_ascii_lowercase().contains("expired");
        // Who assumes a role without credentials of his own lacks those, not the role.
        match (deepest_credentials_error(error), role) {
            (Some(CredentialsError::CredentialsNotLoaded(_)), _) => Self::NoCredentials { profile },
            _ if is_expired => Self::Expired { profile, detail },
            (_, Some(role)) => Self::Role { role: role.to_owned(), detail },
            _ => Self::Credentials { profile, detail },
        }
    }

    /// Of a request to `service`, such as `S3`, that failed. `request` says what was asked of what.
    pub fn of_request<E>(
        service: &'static str,
        request: &str,
        profile: Option<&str>,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let request = request.to_owned();
        if let Some(credentials) = deepest_credentials_error(error) {
            let profile = profile.map(str::to_owned);
            let detail = innermost(credentials);
            return match credentials {
                CredentialsError::CredentialsNotLoaded(_) => Self::NoCredentials { profile },
                _ if detail.to_ascii_lowercase().contains("expired") => Self::Expired { profile, detail },
                _ => Self::Credentials { profile, detail },
            };
        }
        let Some(answer) = error.as_service_error() else {
            return Self::Unreachable { request, detail: innermost(error) };
        };
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let code = answer.code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
        let message = answer.message().unwrap_or("no message").trim_end_matches('.').to_owned();
        match code.as_str() {
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                Self::Expired { profile: profile.map(str::to_owned), detail: message }
            }
            "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "HTTP 403" => {
                Self::Refused { request, by: Refuser::of(service, &code, &message), code, message }
            }
            _ if code.starts_with("KMS.") => {
                Self::Refused { request, by: Refuser::of(service, &code, &message), code, message }
            }
            _ => Self::Service { request, code, message },
        }
    }
}

fn of_profile(profile: Option<&str>) -> String {
    profile.map_or_else(String::new, |profile| format!(" of profile {profile}"))
}

fn without_credentials(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!(
            "profile {profile} gives no AWS credentials; is it in ~/.aws/config or ~/.aws/credentials, and has it keys, \
             a role or SSO?"
        ),
        None => format!("no AWS credentials were found; {WAYS_IN}"),
    }
}

/// What gives credentials.
const WAYS_IN: &str = "name a profile with --profile, log in with `aws sso login`, or set AWS_ACCESS_KEY_ID and \
                       AWS_SECRET_ACCESS_KEY";

/// What comes next where a login is missing.
fn login(profile: Option<&str>, detail: &str) -> String {
    if detail.contains("SSO token") {
        return format!("; {}", renewal(profile));
    }
    match profile {
        // The last that is asked is the instance's metadata service: on other machines it says nothing of use.
        None => format!("; {WAYS_IN}"),
        Some(_) => String::new(),
    }
}

fn renewal(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!("log in, such as with `aws sso login --profile {profile}`"),
        None => "log in, such as with `aws sso login`".to_owned(),
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => "; is the name right, and are these the credentials of the right partition?",
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "; the access key is unknown: was it deleted, is the region opted in, or is a session token missing?"
        }
        "SignatureDoesNotMatch" => "; the secret access key does not belong to the access key",
        "RequestTimeTooSkewed" => "; the clock of this machine is wrong",
        "InvalidObjectState" => {
            "; the object is archived (Glacier) and must be restored before it can be read"
        }
        _ => "",
    }
}

/// The first key ARN in a message.
fn key_arn(message: &str) -> Option<String> {
    let is_of_arn = |letter: char| letter.is_ascii_alphanumeric() || ":/_-".contains(letter);
    message
        .split(|letter: char| !is_of_arn(letter))
        .find(|word| word.starts_with("arn:") && word.split(':').nth(2) == Some("kms"))
        .map(|word| word.trim_end_matches(':').to_owned())
}

/// The cause that says most: the last of the chain.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// The credentials error that lies deepest in a chain: the one that names the cause.
fn deepest_credentials_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CredentialsError> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        found = error.downcast_ref().or(found);
        next = error.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{AwsError, Refuser, key_arn};

    #[test]
    fn a_refusal_of_kms_is_told_from_one_of_s3_and_names_the_key() {
        let key = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
        let message = format!(
            "User: arn:aws:sts::444455556666:assumed-role/reader/me is not authorized to perform: kms:Decrypt on \
             resource: {key} because no resource-based policy allows the kms:Decrypt action"
        );
        assert_eq!(Refuser::of("S3", "AccessDenied", &message), Refuser::Kms { key: Some(key.to_owned()) });
        let disabled = format!("{key} is disabled.");
        assert_eq!(
            Refuser::of("S3", "KMS.DisabledException", &disabled),
            Refuser::Kms { key: Some(key.to_owned()) }
        );
        let hidden = "The ciphertext refers to a customer master key that does not exist, does not exist in this \
                      region, or you are not allowed to access.";
        assert_eq!(Refuser::of("S3", "AccessDenied", hidden), Refuser::Kms { key: None });
        for message in [
            "Access Denied",
            "User: arn:aws:iam::111122223333:user/me is not authorized to perform: s3:GetObject on resource: \
             \"arn:aws:s3:::logs/AWSLogs/x\" because no identity-based policy allows the s3:GetObject action",
        ] {
            assert_eq!(Refuser::of("S3", "AccessDenied", message), Refuser::Service("S3"), "{message}");
        }
    }

    #[test]
    fn a_key_is_found_between_other_words() {
        assert_eq!(
            key_arn("on (arn:aws-cn:kms:cn-north-1:111122223333:alias/logs), sorry").as_deref(),
            Some("arn:aws-cn:kms:cn-north-1:111122223333:alias/logs")
        );
        assert_eq!(key_arn("arn:aws:s3:::kms: and arn: and kms"), None);
    }

    #[test]
    fn every_error_is_one_line_that_says_what_comes_next() {
        let profile = Some("audit".to_owned());
        for (error, says) in [
            (AwsError::NoCredentials { profile: profile.clone() }, vec!["profile audit", "~/.aws/config"]),
            (
                AwsError::Expired { profile, detail: "the token has expired".to_owned() },
                vec!["have expired", "aws sso login --profile audit"],
            ),
            (
                AwsError::Service {
                    request: "listing s3://logs".to_owned(),
                    code: "NoSuchBucket".to_owned(),
                    message: "The specified bucket does not exist".to_owned(),
                },
                vec!["s3://logs", "does not exist", "is the name right"],
            ),
        ] {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            for part in says {
                assert!(text.contains(part), "`{part}` is not in: {text}");
            }
        }
    }
}
