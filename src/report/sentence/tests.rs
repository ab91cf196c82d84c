use super::sentence;
use crate::correlate::TimelineRole;
use crate::event::{
    AliasChange, BlockDevice, Detail, EbsDefault, Event, EventSelectors, FleetError, FleetInstance,
    FleetLaunch, ImageCopy, InstanceState, KeyStateChange, KmsOperation, KmsUse, Launch, LaunchTemplate,
    LaunchTemplateDefault, LaunchedInstance, NodeTags, PolicyChange, VolumeChange,
};
use crate::report::incident::{self, RIGHT_KEY, WRONG_KEY};

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaaa";
const VOLUME: &str = "vol-0aaaaaaaaaaaaaaaa";

fn event(name: &str, detail: Detail) -> Event {
    incident::event(1, "2026-03-02T10:00:00Z", name, detail)
}

fn said(event: &Event, role: TimelineRole) -> String {
    sentence(event, role, &incident::node(INSTANCE, "2026-03-02T10:00:00Z"))
}

fn says(name: &str, detail: Detail) -> String {
    said(&event(name, detail), TimelineRole::Configuration)
}

fn kms(name: &str, operation: KmsOperation, change: impl FnOnce(&mut KmsUse)) -> Event {
    let mut kms = incident::kms(operation, RIGHT_KEY, Some(VOLUME));
    change(&mut kms);
    event(name, Detail::Kms(Box::new(kms)))
}

#[test]
fn launches() {
    let instance = |instance_id: &str| LaunchedInstance {
        instance_id: instance_id.into(),
        instance_type: Some("m6g.large".into()),
        availability_zone: Some("us-east-1b".into()),
        ..LaunchedInstance::default()
    };
    let mut launch = Launch {
        instances: vec![instance("i-0bbbbbbbbbbbbbbbb"), instance(INSTANCE)],
        template_id: Some("lt-0aaaaaaaaaaaaaaaa".into()),
        is_spot: true,
        ..Launch::default()
    };
    assert_eq!(
        says("RunInstances", Detail::Launch(Box::new(launch.clone()))),
        "EC2 spot made the instance, one of 2 (m6g.large, us-east-1b) from launch template lt-0aaaaaaa… for \
         KarpenterControllerRole-demo"
    );
    launch.instances.clear();
    let failed = event("RunInstances", Detail::Launch(Box::new(launch)));
    assert_eq!(
        said(&incident::refused(failed, "Client.VcpuLimitExceeded", ""), TimelineRole::Launch),
        "RunInstances by KarpenterControllerRole-demo failed with Client.VcpuLimitExceeded"
    );
    let fleet = FleetLaunch {
        instances: vec![FleetInstance::default()],
        errors: ["A", "B", "C", "D"]
            .map(|code| FleetError { code: code.into(), message: "".into(), count: 2 })
            .to_vec(),
        capacity_type: Some("on-demand".into()),
        ..FleetLaunch::default()
    };
    assert_eq!(
        says("CreateFleet", Detail::Fleet(Box::new(fleet))),
        "KarpenterControllerRole-demo asked a fleet for capacity: 1 on-demand instance made, errors: A ×2, B ×2, \
         C ×2 and 1 more"
    );
}

#[test]
fn launch_templates() {
    let mut template = LaunchTemplate {
        template_id: Some("lt-0aaaaaaaaaaaaaaaa".into()),
        name: Some("karpenter.k8s.aws/1234567890123456789".into()),
        version: Some(1),
        ..LaunchTemplate::default()
    };
    let says = |template: &LaunchTemplate| {
        says("CreateLaunchTemplate", Detail::LaunchTemplate(Box::new(template.clone())))
    };
    let start =
        "KarpenterControllerRole-demo made launch template karpenter.k8s.aws/1234567890123456789 version 1, ";
    assert_eq!(says(&template), format!("{start}which shows no block devices"));
    let device = BlockDevice { device: Some("/dev/xvda".into()), is_ebs: true, ..BlockDevice::default() };
    template.mappings = Some(vec![device.clone()]);
    assert_eq!(says(&template), format!("{start}which names no key"));
    template.mappings = Some(vec![BlockDevice { kms_key: Some("alias/ebs".into()), ..device }]);
    assert_eq!(says(&template), format!("{start}which names key alias/ebs for /dev/xvda"));
    assert_eq!(
        self::says(
            "ModifyLaunchTemplate",
            Detail::LaunchTemplateDefault(Box::new(LaunchTemplateDefault {
                template_id: None,
                name: Some("web".into()),
                default_version: Some(3)
            }))
        ),
        "KarpenterControllerRole-demo made version 3 the default of launch template web"
    );
}

