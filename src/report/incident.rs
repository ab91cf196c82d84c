//! Hand-made cases for the tests of the outputs: one as an incident leaves it, one made by an attacker.

use std::sync::Arc;

use crate::correlate::{
    CapacityType, Case, Confidence, DeviceKey, ExpectedKey, KeyOrigin, KeySource, KeyState, KeySummary,
    KeyVerdict, LaunchFailure, LaunchTemplateRef, Node, Provisioner, Termination, TerminationCause,
    TimelineRef, TimelineRole, Volume, VolumeOutcome, VolumeRole,
};
use crate::event::{
    ApiError, Detail, Event, FleetError, FleetLaunch, Id, Identity, IdentityKind, InstanceState,
    KmsOperation, KmsUse, Launch, LaunchedInstance, Loss, LossKind, NodeTags, Origin, Text, Timestamp,
};
use crate::rules::{Document, Finding, Remediation, Severity, Subject, SubjectKind};

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const REGION: &str = "us-east-1";
pub(super) const RIGHT_KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
pub(super) const WRONG_KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/99999999-8888-7777-6666-555555555555";
pub(super) const KARPENTER: &str = "arn:aws:iam::111122223333:role/KarpenterControllerRole-demo";
const SESSION: &str =
    "arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283";

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// The id whose first digits are `number`.
pub(super) fn id(number: u32) -> Id {
    Id::new(&format!("{number:08x}-0000-4000-8000-000000000000"))
}

pub(super) fn event(number: u32, at: &str, name: &str, detail: Detail) -> Event {
    let is_kms =
        matches!(detail, Detail::Kms(_) | Detail::Alias(_) | Detail::Policy(_) | Detail::KeyState(_));
    Event {
        event_id: id(number),
        time: time(at),
        source: if is_kms { "kms.amazonaws.com" } else { "ec2.amazonaws.com" }.into(),
        name: name.into(),
        region: REGION.into(),
        account_id: ACCOUNT.into(),
        request_id: None,
        shared_event_id: None,
        identity: Arc::new(Identity {
            kind: IdentityKind::AssumedRole,
            arn: Some(SESSION.into()),
            account_id: Some(ACCOUNT.into()),
            issuer_arn: Some(KARPENTER.into()),
            ..Identity::default()
        }),
        user_agent: "aws-sdk-go-v2/1.36.3 karpenter.sh-1.5.0".into(),
        source_ip: "192.0.2.10".into(),
        error: None,
        omitted: false,
        amends: None,
        detail,
        origin: Origin { object: "logs/one.json.gz".into(), record: u64::from(number) },
        digest: u64::from(number),
    }
}

pub(super) fn refused(mut event: Event, code: &str, message: &str) -> Event {
    event.error = Some(ApiError { code: code.into(), message: message.into() });
    event
}

pub(super) fn kms(operation: KmsOperation, key: &str, volume: Option<&str>) -> KmsUse {
    KmsUse {
        operation,
        requested_key: None,
        key_arn: Some(key.into()),
        source_key_arn: None,
        volume_id: volume.map(Into::into),
        snapshot_id: None,
        grantee_instance_id: None,
        grantee: None,
        grant_id: None,
    }
}

fn expected(key: &str, number: u32) -> ExpectedKey {
    ExpectedKey {
        written: Some(key.into()),
        key_arn: Some(key.into()),
        source: KeySource::LaunchTemplate,
        evidence: vec![id(number)],
    }
}

pub(super) fn volume(
    volume_id: Option<&str>,
    key: &str,
    origin: KeyOrigin,
    outcome: VolumeOutcome,
) -> Volume {
    Volume {
        volume_id: volume_id.map(Into::into),
        key_arn: Some(key.into()),
        key_origin: origin,
        role: Some(VolumeRole::Launch),
        outcome,
        evidence: vec![id(3)],
        confidence: Confidence::Observed,
    }
}

