//! Where to look, when the evidence shows that something went wrong and not what to change.
//!
//! Names and times from the log come in; a [`Remediation`] whose commands read and change nothing goes out. A name
//! with a letter that such a name never has is an error, and no command is written.

use super::super::finding::{Document, Remediation};
use super::quote::shell;
use super::target::{self, Region, TargetError};
use crate::event::Timestamp;

/// How far around a call other calls of its session are looked up, in seconds.
const SESSION_SECONDS: i64 = 900;

/// How long before a silence its cause is looked for, in seconds.
const BEFORE_SILENCE_SECONDS: i64 = 3_600;

/// An instance, and where it ran.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    account_id: &'a str,
    region: Region<'a>,
    id: &'a str,
}

impl<'a> Instance<'a> {
    /// An instance by its id.
    ///
    /// # Errors
    ///
    /// If account, region or id are not what such a name must be.
    pub fn new(account_id: &'a str, region: &'a str, id: &'a str) -> Result<Self, TargetError> {
        Ok(Self {
            account_id: target::checked_account_id(account_id)?,
            region: Region::new(region)?,
            id: target::checked_instance_id(id)?,
        })
    }
}

fn commands(body: String) -> Vec<Document> {
    vec![Document { format: "aws-cli", body }]
}

/// What kept a node from joining its cluster.
///
/// # Errors
///
/// If `cluster` is no name of a cluster.
pub fn look_why_it_never_joined(
    instance: &Instance<'_>,
    cluster: Option<&str>,
) -> Result<Remediation, TargetError> {
    let region = shell(instance.region.name());
    let mut body = format!(
        "# In account {}. EC2 keeps the console output for about an hour after the end.\n\
         aws ec2 get-console-output --region {region} \\\n  --instance-id {} --output text\n",
        instance.account_id,
        shell(instance.id)
    );
    if let Some(cluster) = cluster.map(target::checked_cluster).transpose()? {
        body.push_str(&format!(
            "# Whether the role of the nodes may join, where the cluster uses access entries.\n\
             aws eks list-access-entries --region {region} \\\n  --cluster-name {}\n",
            shell(cluster)
        ));
    }
    Ok(Remediation {
        summary: "Find out what kept the node from joining: its console output, the access entry of its role (or its \
                  line in aws-auth), and security groups and routes to the API server. Why Karpenter gave it up is \
                  in the events of its node claim."
            .to_owned(),
        target: format!("bootstrap of {} and its access to the cluster", instance.id),
        documents: commands(body),
    })
}

/// Why EC2 gave a launch up.
#[must_use]
pub fn look_why_ec2_gave_it_up(instance: &Instance<'_>) -> Remediation {
    let body = format!(
        "# In account {}. EC2 shows an instance for about an hour after its end.\n\
         aws ec2 describe-instances --region {} --instance-ids {} \\\n  \
         --query 'Reservations[].Instances[].[InstanceId,StateTransitionReason,StateReason]'\n",
        instance.account_id,
        shell(instance.region.name()),
        shell(instance.id)
    );
    Remediation {
        summary: "See EC2's own reason while it is shown, or that of the nodepool's next launch: \
                  Client.InvalidKMSKey… and most often Client.InternalError point to the key, \
                  Client.VolumeLimitExceeded to the quota of volumes, Server.InsufficientInstanceCapacity to capacity."
            .to_owned(),
        target: format!("state reason of {}", instance.id),
        documents: commands(body),
    }
}

/// What else a session did around the time of a call. `user_name` is the session's or user's name, as the event
/// history has it.
///
/// # Errors
///
/// If `user_name` is no name of a session or user.
pub fn look_what_else_was_done(
    account_id: &str,
    region: &str,
    user_name: &str,
    at: Timestamp,
) -> Result<Vec<Document>, TargetError> {
    let at = at.second();
    Ok(commands(format!(
        "# In account {}. The event history reaches back 90 days.\n\
         aws cloudtrail lookup-events --region {} \\\n  \
         --lookup-attributes AttributeKey=Username,AttributeValue={} \\\n  \
         --start-time {} --end-time {} \\\n  \
         --query 'Events[].[EventTime,EventName,EventId]' --output text\n",
        target::checked_account_id(account_id)?,
        shell(Region::new(region)?.name()),
        shell(target::checked_user_name(user_name)?),
        Timestamp::from_second(at - SESSION_SECONDS),
        Timestamp::from_second(at + SESSION_SECONDS),
    )))
}

/// Whether records are missing of the time between two seconds, and what may have kept them away.
///
/// # Errors
///
/// If account or region are not what such a name must be.
pub fn look_for_records(
    account_id: &str,
    region: &str,
    (from, to): (i64, i64),
) -> Result<Remediation, TargetError> {
    let account_id = target::checked_account_id(account_id)?;
    let region = Region::new(region)?.name();
    let quoted = shell(region);
    let (begin, end) = (Timestamp::from_second(from), Timestamp::from_second(to));
    let before = Timestamp::from_second(from - BEFORE_SILENCE_SECONDS);
    let body = format!(
        "# In account {account_id}. Whether anything was called meanwhile.\n\
         aws cloudtrail lookup-events --region {quoted} --max-items 20 \\\n  \
         --start-time {begin} --end-time {end} \\\n  \
         --query 'Events[].[EventTime,EventName,Username]' --output text\n\
         # Whether a trail was stopped or changed; ask in the trail's home region too.\n\
         for call in StopLogging UpdateTrail DeleteTrail PutEventSelectors; do\n  \
         aws cloudtrail lookup-events --region {quoted} \\\n    \
         --lookup-attributes AttributeKey=EventName,AttributeValue=\"$call\" \\\n    \
         --start-time {before} --end-time {end} \\\n    \
         --query 'Events[].[EventTime,EventName,Username]' --output text\ndone\n"
    );
    Ok(Remediation {
        summary: "Ask the event history of these hours, which reaches back 90 days and which no trail can switch off \
                  (`keytrail analyze lookup:` reads it). Where it holds events, copy the trail's objects of that time \
                  again, and see whether the trail was stopped."
            .to_owned(),
        target: format!("trail and archive of account {account_id}, region {region}"),
        documents: commands(body),
    })
}
