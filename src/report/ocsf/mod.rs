//! The evidence as OCSF 1.5.0 API Activity, one JSON object per line, for data lakes.
//!
//! A case and its findings come in; every CloudTrail event that they cite goes out as one event of class 6003
//! with the profile `cloud`. What keytrail concludes of it stands in `severity_id` and `enrichments`, and where
//! the record was read in `unmapped`. An attribute of which nothing is known is left out, never made up.

mod resources;

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::ser::CompactFormatter;

use super::cited::{Cited, cited};
use super::document::{Tool, contract_name, rules_by_node, write_escaped};
use crate::correlate::{Case, Node, TimelineRole};
use crate::event::{Event, Id, Identity, IdentityKind};
use crate::rules::{Finding, Severity};
use resources::{Account, Resource, resources};

/// Version of the schema that the events follow.
const OCSF_VERSION: &str = "1.5.0";
const CATEGORY_UID: u32 = 6;
const CLASS_UID: u32 = 6003;
/// Nodes that one event is enriched with, before the rest is left to the other outputs.
const ENRICHMENTS_MAX: usize = 50;
/// What the schema calls a text of which nothing is known.
const UNKNOWN: &str = "Unknown";

/// One event of class API Activity.
#[derive(Serialize)]
struct ApiActivity<'a> {
    activity_id: u32,
    activity_name: &'a str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    type_name: String,
    time: i64,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'a str>,
    message: String,
    metadata: Metadata<'a>,
    cloud: Cloud<'a>,
    api: Api<'a>,
    actor: Actor<'a>,
    src_endpoint: Endpoint<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<HttpRequest<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observables: Vec<Observable<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enrichments: Vec<Enrichment<'a>>,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    version: &'static str,
    profiles: [&'static str; 1],
    uid: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<&'a Id>,
    original_time: String,
    product: Product<'a>,
    transformation_info_list: [Transformation<'a>; 1],
}

#[derive(Serialize)]
struct Product<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// What made the OCSF event of the record.
#[derive(Serialize)]
struct Transformation<'a> {
    name: &'a str,
    product: Product<'a>,
}

#[derive(Serialize)]
struct Cloud<'a> {
    provider: &'static str,
    account: Account<'a>,
    region: &'a str,
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'a str,
    service: Service<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Request<'a> {
    uid: &'a Id,
}

#[derive(Serialize)]
struct Response<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    error_message: &'a str,
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<&'a str>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_alt: Option<Cow<'a, str>>,
    type_id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account<'a>>,
}

#[derive(Serialize)]
struct Session<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    issuer: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint<'a> {
    Ip(&'a str),
    SvcName(&'a str),
    Domain(&'a str),
    Name(&'a str),
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    user_agent: &'a str,
}

#[derive(Serialize)]
struct Observable<'a> {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    value: &'a str,
}

/// What keytrail knows of a node that the event is evidence for.
#[derive(Serialize)]
struct Enrichment<'a> {
    name: &'static str,
    value: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    provider: &'a str,
    data: NodeData<'a>,
}

#[derive(Serialize)]
struct NodeData<'a> {
    role: TimelineRole,
    cluster: Option<&'a str>,
    nodepool: Option<&'a str>,
    nodeclass: Option<&'a str>,
    key_verdict: String,
    key_origin: String,
    termination_cause: Option<String>,
    rules: &'a [&'static str],
}

/// What the class has no attribute for.
#[derive(Serialize)]
struct Unmapped<'a> {
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none")]
    shared_event_id: Option<&'a Id>,
    /// Ids of the rules whose findings rest on the event.
    keytrail_rules: Vec<&'static str>,
    keytrail_nodes: usize,
    origin_object: &'a str,
    origin_record: u64,
}