/// A node as Karpenter launches it, with an expected key and nothing else of its fate.
pub(super) fn node(instance_id: &str, launched_at: &str) -> Node {
    let key = expected(RIGHT_KEY, 1);
    Node {
        instance_id: instance_id.into(),
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        availability_zone: Some("us-east-1a".into()),
        instance_type: Some("c6i.xlarge".into()),
        image_id: Some("ami-0aaaaaaaaaaaaaaaa".into()),
        capacity_type: Some(CapacityType::Spot),
        provisioner: Provisioner::Karpenter,
        karpenter_version: Some("1.5.0".into()),
        cluster: Some("demo".into()),
        nodepool: Some("default".into()),
        nodeclass: Some("encrypted".into()),
        fleet_id: Some("fleet-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee".into()),
        launch_template: Some(LaunchTemplateRef {
            id: "lt-0aaaaaaaaaaaaaaaa".into(),
            version: Some("1".into()),
        }),
        principal_arn: Some(KARPENTER.into()),
        launched_at: Some(time(launched_at)),
        expected_key: Some(key.clone()),
        expected_keys: vec![DeviceKey { device: Some("/dev/xvda".into()), key }],
        ..Node::default()
    }
}

fn events() -> Vec<Box<Event>> {
    let launch = Launch {
        instances: vec![LaunchedInstance { instance_id: "i-0aaaaaaaaaaaaaaaa".into(), ..Default::default() }],
        template_id: Some("lt-0aaaaaaaaaaaaaaaa".into()),
        instance_type: Some("c6i.xlarge".into()),
        availability_zone: Some("us-east-1a".into()),
        ..Launch::default()
    };
    let fleet = FleetLaunch {
        instances: Vec::new(),
        errors: vec![FleetError {
            code: "InsufficientInstanceCapacity".into(),
            message: "none left".into(),
            count: 12,
        }],
        capacity_type: Some("spot".into()),
        ..FleetLaunch::default()
    };
    let events = vec![
        event(2, "2026-03-02T10:00:00Z", "RunInstances", Detail::Launch(Box::new(launch))),
        event(
            3,
            "2026-03-02T10:00:01Z",
            "GenerateDataKeyWithoutPlaintext",
            Detail::Kms(Box::new(kms(
                KmsOperation::GenerateDataKeyWithoutPlaintext,
                RIGHT_KEY,
                Some("vol-0aaaaaaaaaaaaaaaa"),
            ))),
        ),
        refused(
            event(
                4,
                "2026-03-02T10:05:02Z",
                "CreateGrant",
                Detail::Kms(Box::new(kms(KmsOperation::CreateGrant, RIGHT_KEY, None))),
            ),
            "AccessDenied",
            "User: arn:aws:sts::111122223333:assumed-role/KarpenterControllerRole-demo/1768825272022703283 is not \
             authorized to perform: kms:CreateGrant on resource: \
             arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555 because no \
             identity-based policy allows the kms:CreateGrant action",
        ),
        event(
            5,
            "2026-03-02T10:30:00Z",
            "BidEvictedEvent",
            Detail::SpotInterruption(vec!["i-0aaaaaaaaaaaaaaaa".into()]),
        ),
        event(6, "2026-03-02T10:40:00Z", "CreateFleet", Detail::Fleet(Box::new(fleet))),
        event(
            7,
            "2026-03-02T11:00:00Z",
            "TerminateInstances",
            Detail::Termination(vec![InstanceState {
                instance_id: "i-0dddddddddddddddd".into(),
                previous: Some("running".into()),
            }]),
        ),
    ];
    events.into_iter().map(Box::new).collect()
}

fn entry(event: u32, role: TimelineRole) -> TimelineRef {
    TimelineRef { event, role, confidence: Confidence::Observed }
}

fn ended(cause: TerminationCause, at: &str, actor: &str, number: u32) -> Option<Termination> {
    Some(Termination {
        cause,
        at: time(at),
        actor: Some(actor.into()),
        confidence: Confidence::Observed,
        evidence: vec![id(number)],
    })
}

