//! Builds records as JSON text and asks the case about them. Nothing here knows how nodes are judged.

use crate::correlate::{Case, Evidence, Filter, Node, Question, correlate};
use crate::event::{Coverage, Event, EventParser, Origin, Parsed, Timestamp};

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const OTHER_ACCOUNT: &str = "444455556666";
pub(super) const REGION: &str = "us-east-1";
/// The key that is configured in most incidents, and two others.
pub(super) const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/aaaaaaaa-1111-4111-8111-111111111111";
pub(super) const OTHER: &str = "arn:aws:kms:us-east-1:111122223333:key/bbbbbbbb-2222-4222-8222-222222222222";
pub(super) const THIRD: &str = "arn:aws:kms:us-east-1:111122223333:key/cccccccc-3333-4333-8333-333333333333";
pub(super) const KEY_ID: &str = "aaaaaaaa-1111-4111-8111-111111111111";
pub(super) const SESSION: &str = "1768825272022703283";
pub(super) const KARPENTER: &str = "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.215.0 karpenter.sh-1.5.0 m/h";
pub(super) const AWS_CLI: &str =
    "aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 os/linux#6.1 md/command#ec2.terminate-instances";
pub(super) const FLEET: &str = "fleet-1fb4718e-e78e-4e3e-0c18-ad80e56dbf97";
const EC2: &str = "ec2-frontend-api.amazonaws.com";

/// 2026-03-02T10:00:00Z.
const START: i64 = 1_772_445_600;

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Record {
    second: i64,
    source: &'static str,
    name: String,
    identity: String,
    agent: String,
    address: String,
    region: String,
    account: String,
    request: String,
    response: String,
    request_id: Option<String>,
    event_id: Option<String>,
    error: Option<(String, String)>,
    resources: Vec<String>,
    more: String,
}

impl Record {
    pub(super) fn new(second: i64, source: &'static str, name: &str) -> Self {
        Self {
            second,
            source,
            name: name.into(),
            identity: session(ACCOUNT, SESSION, None),
            agent: KARPENTER.into(),
            address: "10.0.3.7".into(),
            region: REGION.into(),
            account: ACCOUNT.into(),
            request: "null".into(),
            response: "null".into(),
            request_id: None,
            event_id: None,
            error: None,
            resources: Vec::new(),
            more: String::new(),
        }
    }

    pub(super) fn at(mut self, second: i64) -> Self {
        self.second = second;
        self
    }

    pub(super) fn asks(mut self, request: impl Into<String>) -> Self {
        self.request = request.into();
        self
    }

    pub(super) fn answers(mut self, response: impl Into<String>) -> Self {
        self.response = response.into();
        self
    }

    pub(super) fn id(mut self, request_id: &str) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    pub(super) fn without_id(mut self) -> Self {
        self.request_id = None;
        self
    }

    pub(super) fn event_id(mut self, id: &str) -> Self {
        self.event_id = Some(id.into());
        self
    }

    pub(super) fn by(mut self, identity: impl Into<String>, agent: &str) -> Self {
        self.identity = identity.into();
        self.agent = agent.into();
        self
    }

    pub(super) fn through(self, service: &str) -> Self {
        let identity = session(&self.account.clone(), SESSION, Some(service));
        let mut this = self.by(identity, service);
        this.address = service.into();
        this
    }

    /// In another account and region, by the same role and session name there.
    pub(super) fn in_place(mut self, account: &str, region: &str) -> Self {
        self.identity = self.identity.replace(&self.account, account);
        self.account = account.into();
        self.region = region.into();
        self
    }

    /// In another account's trail, by the same caller.
    pub(super) fn received_by(mut self, account: &str) -> Self {
        self.account = account.into();
        self
    }

    pub(super) fn fails(mut self, code: &str, message: &str) -> Self {
        self.error = Some((code.into(), message.into()));
        self.response = "null".into();
        self
    }

    pub(super) fn resource(mut self, arn: &str) -> Self {
        self.resources.push(arn.into());
        self
    }

    /// Other members, with a comma before each.
    pub(super) fn more(mut self, members: &str) -> Self {
        self.more.push_str(members);
        self
    }