/// Writes one line per cited event, in order of time.
///
/// # Errors
/// When `out` fails.
pub fn write_ocsf(out: &mut dyn Write, case: &Case, findings: &[Finding], tool: Tool<'_>) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let rules = rules_by_node(findings);
    let rules_of = |node: &Node| rules.get(&*node.instance_id).map_or(&[][..], Vec::as_slice);
    for cited in cited(case, findings) {
        let enrichments = cited
            .nodes
            .iter()
            .take(ENRICHMENTS_MAX)
            .map(|(node, reference)| enrichment(node, reference.role, rules_of(node), tool))
            .collect();
        write_escaped(&mut out, &activity(&cited, enrichments, tool), CompactFormatter)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn activity<'a>(cited: &Cited<'a>, enrichments: Vec<Enrichment<'a>>, tool: Tool<'a>) -> ApiActivity<'a> {
    let event = cited.event;
    let (activity_id, activity) = activity_of(&event.name);
    let (severity_id, severity) = severity(cited.severity());
    let error = event.error.as_ref();
    let mut rules: Vec<&'static str> = cited.findings.iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let resources = resources(event);
    ApiActivity {
        activity_id,
        activity_name: if activity_id == OTHER { &event.name } else { activity },
        category_uid: CATEGORY_UID,
        category_name: "Application Activity",
        class_uid: CLASS_UID,
        class_name: "API Activity",
        type_uid: CLASS_UID * 100 + activity_id,
        type_name: format!("API Activity: {activity}"),
        time: event.time.second() * 1_000,
        severity_id,
        severity,
        status_id: if error.is_some() { 2 } else { 1 },
        status: if error.is_some() { "Failure" } else { "Success" },
        status_code: error.map(|error| &*error.code),
        status_detail: error.map(|error| &*error.message).filter(|message| !message.is_empty()),
        message: cited.summary(),
        metadata: Metadata {
            version: OCSF_VERSION,
            profiles: ["cloud"],
            uid: &event.event_id,
            correlation_uid: event.request_id.as_ref(),
            original_time: event.time.to_string(),
            product: Product { name: "CloudTrail", vendor_name: Some("AWS"), version: None },
            transformation_info_list: [Transformation {
                name: "CloudTrail to OCSF",
                product: Product { name: tool.name, vendor_name: None, version: Some(tool.version) },
            }],
        },
        cloud: Cloud { provider: "AWS", account: Account::aws(&event.account_id), region: &event.region },
        api: Api {
            operation: &event.name,
            service: Service { name: &event.source },
            request: event.request_id.as_ref().map(|uid| Request { uid }),
            response: error.map(|error| Response { error: &error.code, error_message: &error.message }),
        },
        actor: actor(&event.identity),
        src_endpoint: endpoint(event),
        http_request: (!event.user_agent.is_empty()).then(|| HttpRequest { user_agent: &event.user_agent }),
        observables: observables(event, &resources),
        resources,
        enrichments,
        unmapped: Unmapped {
            shared_event_id: event.shared_event_id.as_ref(),
            keytrail_rules: rules,
            keytrail_nodes: cited.nodes.len(),
            origin_object: &event.origin.object,
            origin_record: event.origin.record,
        },
    }
}

const OTHER: u32 = 99;

/// What a call does, by its name: `activity_id` and its caption. The calls are those of
/// [`RELEVANCE_TABLE`](crate::event::RELEVANCE_TABLE); reading is what CloudTrail marks as read-only.
fn activity_of(name: &str) -> (u32, &'static str) {
    const VERBS: [(&str, u32, &str); 27] = [
        ("Create", 1, "Create"),
        ("RunInstances", 1, "Create"),
        ("Register", 1, "Create"),
        ("Copy", 1, "Create"),
        ("Import", 1, "Create"),
        ("Describe", 2, "Read"),
        ("Get", 2, "Read"),
        ("List", 2, "Read"),
        ("Lookup", 2, "Read"),
        ("Decrypt", 2, "Read"),
        ("GenerateDataKey", 2, "Read"),
        ("ReEncrypt", 2, "Read"),
        ("Put", 3, "Update"),
        ("Update", 3, "Update"),
        ("Modify", 3, "Update"),
        ("Attach", 3, "Update"),
        ("Associate", 3, "Update"),
        ("Enable", 3, "Update"),
        ("Disable", 3, "Update"),
        ("Reset", 3, "Update"),
        ("Start", 3, "Update"),
        ("Stop", 3, "Update"),
        ("Schedule", 3, "Update"),
        ("Cancel", 3, "Update"),
        ("Terminate", 4, "Delete"),
        ("Delete", 4, "Delete"),
        ("Revoke", 4, "Delete"),
    ];
    if name == "RetireGrant" {
        return (4, "Delete");
    }
    VERBS
        .iter()
        .find(|(verb, ..)| name.starts_with(verb))
        .map_or((OTHER, "Other"), |(_, id, caption)| (*id, *caption))
}