fn nodes() -> Vec<Node> {
    let right = |outcome, volume_id| volume(volume_id, RIGHT_KEY, KeyOrigin::Configured, outcome);
    vec![
        Node {
            node_name: Some("ip-10-0-0-1.ec2.internal".into()),
            nodeclaim: Some("default-x7k2p".into()),
            volumes: vec![right(VolumeOutcome::Used, Some("vol-0aaaaaaaaaaaaaaaa"))],
            used_keys: vec![RIGHT_KEY.into()],
            key_verdict: KeyVerdict::Match,
            key_origin: KeyOrigin::Configured,
            ended_at: Some(time("2026-03-02T10:30:00Z")),
            termination: ended(
                TerminationCause::SpotInterruption,
                "2026-03-02T10:30:00Z",
                "ec2.amazonaws.com",
                5,
            ),
            timeline: vec![
                entry(0, TimelineRole::Launch),
                entry(1, TimelineRole::KeyUse),
                entry(3, TimelineRole::End),
            ],
            ..node("i-0aaaaaaaaaaaaaaaa", "2026-03-02T10:00:00Z")
        },
        Node {
            volumes: vec![volume(
                Some("vol-0bbbbbbbbbbbbbbbb"),
                WRONG_KEY,
                KeyOrigin::AccountDefault,
                VolumeOutcome::Used,
            )],
            used_keys: vec![WRONG_KEY.into()],
            key_verdict: KeyVerdict::Mismatch,
            key_origin: KeyOrigin::AccountDefault,
            ..node("i-0bbbbbbbbbbbbbbbb", "2026-03-02T10:02:00Z")
        },
        Node {
            volumes: vec![right(VolumeOutcome::Denied, None)],
            key_verdict: KeyVerdict::Denied,
            key_origin: KeyOrigin::Configured,
            ended_at: Some(time("2026-03-02T10:05:02Z")),
            termination: ended(TerminationCause::KmsDenied, "2026-03-02T10:05:02Z", KARPENTER, 4),
            timeline: vec![entry(2, TimelineRole::Refusal)],
            ..node("i-0cccccccccccccccc", "2026-03-02T10:05:00Z")
        },
        Node {
            instance_id: "i-0dddddddddddddddd".into(),
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            ended_at: Some(time("2026-03-02T11:00:00Z")),
            termination: ended(TerminationCause::TerminatedByKarpenter, "2026-03-02T11:00:00Z", KARPENTER, 7),
            timeline: vec![entry(5, TimelineRole::End)],
            ..Node::default()
        },
    ]
}

/// Four nodes: one under its key and taken back, one under another key, one refused, one known by its end.
pub(super) fn case() -> Case {
    let mut case = Case { events: events(), nodes: nodes(), ..Case::default() };
    case.launch_failures.push(LaunchFailure {
        at: time("2026-03-02T10:40:00Z"),
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        event_id: id(6),
        event_name: "CreateFleet".into(),
        principal_arn: Some(KARPENTER.into()),
        cluster: Some("demo".into()),
        nodepool: Some("default".into()),
        nodeclass: Some("encrypted".into()),
        error_code: "InsufficientInstanceCapacity".into(),
        error_message: Some("none left".into()),
        count: 12,
        provisioner: Provisioner::Karpenter,
    });
    case.keys.push(KeySummary {
        key_arn: RIGHT_KEY.into(),
        account_id: Some(ACCOUNT.into()),
        region: Some(REGION.into()),
        aliases: vec!["alias/karpenter-ebs".into()],
        nodes: 2,
        volumes: 1,
        denials: 1,
        principals: vec![KARPENTER.into()],
        first_used: Some(time("2026-03-02T10:00:01Z")),
        last_used: Some(time("2026-03-02T10:00:01Z")),
        state: Some(KeyState::Enabled),
    });
    let coverage = &mut case.coverage;
    coverage.objects.read = 12;
    coverage.objects.skipped = 1;
    coverage.objects.failed = 1;
    coverage.records.read = 3210;
    coverage.records.selected = 6;
    coverage.records.passed_over = 3203;
    coverage.records.lost = 1;
    coverage.losses = vec![
        Loss {
            object: "logs/two.json.gz".into(),
            record: None,
            kind: LossKind::TruncatedCompression,
            detail: "the stream ends early at byte 812".into(),
        },
        Loss {
            object: "logs/one.json.gz".into(),
            record: Some(9),
            kind: LossKind::InvalidJson,
            detail: "no JSON at byte 4711".into(),
        },
    ];
    let activity = coverage.scopes.entry((ACCOUNT.into(), REGION.into())).or_default();
    activity.note(time("2026-03-02T09:58:00Z").second(), false);
    activity.note(time("2026-03-02T11:02:30Z").second(), true);
    case
}