#[test]
fn key_use_and_grants() {
    for (name, operation, text) in [
        (
            "GenerateDataKeyWithoutPlaintext",
            KmsOperation::GenerateDataKeyWithoutPlaintext,
            "KMS made a data key for volume vol-0aaaaaaa… under key 11111111…",
        ),
        (
            "Decrypt",
            KmsOperation::Decrypt,
            "Volume vol-0aaaaaaa… was opened with key 11111111… by KarpenterControllerRole-demo",
        ),
        (
            "RetireGrant",
            KmsOperation::RetireGrant,
            "A grant on key 11111111… was retired by KarpenterControllerRole-demo",
        ),
        (
            "RevokeGrant",
            KmsOperation::RevokeGrant,
            "A grant on key 11111111… was revoked by KarpenterControllerRole-demo",
        ),
        (
            "DescribeKey",
            KmsOperation::DescribeKey,
            "KarpenterControllerRole-demo called DescribeKey on key 11111111…",
        ),
    ] {
        assert_eq!(said(&kms(name, operation, |_| {}), TimelineRole::KeyUse), text);
    }
    let to_instance =
        kms("CreateGrant", KmsOperation::CreateGrant, |kms| kms.grantee_instance_id = Some(INSTANCE.into()));
    assert_eq!(
        said(&to_instance, TimelineRole::Grant),
        "KMS granted instance i-0aaaaaaa… the use of key 11111111… for volume vol-0aaaaaaa…"
    );
    let to_service = kms("CreateGrant", KmsOperation::CreateGrant, |kms| {
        kms.grantee = Some("ec2.us-east-1.amazonaws.com".into());
        kms.volume_id = None;
    });
    assert_eq!(
        said(&to_service, TimelineRole::Grant),
        "KMS granted ec2.us-east-1.amazonaws.com the use of key 11111111… for volume (not logged)"
    );
    let from_snapshot = kms("ReEncrypt", KmsOperation::ReEncrypt, |kms| {
        kms.source_key_arn = Some(WRONG_KEY.into());
        kms.snapshot_id = Some("snap-0aaaaaaaaaaaaaaaa".into());
    });
    assert_eq!(
        said(&from_snapshot, TimelineRole::KeyUse),
        "KMS re-encrypted the data key of snapshot snap-0aaaaaaa… from key 99999999… for volume vol-0aaaaaaa… \
         under key 11111111…"
    );
}

#[test]
fn refusals_say_why_in_the_words_of_the_message() {
    let refused = |code: &str, message: &str, role| {
        let event = kms("CreateGrant", KmsOperation::CreateGrant, |kms| kms.volume_id = None);
        said(&incident::refused(event, code, message), role)
    };
    let start = "KMS refused CreateGrant on key 11111111… to KarpenterControllerRole-demo: ";
    assert_eq!(
        refused(
            "AccessDenied",
            "User: x is not authorized to perform: kms:CreateGrant on resource: y with an explicit deny in a \
             service control policy",
            TimelineRole::Refusal
        ),
        format!("{start}with an explicit deny in a service control policy")
    );
    assert_eq!(
        refused("DisabledException", "arn:… is disabled", TimelineRole::Refusal),
        format!("{start}DisabledException")
    );
    let long = refused("AccessDenied", &format!("x because {}", "a".repeat(1000)), TimelineRole::Refusal);
    assert_eq!(long, format!("{start}{}…", "a".repeat(80)));
    assert_eq!(
        refused("ThrottlingException", "Rate exceeded", TimelineRole::Throttled),
        "KMS throttled CreateGrant on key 11111111… by KarpenterControllerRole-demo"
    );
}

#[test]
fn ends_and_other_states_of_the_instance() {
    let states = |others: usize| {
        let mut states =
            vec![InstanceState { instance_id: INSTANCE.into(), previous: Some("running".into()) }];
        states.extend((0..others).map(|_| InstanceState::default()));
        states
    };
    let by = "KarpenterControllerRole-demo";
    for (text, said) in [
        (
            says("TerminateInstances", Detail::Termination(states(0))),
            "terminated the instance, which was running",
        ),
        (
            says("TerminateInstances", Detail::Termination(states(4))),
            "terminated the instance, one of 5, which was running",
        ),
        (says("StopInstances", Detail::Stop(Vec::new())), "stopped the instance"),
        (says("StartInstances", Detail::Start(Vec::new())), "started the instance"),
        (
            says("TerminateInstanceInAutoScalingGroup", Detail::AutoScalingTermination { instance_id: None }),
            "terminated the instance in its Auto Scaling group",
        ),
    ] {
        assert_eq!(text, format!("{by} {said}"));
    }
    assert_eq!(
        says("BidEvictedEvent", Detail::SpotInterruption(Vec::new())),
        "EC2 took the spot capacity back"
    );
    assert_eq!(
        says(
            "DeleteNetworkInterface",
            Detail::NetworkInterfaceDeletion { network_interface_id: Some("eni-0aaaaaaaaaaaaaaaa".into()) }
        ),
        "EC2 deleted network interface eni-0aaaaaaa… as KarpenterControllerRole-demo"
    );
    let failed = event("TerminateInstances", Detail::Termination(states(0)));
    assert_eq!(
        said(&incident::refused(failed, "Client.UnauthorizedOperation", ""), TimelineRole::EndAttempt),
        "TerminateInstances by KarpenterControllerRole-demo failed with Client.UnauthorizedOperation"
    );
}

