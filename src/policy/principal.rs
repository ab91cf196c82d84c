//! Principals of a policy, and whether they mean a caller.
//!
//! A caller is a role (or user); what a policy names can be that role, one session of it, its account, or
//! everyone. AWS takes no part of a principal's ARN as a wildcard, so neither does this.

use std::fmt;

use super::decide::Request;

/// One principal as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// `*`: everyone, in every account.
    Everyone,
    /// An account: its id, or the ARN of its root. The IAM policies of the account decide further.
    Account(String),
    /// A role, user or session by ARN, or the unique id that AWS shows in place of one since deleted.
    Aws(String),
    /// A service, such as `ec2.amazonaws.com`.
    Service(String),
    /// An identity provider.
    Federated(String),
    /// A canonical user id.
    CanonicalUser(String),
}

/// The principals of a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principals {
    /// `Principal`: these.
    Of(Vec<Principal>),
    /// `NotPrincipal`: everyone but these.
    AllBut(Vec<Principal>),
}

/// How a statement's principals mean a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// By name, or as one of everyone.
    Directly,
    /// As a member of an account.
    ByAccount,
    /// Not at all.
    Not,
    /// The policy cannot say without more facts.
    Unknown(String),
}

impl Principal {
    /// Reads one value under `"AWS"`.
    pub(super) fn aws(text: String) -> Self {
        if text == "*" {
            return Self::Everyone;
        }
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Account(text);
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", _, "iam", "", account, "root"] => Self::Account((*account).to_owned()),
            _ => Self::Aws(text),
        }
    }

    fn means(&self, request: &Request<'_>) -> Means {
        match self {
            Self::Everyone => Means::Directly,
            Self::Account(account) if account == request.principal_account => Means::ByAccount,
            Self::Aws(arn) => arn_means(arn, request),
            Self::Account(_) | Self::Service(_) | Self::Federated(_) | Self::CanonicalUser(_) => Means::Not,
        }
    }
}

fn arn_means(arn: &str, request: &Request<'_>) -> Means {
    if arn == request.principal_arn {
        return Means::Directly;
    }
    let Some(caller) = RoleArn::parse(request.principal_arn) else {
        return Means::Not;
    };
    let Some(named) = RoleArn::parse(arn) else {
        return Means::Not;
    };
    if (named.partition, named.account, named.name) != (caller.partition, caller.account, caller.name) {
        return Means::Not;
    }
    let session = caller.session.or(request.session_name);
    match (named.session, session) {
        // A role's name is unique in its account, and a session's ARN leaves the path out.
        (None, _) if caller.session.is_some() => Means::Directly,
        // The same name under another path is no role of this account.
        (None, _) => Means::Not,
        (Some(named), Some(session)) if named == session => Means::Directly,
        (Some(_), Some(_)) => Means::Not,
        (Some(named), None) => Means::Unknown(format!(
            "the statement names the session {named:?} of the role; the caller's session is not known"
        )),
    }
}

/// A role, by its own ARN or by that of a session.
struct RoleArn<'a> {
    partition: &'a str,
    account: &'a str,
    name: &'a str,
    session: Option<&'a str>,
}

impl<'a> RoleArn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts.as_slice() else {
            return None;
        };
        let (name, session) = match *service {
            "iam" => (resource.strip_prefix("role/")?.rsplit('/').next()?, None),
            "sts" => {
                let (name, session) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
                (name, Some(session))
            }
            _ => return None,
        };
        Some(Self { partition, account, name, session })
    }
}

impl Principals {
    /// How these principals mean the caller of `request`.
    pub(super) fn mean(&self, request: &Request<'_>) -> Means {
        match self {
            Self::Of(principals) => {
                let mut found = Means::Not;
                for principal in principals {
                    found = match (principal.means(request), found) {
                        (Means::Directly, _) => return Means::Directly,
                        (Means::ByAccount, _) | (_, Means::ByAccount) => Means::ByAccount,
                        (Means::Unknown(why), _) | (Means::Not, Means::Unknown(why)) => Means::Unknown(why),
                        (Means::Not, found) => found,
                    };
                }
                found
            }
            Self::AllBut(principals) => all_but(principals, request),
        }
    }

    /// The principals listed, whether they are meant or excepted.
    #[must_use]
    pub fn listed(&self) -> &[Principal] {
        match self {
            Self::Of(principals) | Self::AllBut(principals) => principals,
        }
    }
}

/// AWS excepts a role's session only where the role, the session and the account are all listed, and warns of
/// what happens otherwise: so only a list with all or none of them is decided.
fn all_but(principals: &[Principal], request: &Request<'_>) -> Means {
    let lists = |wanted: &dyn Fn(&Principal) -> bool| principals.iter().any(wanted);
    if lists(&|principal| *principal == Principal::Everyone) {
        return Means::Not;
    }
    let account = lists(&|principal| principal.means(request) == Means::ByAccount);
    let is_role = RoleArn::parse(request.principal_arn).is_some();
    let names = |is_session: bool| {
        principals
            .iter()
            .filter(|principal| {
                matches!(principal, Principal::Aws(arn)
                    if RoleArn::parse(arn).is_some_and(|role| role.session.is_some()) == is_session)
            })
            .map(|principal| principal.means(request))
            .find(|means| *means != Means::Not)
    };
    match (account, names(false), names(true)) {
        (false, None, None) => Means::Directly,
        (true, Some(Means::Directly), Some(Means::Directly)) => Means::Not,
        (true, Some(Means::Directly), None) if !is_role => Means::Not,
        _ => Means::Unknown(
            "NotPrincipal lists only some of the caller's role, session and account".to_owned(),
        ),
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Everyone => return formatter.write_str("everyone"),
            Self::Account(account) => ("account ", account),
            Self::Aws(arn) => ("", arn),
            Self::Service(name) => ("service ", name),
            Self::Federated(name) => ("identity provider ", name),
            Self::CanonicalUser(id) => ("canonical user ", id),
        };
        write!(formatter, "{kind}{}", super::printable(name))
    }
}