pub(super) fn findings() -> Vec<Finding> {
    vec![
        Finding {
            rule: "KT101",
            name: "kms-denied-by-identity-policy",
            severity: Severity::Critical,
            confidence: Confidence::Observed,
            subject: Subject { kind: SubjectKind::Node, id: "i-0cccccccccccccccc".into() },
            title: "KMS refused kms:CreateGrant to KarpenterControllerRole-demo".into(),
            explanation: "Neither the role nor the key policy allows it.".into(),
            evidence: vec![id(4)],
            ruled_out: vec!["an explicit deny: the message names none".into()],
            missing: Vec::new(),
            remediation: Some(Remediation {
                summary: "Allow the role to use the key.".into(),
                target: format!("key policy of {RIGHT_KEY}"),
                documents: vec![Document {
                    format: "iam-json",
                    body: "{\n  \"Effect\": \"Allow\"\n}".into(),
                }],
            }),
        },
        Finding {
            rule: "KT503",
            name: "records-lost",
            severity: Severity::Low,
            confidence: Confidence::Observed,
            subject: Subject { kind: SubjectKind::Archive, id: "archive".into() },
            title: "1 record and 1 object could not be read".into(),
            explanation: "What they held is not known.".into(),
            evidence: Vec::new(),
            ruled_out: Vec::new(),
            missing: vec!["one record".into(), "one object".into()],
            remediation: None,
        },
    ]
}

/// Text that tries to reach a terminal, a spreadsheet and a reader's eye.
pub(super) const HOSTILE: &str =
    "=cmd|'/c calc'!A1\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n\u{202e}kcatta\u{2066}\u{200b}";

/// A case in which every text that a log can set is hostile.
pub(super) fn hostile_case() -> Case {
    let hostile: Text = HOSTILE.into();
    let some = Some(hostile.clone());
    let mut case = case();
    for event in &mut case.events {
        event.user_agent = hostile.clone();
        event.error = Some(ApiError { code: hostile.clone(), message: hostile.clone() });
        event.identity = Arc::new(Identity { arn: some.clone(), ..Identity::default() });
        event.origin.object = hostile.clone();
        event.event_id = Id::new(HOSTILE);
    }
    case.events[5].error = None;
    case.events[5].detail = Detail::Tagging {
        resources: [hostile.clone()].into(),
        tags: Box::new(NodeTags { name: some.clone(), nodeclaim: some.clone(), ..NodeTags::default() }),
    };
    for node in &mut case.nodes {
        node.node_name = some.clone();
        node.nodepool = some.clone();
        node.nodeclass = some.clone();
        node.nodeclaim = some.clone();
        node.cluster = some.clone();
        node.karpenter_version = some.clone();
        node.instance_type = some.clone();
        node.principal_arn = some.clone();
        node.used_keys = vec![hostile.clone(), hostile.clone()];
        if let Some(key) = &mut node.expected_key {
            key.written = some.clone();
            key.key_arn = None;
        }
        if let Some(termination) = &mut node.termination {
            termination.actor = some.clone();
        }
    }
    case.nodes[3].instance_id = hostile.clone();
    case.launch_failures[0].error_code = hostile.clone();
    case.launch_failures[0].error_message = some.clone();
    case.launch_failures[0].nodepool = some;
    for loss in &mut case.coverage.losses {
        loss.object = hostile.clone();
        loss.detail = HOSTILE.into();
    }
    case.coverage.scopes.entry((hostile.clone(), hostile)).or_default().note(0, true);
    case
}

pub(super) fn hostile_findings() -> Vec<Finding> {
    let mut findings = findings();
    for finding in &mut findings {
        finding.subject.id = HOSTILE.into();
        finding.title = HOSTILE.into();
        finding.explanation = HOSTILE.into();
        finding.missing = vec![HOSTILE.into()];
    }
    findings
}