#[test]
fn configuration_and_tags() {
    let key = Some(RIGHT_KEY.into());
    let tags = |name: Option<&str>, claim: Option<&str>| Detail::Tagging {
        resources: Box::default(),
        tags: Box::new(NodeTags {
            name: name.map(Into::into),
            nodeclaim: claim.map(Into::into),
            ..NodeTags::default()
        }),
    };
    let selectors = |excludes_kms, write_only| {
        Detail::Selectors(EventSelectors {
            trail: Some("arn:aws:cloudtrail:us-east-1:111122223333:trail/main".into()),
            excludes_kms,
            write_only,
            no_management_events: false,
        })
    };
    let alias =
        |target, is_deletion| Detail::Alias(AliasChange { alias: "alias/ebs".into(), target, is_deletion });
    let policy = |is_creation| {
        Detail::Policy(Box::new(PolicyChange {
            key: key.clone(),
            policy: None,
            is_creation,
            description: None,
        }))
    };
    let state = |deletion_date: Option<&str>| {
        Detail::KeyState(Box::new(KeyStateChange {
            key: key.clone(),
            state: "pending-deletion",
            deletion_date: deletion_date.map(Into::into),
        }))
    };
    let copy = ImageCopy {
        image_id: Some("ami-0bbbbbbbbbbbbbbbb".into()),
        source_image_id: Some("ami-0aaaaaaaaaaaaaaaa".into()),
        kms_key: key.clone(),
        ..ImageCopy::default()
    };
    let volume_id = Some(VOLUME.into());
    for (detail, said) in [
        (
            tags(Some("ip-10-0-0-1"), Some("default-x")),
            "tagged the instance as node ip-10-0-0-1 of NodeClaim default-x",
        ),
        (tags(Some("ip-10-0-0-1"), None), "tagged the instance as node ip-10-0-0-1"),
        (tags(None, Some("default-x")), "tagged the instance with NodeClaim default-x"),
        (tags(None, None), "tagged the instance"),
        (Detail::EbsDefault(EbsDefault::Encryption(true)), "switched EBS encryption by default on"),
        (Detail::EbsDefault(EbsDefault::Encryption(false)), "switched EBS encryption by default off"),
        (Detail::EbsDefault(EbsDefault::Key(key.clone())), "made key 11111111… the default for EBS"),
        (Detail::EbsDefault(EbsDefault::Reset(None)), "reset the default key for EBS to the AWS managed key"),
        (
            Detail::ImageCopy(Box::new(copy)),
            "made ami-0bbbbbbb… from ami-0aaaaaaa… under key 11111111… (EventName)",
        ),
        (
            Detail::Volume(VolumeChange::Created {
                volume_id: volume_id.clone(),
                kms_key: key.clone(),
                snapshot_id: None,
            }),
            "made volume vol-0aaaaaaa… under key 11111111…",
        ),
        (
            Detail::Volume(VolumeChange::Attached { volume_id, instance_id: Some(INSTANCE.into()) }),
            "attached volume vol-0aaaaaaa… to instance i-0aaaaaaa…",
        ),
        (
            Detail::Volume(VolumeChange::FromSharedSnapshot { snapshot_id: None }),
            "made a volume from shared snapshot (not logged)",
        ),
        (policy(true), "made key 11111111…"),
        (policy(false), "replaced the policy of key 11111111…"),
        (alias(key.clone(), false), "pointed alias/ebs to key 11111111…"),
        (alias(None, true), "deleted alias/ebs"),
        (state(Some("2026-04-01")), "made key 11111111… pending-deletion for 2026-04-01"),
        (state(None), "made key 11111111… pending-deletion"),
        (
            Detail::ClusterSecrets { cluster: Some("demo".into()), key: key.clone() },
            "set key 11111111… for the secrets of cluster demo",
        ),
        (selectors(true, true), "told trail main to leave out KMS events and read-only events"),
        (selectors(false, false), "let trail main record all management events"),
    ] {
        assert_eq!(says("EventName", detail), format!("KarpenterControllerRole-demo {said}"));
    }
}

#[test]
fn long_texts_of_a_log_are_cut() {
    let long = "x".repeat(100_000);
    let tags = NodeTags { name: Some(long.as_str().into()), ..NodeTags::default() };
    let tagging = event("CreateTags", Detail::Tagging { resources: Box::default(), tags: Box::new(tags) });
    assert!(said(&tagging, TimelineRole::Registration).len() < 200);
    let failing = incident::refused(tagging, &long, &long);
    assert!(said(&failing, TimelineRole::Registration).len() < 300);
}
