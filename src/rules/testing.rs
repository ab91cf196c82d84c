//! Records as CloudTrail writes them, and a case made from them, for the tests of the rules.
//!
//! [`Log`] writes JSON text, one method per call of AWS; [`Log::case`] parses and correlates it as the command
//! does. One letter names a node: its instance, volume, request and fleet ids are made from it.

use super::finding::Finding;
use super::rule::{Evaluate, Rule, Verdict};
use super::view::{Facts, FleetView};
use crate::correlate::{Case, Evidence, Filter, Question, correlate};
use crate::event::{Coverage, EventParser, Id, Origin, Parsed};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
pub(crate) const OTHER_KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/99999999-8888-7777-6666-555555555555";
pub(crate) const FOREIGN_KEY: &str =
    "arn:aws:kms:us-east-1:444455556666:key/77777777-2222-3333-4444-555555555555";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/KarpenterControllerRole-demo";
pub(crate) const NO_IDENTITY_POLICY: &str = "because no identity-based policy allows the ACTION action";
pub(crate) const NO_RESOURCE_POLICY: &str = "because no resource-based policy allows the ACTION action";
const KARPENTER_AGENT: &str = "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOARCH#amd64 api/ec2#1.215.0 karpenter.sh-1.5.0 m/h";
const FRONT_END: &str = "ec2-frontend-api.amazonaws.com";

/// A role's session; `invoked_by` is the service that acts for it.
pub(crate) fn session(role: &str, name: &str, invoked_by: Option<&str>) -> String {
    let short = role.rsplit('/').next().unwrap_or(role);
    let account = role.split(':').nth(4).unwrap_or(ACCOUNT);
    let invoked = invoked_by.map_or_else(String::new, |service| format!(r#","invokedBy":"{service}""#));
    format!(
        r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLEEXAMPLE012:{name}","arn":"arn:aws:sts::{account}:assumed-role/{short}/{name}","accountId":"{account}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLEEXAMPLE012","arn":"{role}","accountId":"{account}","userName":"{short}"}},"attributes":{{"creationDate":"2026-03-02T08:00:00Z","mfaAuthenticated":"false"}}}}{invoked}}}"#
    )
}

fn karpenter(invoked_by: Option<&str>) -> String {
    session(ROLE, "1768825272022703283", invoked_by)
}

fn person() -> String {
    session("arn:aws:iam::111122223333:role/Admin", "maria", None)
}

/// `10:00:00` on the day of the tests, or a whole time.
pub(crate) fn time(at: &str) -> String {
    if at.len() == 8 { format!("2026-03-02T{at}Z") } else { at.to_owned() }
}

pub(crate) fn instance(letter: &str) -> String {
    format!("i-0{}", letter.repeat(16))
}

pub(crate) fn volume(letter: &str) -> String {
    format!("vol-0{}", letter.repeat(16))
}

pub(crate) fn request(letter: &str) -> String {
    format!("{}-0000-4000-8000-000000000000", letter.repeat(8))
}

fn fleet(letter: &str) -> String {
    format!("fleet-{}-0000-4000-8000-000000000000", letter.repeat(8))
}

fn tags(letter: &str, nodepool: &str) -> String {
    format!(
        r#"{{"key":"karpenter.sh/nodepool","value":"{nodepool}"}},{{"key":"karpenter.k8s.aws/ec2nodeclass","value":"default"}},{{"key":"kubernetes.io/cluster/demo","value":"owned"}},{{"key":"eks:eks-cluster-name","value":"demo"}},{{"key":"aws:ec2:fleet-id","value":"{}"}}"#,
        fleet(letter)
    )
}

/// A key policy with one statement that allows EBS's actions to `principal`.
pub(crate) fn policy_for(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"Admin","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::111122223333:role/Admin"}},"Action":"kms:*","Resource":"*"}},{{"Sid":"KarpenterNodes","Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:CreateGrant","kms:DescribeKey"],"Resource":"*"}}]}}"#
    )
}