    pub(super) fn text(&self, number: usize) -> String {
        let time = Timestamp::from_second(START + self.second);
        let optional = |name: &str, value: Option<&String>| {
            value.map_or_else(String::new, |value| format!(r#","{name}":"{value}""#))
        };
        let error = self.error.as_ref();
        let resources = if self.resources.is_empty() {
            String::new()
        } else {
            let list: Vec<String> = self
                .resources
                .iter()
                .map(|arn| format!(r#"{{"accountId":"{ACCOUNT}","type":"AWS::KMS::Key","ARN":"{arn}"}}"#))
                .collect();
            format!(r#","resources":[{}]"#, list.join(","))
        };
        let event_id =
            self.event_id.clone().unwrap_or_else(|| format!("00000000-0000-4000-8000-{number:012}"));
        format!(
            r#"{{"eventVersion":"1.11","userIdentity":{},"eventTime":"{time}","eventSource":"{}.amazonaws.com","eventName":"{}","awsRegion":"{}","sourceIPAddress":"{}","userAgent":"{}","requestParameters":{},"responseElements":{}{}{}{}{resources}{},"eventID":"{event_id}","eventType":"AwsApiCall","recipientAccountId":"{}"}}"#,
            self.identity,
            self.source,
            self.name,
            self.region,
            self.address,
            self.agent,
            self.request,
            self.response,
            optional("errorCode", error.map(|error| &error.0)),
            optional("errorMessage", error.map(|error| &error.1)),
            optional("requestID", self.request_id.as_ref()),
            self.more,
            self.account,
        )
    }
}

/// `userIdentity` of a session of Karpenter's role, perhaps used by a service.
pub(super) fn session(account: &str, name: &str, service: Option<&str>) -> String {
    role_session(account, "KarpenterControllerRole-demo", name, service)
}

pub(super) fn role_session(account: &str, role: &str, name: &str, service: Option<&str>) -> String {
    let service = service.map_or_else(String::new, |service| format!(r#","invokedBy":"{service}""#));
    format!(
        r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE:{name}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{name}","accountId":"{account}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},"attributes":{{"mfaAuthenticated":"false"}}}}{service}}}"#
    )
}

pub(super) fn person() -> String {
    format!(
        r#"{{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::{ACCOUNT}:user/anna","accountId":"{ACCOUNT}","userName":"anna"}}"#
    )
}

/// The tags that Karpenter 1.x puts on an instance, as `key` and `value` members in the given spelling.
pub(super) fn tags(key: &str, value: &str) -> String {
    [
        ("karpenter.sh/nodepool", "general"),
        ("karpenter.k8s.aws/ec2nodeclass", "default"),
        ("kubernetes.io/cluster/demo", "owned"),
        ("eks:eks-cluster-name", "demo"),
    ]
    .map(|(name, content)| format!(r#"{{"{key}":"{name}","{value}":"{content}"}}"#))
    .join(",")
}

/// RunInstances of one or more instances by EC2 Fleet for Karpenter.
pub(super) fn launch(second: i64, instances: &[&str], request_id: &str) -> Record {
    launch_with(
        second,
        instances,
        request_id,
        r#""launchTemplate":{"launchTemplateId":"lt-0a","version":"1"},"#,
    )
}

pub(super) fn launch_with(second: i64, instances: &[&str], request_id: &str, members: &str) -> Record {
    let made: Vec<String> = instances
        .iter()
        .map(|id| {
            format!(
                r#"{{"instanceId":"{id}","imageId":"ami-0a","instanceState":{{"code":0,"name":"pending"}},"privateDnsName":"ip-10-0-0-1.ec2.internal","instanceType":"c6i.xlarge","placement":{{"availabilityZone":"us-east-1a"}},"blockDeviceMapping":{{}}}}"#
            )
        })
        .collect();
    Record::new(second, "ec2", "RunInstances")
        .through("ec2fleet.amazonaws.com")
        .id(request_id)
        .asks(format!(
            r#"{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}},"instanceType":"c6i.xlarge","blockDeviceMapping":{{}},"availabilityZone":"us-east-1a","subnetId":"subnet-0a",{members}"tagSpecificationSet":{{"items":[{{"resourceType":"instance","tags":[{}]}}]}}}}"#,
            tags("key", "value")
        ))
        .answers(format!(
            r#"{{"requestId":"{request_id}","reservationId":"r-0a","ownerId":"{ACCOUNT}","instancesSet":{{"items":[{}]}}}}"#,
            made.join(",")
        ))
}

/// CreateFleet by Karpenter; `set` and `errors` are the JSON of `fleetInstanceSet` and `errorSet`.
pub(super) fn fleet(second: i64, set: &str, errors: &str) -> Record {
    Record::new(second, "ec2", "CreateFleet")
        .id("request-of-fleet")
        .asks(format!(
            r#"{{"CreateFleetRequest":{{"Type":"instant","TargetCapacitySpecification":{{"DefaultTargetCapacityType":"on-demand","TotalTargetCapacity":1}},"LaunchTemplateConfigs":{{"LaunchTemplateSpecification":{{"LaunchTemplateName":"karpenter.k8s.aws/1","Version":"$Latest"}},"Overrides":{{"InstanceType":"c6i.xlarge","SubnetId":"subnet-0a","tag":1}},"tag":1}},"TagSpecification":[{{"ResourceType":"instance","tag":1,"Tag":[{}]}}]}}}}"#,
            tags("Key", "Value")
        ))
        .answers(format!(
            r#"{{"CreateFleetResponse":{{"fleetId":"{FLEET}","fleetInstanceSet":{set},"errorSet":{errors},"requestId":"request-of-fleet","xmlns":"http://ec2.amazonaws.com/doc/2016-11-15/"}}}}"#
        ))
}

/// One item of `fleetInstanceSet`.
pub(super) fn fleet_item(ids: &str) -> String {
    format!(
        r#"{{"item":{{"lifecycle":"on-demand","instanceIds":{ids},"instanceType":"c6i.xlarge","launchTemplateAndOverrides":{{"launchTemplateSpecification":{{"launchTemplateId":"lt-0a","version":1}},"overrides":{{"instanceType":"c6i.xlarge"}}}}}}}}"#
    )
}

/// CreateLaunchTemplate by Karpenter with the JSON of `BlockDeviceMapping`.
pub(super) fn template(second: i64, id: &str, mappings: &str) -> Record {
    Record::new(second, "ec2", "CreateLaunchTemplate")
        .id(&format!("template-{id}"))
        .asks(format!(
            r#"{{"CreateLaunchTemplateRequest":{{"LaunchTemplateName":"karpenter.k8s.aws/1","LaunchTemplateData":{{"ImageId":"ami-0a","UserData":"<sensitiveDataRemoved>","BlockDeviceMapping":{mappings}}}}}}}"#
        ))
        .answers(format!(
            r#"{{"CreateLaunchTemplateResponse":{{"launchTemplate":{{"launchTemplateId":"{id}","launchTemplateName":"karpenter.k8s.aws/1","latestVersionNumber":1,"defaultVersionNumber":1}}}}}}"#
        ))
}

/// One block device mapping; an empty key is none.
pub(super) fn mapping(device: &str, key: &str) -> String {
    let key = if key.is_empty() { String::new() } else { format!(r#""KmsKeyId":"{key}","#) };
    format!(r#"{{"tag":1,"DeviceName":"{device}","Ebs":{{"Encrypted":true,{key}"VolumeSize":100}}}}"#)
}

/// The launch template `lt-0a` with one device under `key`, an hour before the launch.
pub(super) fn configured(key: &str) -> Record {
    template(-3600, "lt-0a", &mapping("/dev/xvda", key))
}

fn kms(second: i64, name: &str, request_id: &str) -> Record {
    Record::new(second, "kms", name).through(EC2).id(request_id)
}

pub(super) fn data_key(second: i64, volume: &str, key: &str, request_id: &str) -> Record {
    data_key_of(second, volume, key, key, request_id)
}

/// GenerateDataKeyWithoutPlaintext with the key as `written` in the request.
pub(super) fn data_key_of(second: i64, volume: &str, written: &str, key: &str, request_id: &str) -> Record {
    kms(second, "GenerateDataKeyWithoutPlaintext", request_id)
        .asks(format!(
            r#"{{"numberOfBytes":64,"keyId":"{written}","encryptionContext":{{"aws:ebs:id":"{volume}"}}}}"#
        ))
        .resource(key)
}

pub(super) fn grant(second: i64, volume: &str, instance: &str, key: &str, request_id: &str) -> Record {
    let grantee = format!("arn:aws:sts::{ACCOUNT}:assumed-role/aws:ec2-infrastructure/{instance}");
    grant_to(second, volume, &grantee, key, request_id)
}

pub(super) fn grant_to(second: i64, volume: &str, grantee: &str, key: &str, request_id: &str) -> Record {
    kms(second, "CreateGrant", request_id)
        .asks(format!(
            r#"{{"constraints":{{"encryptionContextSubset":{{"aws:ebs:id":"{volume}"}}}},"retiringPrincipal":"ec2.us-east-1.amazonaws.com","operations":["Decrypt"],"keyId":"{key}","granteePrincipal":"{grantee}"}}"#
        ))
        .answers(format!(r#"{{"grantId":"grant-{volume}","keyId":"{key}"}}"#))
        .resource(key)
}

pub(super) fn infrastructure(instance: &str) -> String {
    format!(
        r#"{{"type":"AssumedRole","principalId":"{ACCOUNT}:aws:ec2-infrastructure:{instance}","arn":"arn:aws:sts::{ACCOUNT}:assumed-role/aws:ec2-infrastructure/{instance}","accountId":"{ACCOUNT}","invokedBy":"AWS Internal","inScopeOf":{{"issuerType":"AWS::EC2::Instance","credentialsIssuedTo":"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{instance}"}}}}"#
    )
}

pub(super) fn decrypt(second: i64, volume: &str, instance: &str, key: &str, request_id: &str) -> Record {
    kms(second, "Decrypt", request_id)
        .by(infrastructure(instance), "AWS Internal")
        .asks(format!(
            r#"{{"encryptionContext":{{"aws:ebs:id":"{volume}"}},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#
        ))
        .resource(key)
}

pub(super) fn re_encrypt(second: i64, volume: &str, from: &str, to: &str, request_id: &str) -> Record {
    kms(second, "ReEncrypt", request_id)
        .asks(format!(
            r#"{{"sourceEncryptionContext":{{"aws:ebs:id":"snap-0a"}},"destinationEncryptionContext":{{"aws:ebs:id":"{volume}"}},"destinationKeyId":"{to}","sourceAAD":"x","destinationAAD":"y"}}"#
        ))
        .resource(from)
        .resource(to)
}

/// The message of a refusal.
pub(super) fn not_authorized(action: &str, key: &str) -> String {
    format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/KarpenterControllerRole-demo/{SESSION} is not authorized to perform: kms:{action} on resource: {key} because no identity-based policy allows the kms:{action} action"
    )
}

/// A refused KMS call: no key, no volume, no resources.
pub(super) fn refused(second: i64, name: &str, key: &str, request_id: &str) -> Record {
    kms(second, name, request_id).fails("AccessDenied", &not_authorized(name, key))
}

/// A failed KMS call.
pub(super) fn failed(second: i64, name: &str, code: &str, message: &str, request_id: &str) -> Record {
    kms(second, name, request_id).fails(code, message)
}

/// All KMS events of a launch that went well, in one request.
pub(super) fn opened(second: i64, volume: &str, instance: &str, key: &str, request_id: &str) -> Vec<Record> {
    vec![
        data_key(second, volume, key, request_id),
        grant(second, volume, instance, key, request_id),
        decrypt(second + 1, volume, instance, key, request_id),
    ]
}

/// Karpenter tags a node that registered.
pub(super) fn registered(second: i64, instance: &str) -> Record {
    Record::new(second, "ec2", "CreateTags").id("request-of-tags").asks(format!(
        r#"{{"resourcesSet":{{"items":[{{"resourceId":"{instance}"}}]}},"tagSet":{{"items":[{{"key":"karpenter.sh/nodeclaim","value":"general-x7k2p"}},{{"key":"Name","value":"ip-10-0-0-1.ec2.internal"}}]}}}}"#
    ))
    .answers(r#"{"requestId":"request-of-tags","_return":true}"#)
}

/// TerminateInstances by Karpenter.
pub(super) fn terminate(second: i64, instance: &str, previous: &str) -> Record {
    let code = match previous {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        _ => 48,
    };
    Record::new(second, "ec2", "TerminateInstances")
        .id("request-of-terminate")
        .asks(format!(r#"{{"instancesSet":{{"items":[{{"instanceId":"{instance}"}}]}}}}"#))
        .answers(format!(
            r#"{{"requestId":"request-of-terminate","instancesSet":{{"items":[{{"instanceId":"{instance}","currentState":{{"code":32,"name":"shutting-down"}},"previousState":{{"code":{code},"name":"{previous}"}}}}]}}}}"#
        ))
}

pub(super) fn evicted(second: i64, instances: &[&str]) -> Record {
    let list: Vec<String> = instances.iter().map(|id| format!(r#""{id}""#)).collect();
    Record::new(second, "ec2", "BidEvictedEvent")
        .by(format!(r#"{{"accountId":"{ACCOUNT}","invokedBy":"ec2.amazonaws.com"}}"#), "ec2.amazonaws.com")
        .more(&format!(r#","serviceEventDetails":{{"instanceIdSet":[{}]}}"#, list.join(",")))
}

/// EC2 removes the network interface of a launch that it gives up.
pub(super) fn cleaned_up(second: i64, request_id: &str) -> Record {
    Record::new(second, "ec2", "DeleteNetworkInterface")
        .through("ec2.amazonaws.com")
        .id(request_id)
        .asks(r#"{"networkInterfaceId":"eni-0a"}"#)
        .answers(r#"{"requestId":"x","_return":true}"#)
}

pub(super) fn attach(second: i64, volume: &str, instance: &str, request_id: &str) -> Record {
    Record::new(second, "ec2", "AttachVolume")
        .by(role_session(ACCOUNT, "ebs-csi", "csi", None), "aws-sdk-go-v2/1.0 ebs-csi")
        .id(request_id)
        .asks(format!(r#"{{"volumeId":"{volume}","instanceId":"{instance}","device":"/dev/xvdaa","deleteOnTermination":false}}"#))
        .answers(format!(r#"{{"requestId":"{request_id}","volumeId":"{volume}","status":"attaching"}}"#))
}

/// Parses the records, with event ids by their place in the list.
pub(super) fn events(records: &[Record]) -> Vec<Box<Event>> {
    let mut parser = EventParser::default();
    let texts = records.iter().enumerate().map(|(number, record)| record.text(number));
    texts
        .enumerate()
        .filter_map(|(number, text)| {
            let origin = Origin { object: "log".into(), record: number as u64 };
            match parser.parse(text.as_bytes(), origin) {
                Ok(Parsed::Relevant(event)) => Some(event),
                Ok(Parsed::Irrelevant) => None,
                Err(error) => panic!("{error}: {text}"),
            }
        })
        .collect()
}

pub(super) fn case_for(records: &[Record], question: &Question) -> Case {
    correlate(Evidence::gather(events(records)), Coverage::default(), question)
}

/// The case as `analyze` asks for it: Karpenter's nodes only, nothing expected by flag.
pub(super) fn case(records: &[Record]) -> Case {
    case_for(records, &Question::default())
}

/// Every node, whoever launched it.
pub(super) fn case_of_all(records: &[Record]) -> Case {
    let filter = Filter { all_launches: true, ..Filter::default() };
    case_for(records, &Question { filter, ..Question::default() })
}

pub(super) fn node<'a>(case: &'a Case, instance: &str) -> &'a Node {
    let found: Vec<&Node> = case.nodes.iter().filter(|node| &*node.instance_id == instance).collect();
    assert_eq!(found.len(), 1, "nodes called {instance}");
    found[0]
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).expect("a name").as_str().expect("a name").to_owned()
}

fn short(arn: &str) -> &str {
    match arn {
        KEY => "KEY",
        OTHER => "OTHER",
        THIRD => "THIRD",
        _ => arn,
    }
}

/// `VERDICT ORIGIN [USED KEYS] END`, with `?` behind an end that is inferred.
pub(super) fn says(case: &Case, instance: &str) -> String {
    let node = node(case, instance);
    let used: Vec<&str> = node.used_keys.iter().map(|key| short(key)).collect();
    let end = node.termination.as_ref().map_or_else(
        || "-".to_owned(),
        |end| {
            let doubt = if word(end.confidence) == "inferred" { "?" } else { "" };
            format!("{}{doubt}", word(end.cause))
        },
    );
    format!("{} {} [{}] {end}", word(node.key_verdict), word(node.key_origin), used.join(","))
}

/// Every volume as `ROLE OUTCOME KEY ID`, in the order of the output.
pub(super) fn volumes(case: &Case, instance: &str) -> Vec<String> {
    node(case, instance)
        .volumes
        .iter()
        .map(|volume| {
            format!(
                "{} {} {} {}",
                volume.role.map_or_else(|| "?".to_owned(), word),
                word(volume.outcome),
                volume.key_arn.as_deref().map_or("?", short),
                volume.volume_id.as_deref().unwrap_or("-")
            )
        })
        .collect()
}

/// Joins lists of records.
pub(super) fn all(lists: &[&[Record]]) -> Vec<Record> {
    lists.concat()
}