/// How bad the worst finding is that an event decides; an event by itself is for information.
fn severity(worst: Option<Severity>) -> (u32, &'static str) {
    match worst {
        None | Some(Severity::Info) => (1, "Informational"),
        Some(Severity::Low) => (2, "Low"),
        Some(Severity::Medium) => (3, "Medium"),
        Some(Severity::High) => (4, "High"),
        Some(Severity::Critical) => (5, "Critical"),
    }
}

fn actor(identity: &Identity) -> Actor<'_> {
    let (type_id, kind) = match identity.kind {
        IdentityKind::AssumedRole => (3, "AssumedRole"),
        IdentityKind::User => (1, "User"),
        IdentityKind::AwsService => (3, "AWSService"),
        IdentityKind::AwsAccount => (OTHER, "AWSAccount"),
        IdentityKind::Other => (0, UNKNOWN),
    };
    let principal = identity.principal().map_or(UNKNOWN, |principal| &**principal);
    Actor {
        user: User {
            name: super::abbreviate::short_principal(principal),
            uid: identity.arn.as_deref(),
            uid_alt: identity.principal_id(),
            type_id,
            kind,
            account: identity.account_id.as_deref().map(Account::aws),
        },
        session: identity
            .issuer_arn
            .as_deref()
            .map(|issuer| Session { uid: identity.session_name(), issuer }),
        invoked_by: identity.invoked_by.as_deref(),
    }
}

fn endpoint(event: &Event) -> Endpoint<'_> {
    match &*event.source_ip {
        "" => Endpoint::Name(UNKNOWN),
        ip if ip.parse::<IpAddr>().is_ok() => Endpoint::Ip(ip),
        service if service.ends_with(".amazonaws.com") => Endpoint::SvcName(service),
        domain if domain.contains(['.', ':']) => Endpoint::Domain(domain),
        name => Endpoint::Name(name),
    }
}

fn observables<'a>(event: &'a Event, resources: &[Resource<'a>]) -> Vec<Observable<'a>> {
    let mut observables = Vec::new();
    if let Endpoint::Ip(value) = endpoint(event) {
        observables.push(Observable { name: "src_endpoint.ip", kind: "IP Address", type_id: 2, value });
    }
    if !event.user_agent.is_empty() {
        observables.push(Observable {
            name: "http_request.user_agent",
            kind: "HTTP User-Agent",
            type_id: 16,
            value: &event.user_agent,
        });
    }
    if let Some(value) = event.identity.arn.as_deref() {
        observables.push(Observable { name: "actor.user.uid", kind: "User Object: uid", type_id: 31, value });
    }
    observables.extend(resources.iter().map(|resource| Observable {
        name: "resources[].uid",
        kind: "Resource UID",
        type_id: 10,
        value: resource.uid,
    }));
    observables
}

fn enrichment<'a>(
    node: &'a Node,
    role: TimelineRole,
    rules: &'a [&'static str],
    tool: Tool<'a>,
) -> Enrichment<'a> {
    Enrichment {
        name: "resources[].uid",
        value: &node.instance_id,
        kind: "node",
        provider: tool.name,
        data: NodeData {
            role,
            cluster: node.cluster.as_deref(),
            nodepool: node.nodepool.as_deref(),
            nodeclass: node.nodeclass.as_deref(),
            key_verdict: contract_name(node.key_verdict),
            key_origin: contract_name(node.key_origin),
            termination_cause: node.termination.as_ref().map(|end| contract_name(end.cause)),
            rules,
        },
    }
}

#[cfg(test)]
mod tests;