/// Records, in the order in which they are written.
#[derive(Default)]
pub(crate) struct Log {
    records: Vec<String>,
    nodepool: Option<String>,
    /// What the coverage is to hold besides the records.
    pub(crate) coverage: Coverage,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Nodepool of the launches that follow.
    pub(crate) fn nodepool(&mut self, name: &str) -> &mut Self {
        self.nodepool = Some(name.to_owned());
        self
    }

    /// Id of the last record.
    pub(crate) fn last_id(&self) -> Id {
        Id::new(&self.event_id(self.records.len()))
    }

    fn event_id(&self, number: usize) -> String {
        format!("{number:08x}-0000-4000-8000-00000000000e")
    }

    /// A record by its changing parts; `rest` is further members, as `"name":value`.
    pub(crate) fn record(
        &mut self,
        at: &str,
        (service, name): (&str, &str),
        identity: &str,
        agent: &str,
        rest: &str,
    ) -> &mut Self {
        self.record_in("us-east-1", at, (service, name), identity, agent, rest)
    }

    pub(crate) fn record_in(
        &mut self,
        region: &str,
        at: &str,
        (service, name): (&str, &str),
        identity: &str,
        agent: &str,
        rest: &str,
    ) -> &mut Self {
        let address = if agent.ends_with(".amazonaws.com") { agent } else { "203.0.113.93" };
        let text = format!(
            r#"{{"eventVersion":"1.10","userIdentity":{identity},"eventTime":"{}","eventSource":"{service}.amazonaws.com","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{address}","userAgent":"{agent}",{rest},"eventID":"{}","eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{ACCOUNT}"}}"#,
            time(at),
            self.event_id(self.records.len() + 1)
        );
        self.records.push(text);
        self
    }

    /// Karpenter's launch template, with mappings as `(device, Ebs members)`.
    pub(crate) fn template_with(&mut self, at: &str, mappings: &[(&str, &str)]) -> &mut Self {
        let mappings: Vec<String> = (1..)
            .zip(mappings)
            .map(|(tag, (device, ebs))| {
                format!(r#"{{"tag":{tag},"DeviceName":"{device}","Ebs":{{{ebs},"VolumeSize":100,"VolumeType":"gp3"}}}}"#)
            })
            .collect();
        self.record(
            at,
            ("ec2", "CreateLaunchTemplate"),
            &karpenter(None),
            KARPENTER_AGENT,
            &format!(
                r#""requestParameters":{{"CreateLaunchTemplateRequest":{{"LaunchTemplateName":"karpenter.k8s.aws/1","LaunchTemplateData":{{"BlockDeviceMapping":[{}],"ImageId":"ami-0aaaaaaaaaaaaaaaa","UserData":"<sensitiveDataRemoved>"}}}}}},"responseElements":{{"CreateLaunchTemplateResponse":{{"launchTemplate":{{"launchTemplateId":"lt-0aaaaaaaaaaaaaaaa","launchTemplateName":"karpenter.k8s.aws/1","latestVersionNumber":1,"defaultVersionNumber":1}}}}}},"requestID":"ee03dd06-9455-4d1a-9cae-08caf65083f3""#,
                mappings.join(",")
            ),
        )
    }

    /// Karpenter's launch template, which names one key for the root device.
    pub(crate) fn template(&mut self, key: &str) -> &mut Self {
        let ebs = format!(r#""Encrypted":true,"KmsKeyId":"{key}""#);
        self.template_with("08:00:00", &[("/dev/xvda", &ebs)])
    }

    /// Karpenter's fleet launches one node.
    pub(crate) fn launch(&mut self, letter: &str, at: &str) -> &mut Self {
        self.launch_as(letter, at, &karpenter(Some("ec2fleet.amazonaws.com")), "on-demand")
    }

    pub(crate) fn launch_spot(&mut self, letter: &str, at: &str) -> &mut Self {
        self.launch_as(letter, at, &karpenter(Some("ec2fleet.amazonaws.com")), "spot")
    }

    /// Karpenter's fleet launches one node from an image whose root is on instance store.
    pub(crate) fn launch_on_instance_store(&mut self, letter: &str, at: &str) -> &mut Self {
        self.launch(letter, at);
        if let Some(record) = self.records.last_mut() {
            *record = record.replace(
                r#""rootDeviceName":"/dev/xvda""#,
                r#""rootDeviceName":"/dev/sda1","rootDeviceType":"instance-store""#,
            );
        }
        self
    }

    pub(crate) fn launch_as(&mut self, letter: &str, at: &str, identity: &str, lifecycle: &str) -> &mut Self {
        let (instance, fleet, request) = (instance(letter), fleet(letter), request(letter));
        let tags = tags(letter, &self.nodepool.clone().unwrap_or_else(|| "default".to_owned()));
        let is_auto_scaling = identity.contains("autoscaling.amazonaws.com");
        let agent = if is_auto_scaling { "autoscaling.amazonaws.com" } else { "ec2fleet.amazonaws.com" };
        let tags = if is_auto_scaling {
            r#"{"key":"aws:autoscaling:groupName","value":"eks-workers-1"},{"key":"eks:cluster-name","value":"demo"}"#.to_owned()
        } else {
            tags
        };
        let lifecycle = if lifecycle == "spot" { r#""instanceLifecycle":"spot","# } else { "" };
        self.record(
            at,
            ("ec2", "RunInstances"),
            identity,
            agent,
            &format!(
                r#""requestParameters":{{"instancesSet":{{"items":[{{"minCount":1,"maxCount":1}}]}},"instanceType":"m6i.xlarge","blockDeviceMapping":{{}},"availabilityZone":"us-east-1a","subnetId":"subnet-050f1b489015b80cd","clientToken":"{fleet}-0","tagSpecificationSet":{{"items":[{{"resourceType":"instance","tags":[{tags}]}}]}},"launchTemplate":{{"launchTemplateId":"lt-0aaaaaaaaaaaaaaaa","version":"1"}}}},"responseElements":{{"requestId":"{request}","instancesSet":{{"items":[{{"instanceId":"{instance}","imageId":"ami-0aaaaaaaaaaaaaaaa","instanceState":{{"code":0,"name":"pending"}},"privateDnsName":"ip-10-0-0-1.ec2.internal","instanceType":"m6i.xlarge",{lifecycle}"placement":{{"availabilityZone":"us-east-1a"}},"rootDeviceName":"/dev/xvda","blockDeviceMapping":{{}},"tagSet":{{"items":[{tags}]}}}}]}}}},"requestID":"{request}""#
            ),
        )
    }

    /// EC2 makes a volume's data key.
    pub(crate) fn data_key(&mut self, letter: &str, at: &str, key: &str) -> &mut Self {
        self.data_key_of(letter, at, &volume(letter), key, key)
    }

    pub(crate) fn data_key_of(
        &mut self,
        letter: &str,
        at: &str,
        volume: &str,
        requested: &str,
        key: &str,
    ) -> &mut Self {
        let account = key.split(':').nth(4).unwrap_or(ACCOUNT);
        self.record(
            at,
            ("kms", "GenerateDataKeyWithoutPlaintext"),
            &karpenter(Some(FRONT_END)),
            FRONT_END,
            &format!(
                r#""requestParameters":{{"encryptionContext":{{"aws:ebs:id":"{volume}"}},"keyId":"{requested}","numberOfBytes":64}},"responseElements":null,"requestID":"{}","readOnly":true,"resources":[{{"accountId":"{account}","type":"AWS::KMS::Key","ARN":"{key}"}}]"#,
                request(letter)
            ),
        )
    }

    /// EC2 takes the grant for the instance.
    pub(crate) fn grant(&mut self, letter: &str, at: &str, key: &str) -> &mut Self {
        self.grant_of(letter, at, &volume(letter), key)
    }

    pub(crate) fn grant_of(&mut self, letter: &str, at: &str, volume: &str, key: &str) -> &mut Self {
        self.record(
            at,
            ("kms", "CreateGrant"),
            &karpenter(Some(FRONT_END)),
            FRONT_END,
            &format!(
                r#""requestParameters":{{"constraints":{{"encryptionContextSubset":{{"aws:ebs:id":"{volume}"}}}},"operations":["Decrypt"],"keyId":"{key}","granteePrincipal":"arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/{}","retiringPrincipal":"ec2.us-east-1.amazonaws.com"}},"responseElements":{{"grantId":"grant-{volume}","keyId":"{key}"}},"requestID":"{}","readOnly":false"#,
                instance(letter),
                request(letter)
            ),
        )
    }

    /// A whole launch: RunInstances, data key, grant; and Karpenter's tags once the node registered.
    pub(crate) fn healthy(&mut self, letter: &str, at: &str, key: &str) -> &mut Self {
        self.launch(letter, at).data_key(letter, at, key).grant(letter, at, key)
    }

    /// KMS refuses permission; `ACTION` in the reason becomes the action.
    pub(crate) fn denied(
        &mut self,
        letter: &str,
        at: &str,
        call: &str,
        key: &str,
        reason: &str,
    ) -> &mut Self {
        self.denied_as(letter, at, (call, &format!("kms:{call}")), key, reason, ROLE)
    }

    pub(crate) fn denied_as(
        &mut self,
        letter: &str,
        at: &str,
        (call, action): (&str, &str),
        key: &str,
        reason: &str,
        role: &str,
    ) -> &mut Self {
        let name = if role == ROLE { "1768825272022703283" } else { "AutoScaling" };
        let short = role.rsplit('/').next().unwrap_or(role);
        let message = format!(
            "User: arn:aws:sts::111122223333:assumed-role/{short}/{name} is not authorized to perform: {action} on resource: {key} {}",
            reason.replace("ACTION", action)
        );
        self.kms_error(letter, at, call, "AccessDenied", message.trim(), role)
    }

    /// KMS fails a call of a launch.
    pub(crate) fn kms_error(
        &mut self,
        letter: &str,
        at: &str,
        call: &str,
        code: &str,
        message: &str,
        role: &str,
    ) -> &mut Self {
        let name = if role == ROLE { "1768825272022703283" } else { "AutoScaling" };
        self.record(
            at,
            ("kms", call),
            &session(role, name, Some(FRONT_END)),
            FRONT_END,
            &format!(
                r#""errorCode":"{code}","errorMessage":"{message}","requestParameters":null,"responseElements":null,"requestID":"{}","readOnly":false"#,
                request(letter)
            ),
        )
    }

    /// Karpenter tags the instance: the node registered.
    pub(crate) fn registered(&mut self, letter: &str, at: &str) -> &mut Self {
        self.record(
            at,
            ("ec2", "CreateTags"),
            &karpenter(None),
            KARPENTER_AGENT,
            &format!(
                r#""requestParameters":{{"resourcesSet":{{"items":[{{"resourceId":"{}"}}]}},"tagSet":{{"items":[{{"key":"Name","value":"ip-10-0-0-1.ec2.internal"}},{{"key":"karpenter.sh/nodeclaim","value":"default-{letter}"}}]}}}},"responseElements":{{"_return":true}},"requestID":"d6828ca3-0d93-4abe-96f2-3cc612c9d8cf""#,
                instance(letter)
            ),
        )
    }

    /// TerminateInstances by Karpenter, of instances in a state.
    pub(crate) fn terminated(&mut self, letters: &[&str], at: &str, previous: &str) -> &mut Self {
        self.terminated_by(letters, at, previous, &karpenter(None), KARPENTER_AGENT)
    }

    pub(crate) fn terminated_by_person(&mut self, letter: &str, at: &str) -> &mut Self {
        let agent = "aws-cli/2.32.3 md/command#ec2.terminate-instances";
        self.terminated_by(&[letter], at, "running", &person(), agent)
    }

    pub(crate) fn terminated_by(
        &mut self,
        letters: &[&str],
        at: &str,
        previous: &str,
        identity: &str,
        agent: &str,
    ) -> &mut Self {
        let asked: Vec<String> =
            letters.iter().map(|letter| format!(r#"{{"instanceId":"{}"}}"#, instance(letter))).collect();
        let states: Vec<String> = letters
            .iter()
            .map(|letter| {
                format!(
                    r#"{{"instanceId":"{}","currentState":{{"code":32,"name":"shutting-down"}},"previousState":{{"code":16,"name":"{previous}"}}}}"#,
                    instance(letter)
                )
            })
            .collect();
        self.record(
            at,
            ("ec2", "TerminateInstances"),
            identity,
            agent,
            &format!(
                r#""requestParameters":{{"instancesSet":{{"items":[{}]}}}},"responseElements":{{"instancesSet":{{"items":[{}]}}}},"requestID":"489d0f1b-598c-4cc0-82fd-37df30fb6b22""#,
                asked.join(","),
                states.join(",")
            ),
        )
    }

    /// EC2 takes spot capacity back.
    pub(crate) fn evicted(&mut self, letter: &str, at: &str) -> &mut Self {
        self.record(
            at,
            ("ec2", "BidEvictedEvent"),
            r#"{"accountId":"111122223333","invokedBy":"ec2.amazonaws.com"}"#,
            "ec2.amazonaws.com",
            &format!(
                r#""requestParameters":null,"responseElements":null,"serviceEventDetails":{{"instanceIdSet":["{}"]}}"#,
                instance(letter)
            ),
        )
    }

    /// A call by a person with Terraform; `rest` is request and response.
    pub(crate) fn by_terraform(&mut self, at: &str, call: (&str, &str), rest: &str) -> &mut Self {
        let agent =
            "APN/1.0 HashiCorp/1.0 Terraform/1.9.5 terraform-provider-aws/5.82.2 aws-sdk-go-v2/1.32.6";
        self.record(at, call, &person(), agent, rest)
    }

    /// PutKeyPolicy with Terraform.
    pub(crate) fn policy(&mut self, at: &str, key: &str, policy: &str) -> &mut Self {
        let quoted = policy.replace('"', "\\\"");
        let rest = format!(
            r#""requestParameters":{{"keyId":"{key}","policyName":"default","policy":"{quoted}","bypassPolicyLockoutSafetyCheck":false}},"responseElements":{{"keyId":"{key}"}},"resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{key}"}}]"#
        );
        self.by_terraform(at, ("kms", "PutKeyPolicy"), &rest)
    }

    /// CreateAlias or UpdateAlias with Terraform.
    pub(crate) fn alias(&mut self, at: &str, call: &str, alias: &str, key: &str) -> &mut Self {
        let rest = format!(
            r#""requestParameters":{{"aliasName":"{alias}","targetKeyId":"{key}"}},"responseElements":null,"resources":[{{"accountId":"111122223333","ARN":"{key}"}},{{"accountId":"111122223333","ARN":"arn:aws:kms:us-east-1:111122223333:{alias}"}}]"#
        );
        self.by_terraform(at, ("kms", call), &rest)
    }

    /// ModifyEbsDefaultKmsKeyId with Terraform.
    pub(crate) fn default_key(&mut self, at: &str, key: &str) -> &mut Self {
        let rest = format!(
            r#""requestParameters":{{"ModifyEbsDefaultKmsKeyIdRequest":{{"KmsKeyId":"{key}"}}}},"responseElements":{{"ModifyEbsDefaultKmsKeyIdResponse":{{"kmsKeyId":"{key}"}}}}"#
        );
        self.by_terraform(at, ("ec2", "ModifyEbsDefaultKmsKeyId"), &rest)
    }

    /// DisableKey, EnableKey and the like, with Terraform.
    pub(crate) fn key_state(&mut self, at: &str, call: &str, key: &str) -> &mut Self {
        let rest = format!(
            r#""requestParameters":{{"keyId":"{key}"}},"responseElements":{{"keyId":"{key}"}},"resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{key}"}}]"#
        );
        self.by_terraform(at, ("kms", call), &rest)
    }

    /// Parses and correlates the records; all launches count.
    pub(crate) fn case(&self) -> Case {
        self.case_for(&Question {
            filter: Filter { all_launches: true, ..Filter::default() },
            ..Question::default()
        })
    }

    /// Parses and correlates the records.
    pub(crate) fn case_for(&self, question: &Question) -> Case {
        let mut parser = EventParser::default();
        let mut coverage = self.coverage.clone();
        let mut events = Vec::new();
        for (record, text) in (0u64..).zip(&self.records) {
            let origin = Origin { object: "log.json".into(), record };
            match parser.parse(text.as_bytes(), origin) {
                Ok(Parsed::Relevant(event)) => {
                    let scope = (event.account_id.clone(), event.region.clone());
                    let is_kms = &*event.source == "kms.amazonaws.com";
                    coverage.scopes.entry(scope).or_default().note(event.time.second(), is_kms);
                    coverage.records.read += 1;
                    coverage.records.selected += 1;
                    events.push(event);
                }
                Ok(Parsed::Irrelevant) => panic!("not relevant: {text}"),
                Err(error) => panic!("{error}: {text}"),
            }
        }
        coverage.objects.read += 1;
        correlate(Evidence::gather(events), coverage, question)
    }
}

/// What a rule says of one node.
pub(crate) fn of_node(rule: &Rule, case: &Case, letter: &str) -> Verdict {
    let Evaluate::Node(evaluate) = rule.evaluate else { panic!("{} looks at no single node", rule.id) };
    let facts = Facts::gather(case);
    let id = instance(letter);
    let node = case.nodes.iter().find(|node| *node.instance_id == *id).expect("the node is in the case");
    evaluate(&facts.node(node))
}

/// What a rule says of one key.
pub(crate) fn of_key(rule: &Rule, case: &Case, key: &str) -> Verdict {
    let Evaluate::Key(evaluate) = rule.evaluate else { panic!("{} looks at no single key", rule.id) };
    let facts = Facts::gather(case);
    let views = facts.keys();
    evaluate(views.iter().find(|view| *view.key.key_arn == *key).expect("the key is in the case"))
}

/// What a rule says of the fleet.
pub(crate) fn of_fleet(rule: &Rule, case: &Case) -> Vec<Verdict> {
    let Evaluate::Fleet(evaluate) = rule.evaluate else { panic!("{} does not look at the fleet", rule.id) };
    evaluate(&FleetView { facts: &Facts::gather(case) })
}

/// The finding of a verdict that must fire, after the checks that every finding must pass.
pub(crate) fn finding(verdict: Verdict) -> Finding {
    let Verdict::Fires(finding) = verdict else { panic!("does not fire: {verdict:?}") };
    assert!(!finding.title.is_empty() && !finding.title.contains('\n'), "{}", finding.title);
    assert!(!finding.explanation.is_empty());
    *finding
}

/// The one finding of a rule about the fleet.
pub(crate) fn only_finding(mut verdicts: Vec<Verdict>) -> Finding {
    verdicts.retain(|verdict| matches!(verdict, Verdict::Fires(_)));
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    finding(verdicts.remove(0))
}

pub(crate) fn is_undetermined(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Undetermined(missing) if !missing.is_empty())
}
