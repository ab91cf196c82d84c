//! Log files as a busy account with Karpenter writes them, made up from a seed.
//!
//! A share of relevant records and a layout come in, a directory of gzip files comes out, the same bytes
//! every time; it is kept below `target/` and made once. Relevant records come in the chains of real
//! launches, the others are what controllers, logins and pipelines do all day.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How the records are spread over files.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Name of the directory.
    pub name: &'static str,
    /// Files.
    pub files: u32,
    /// Records in each.
    pub records_per_file: u32,
    /// What stands before, between and behind the records.
    frame: [&'static str; 3],
}

const RECORDS_ARRAY: [&str; 3] = ["{\"Records\":[", ",", "]}"];
const JSON_LINES: [&str; 3] = ["", "\n", "\n"];

/// As CloudTrail delivers.
pub const SMALL: Layout = Layout { name: "small", files: 4_000, records_per_file: 250, frame: RECORDS_ARRAY };
/// As collectors write.
pub const BIG: Layout = Layout { name: "big", files: 8, records_per_file: 125_000, frame: RECORDS_ARRAY };
/// One export of everything.
pub const ONE: Layout = Layout { name: "one", files: 1, records_per_file: 1_400_000, frame: RECORDS_ARRAY };

/// The same as lines.
pub const LINES: Layout = Layout { name: "lines", frame: JSON_LINES, ..ONE };

/// The directories of the corpora that a bench's arguments name: by layout (`small`, `big`, `one`, `lines`; the
/// first two if none is named) and by relevant share in percent (`1`, `10`; both if none is named).
pub fn asked_for(arguments: &[String]) -> Vec<PathBuf> {
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let layouts = [SMALL, BIG, ONE, LINES];
    let is_any_layout = !layouts.iter().any(|layout| has(layout.name));
    let is_any_share = !has("1") && !has("10");
    let mut directories = Vec::new();
    for (index, layout) in layouts.into_iter().enumerate() {
        if has(layout.name) || is_any_layout && index < 2 {
            for percent in [1, 10].into_iter().filter(|percent| is_any_share || has(&percent.to_string())) {
                directories.push(directory(layout, percent).expect("a corpus below target/"));
            }
        }
    }
    directories
}

/// The directory of a corpus, made if it is not there. `relevant_percent` of the records are relevant.
fn directory(layout: Layout, relevant_percent: u32) -> io::Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/corpus");
    let directory = target.join(format!("{}-{relevant_percent}", layout.name));
    if directory.is_dir() {
        return Ok(directory);
    }
    let unfinished = target.join(format!("{}-{relevant_percent}.unfinished", layout.name));
    fs::create_dir_all(&unfinished)?;
    let mut writer = RecordWriter::new(relevant_percent);
    for file in 0..layout.files {
        let path = unfinished.join(format!(
            "111122223333_CloudTrail_us-east-1_20260302T{:02}{:02}Z_{file:016x}.json.gz",
            file / 60 % 24,
            file % 60
        ));
        let mut encoder = flate2::write::GzEncoder::new(
            io::BufWriter::new(fs::File::create(path)?),
            flate2::Compression::new(6),
        );
        let [before, between, behind] = layout.frame;
        encoder.write_all(before.as_bytes())?;
        for record in 0..layout.records_per_file {
            if record > 0 {
                encoder.write_all(between.as_bytes())?;
            }
            encoder.write_all(writer.next().as_bytes())?;
        }
        encoder.write_all(behind.as_bytes())?;
        encoder.finish()?.flush()?;
    }
    fs::rename(unfinished, &directory)?;
    Ok(directory)
}

/// The first `count` relevant records of a corpus in which one of ten is, each as its text.
#[allow(dead_code, reason = "not every bench parses records alone")]
pub fn relevant_records(count: usize) -> Vec<String> {
    let mut writer = RecordWriter::new(10);
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        let left = writer.chain.len();
        writer.next();
        // Only relevant records are of a launch.
        if writer.chain.len() != left {
            records.push(writer.text.clone());
        }
    }
    records
}

struct RecordWriter {
    state: u64,
    relevant_percent: u32,
    text: String,
    second: u32,
    /// Records of the launch at hand that are still to be written.
    chain: Vec<String>,
    node: u64,
    session: u64,
}

const ROLES: [&str; 12] = [
    "KarpenterControllerRole-demo",
    "eks-node-role",
    "aws-load-balancer-controller",
    "ebs-csi-controller",
    "external-dns",
    "ci-deploy",
    "OrganizationAccountAccessRole",
    "datadog-integration",
    "cluster-autoscaler",
    "vpc-cni",
    "AWSReservedSSO_ReadOnly_0123456789abcdef",
    "lambda-billing-export",
];

const AGENTS: [&str; 8] = [
    "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.215.0 karpenter.sh-1.5.0 m/h",
    "Boto3/1.36.11 md/Botocore#1.36.11 ua/2.0 os/linux#6.1.127-135.201.amzn2023.x86_64 md/arch#x86_64 lang/python#3.12.8 md/pyimpl#CPython Botocore/1.36.11",
    "aws-sdk-go/1.55.5 (go1.22.7; linux; amd64) amazon-vpc-cni-k8s",
    "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.86.1 aws-sdk-go-v2/1.36.1 ua/2.1 os/linux lang/go#1.23.6",
    "aws-cli/2.24.1 md/awscrt#0.23.8 ua/2.0 os/macos#24.3.0 md/arch#arm64 lang/python#3.12.6 cfg/retry-mode#standard md/prompt#off md/command#ec2.describe-instances",
    "aws-sdk-java/2.30.16 md/io#sync md/http#Apache ua/2.1 os/Linux#6.1.119 lang/java#21.0.6 md/OpenJDK_64-Bit_Server_VM m/D,E",
    "aws-sdk-go-v2/1.32.7 os/linux lang/go#1.22.10 md/GOOS#linux md/GOARCH#arm64 api/elasticloadbalancingv2#1.43.4 elbv2.k8s.aws/v2.11.0",
    "[aws-sdk-js/3.741.0 ua/2.1 os/linux#5.10.233 lang/js md/nodejs#20.18.2 api/secrets-manager#3.741.0]",
];

/// Source, name, request parameters, whether read-only.
const CALLS: [(&str, &str, &str, bool); 16] = [
    (
        "ec2",
        "DescribeInstances",
        r#"{"maxResults":1000,"instancesSet":{},"filterSet":{"items":[{"name":"instance-state-name","valueSet":{"items":[{"value":"running"},{"value":"pending"}]}},{"name":"tag-key","valueSet":{"items":[{"value":"karpenter.sh/nodepool"}]}}]}}"#,
        true,
    ),
    (
        "ec2",
        "DescribeLaunchTemplates",
        r#"{"DescribeLaunchTemplatesRequest":{"Filter":{"tag":1,"Value":{"tag":1,"content":"demo"},"Name":"tag:karpenter.k8s.aws/cluster"}}}"#,
        true,
    ),
    (
        "ec2",
        "DescribeSubnets",
        r#"{"subnetSet":{},"filterSet":{"items":[{"name":"tag:karpenter.sh/discovery","valueSet":{"items":[{"value":"demo"}]}}]}}"#,
        true,
    ),
    (
        "ec2",
        "DescribeSpotPriceHistory",
        r#"{"maxResults":500,"startTime":1772445600000,"instanceTypeSet":{},"productDescriptionSet":{"items":[{"productDescription":"Linux/UNIX"}]}}"#,
        true,
    ),
    ("ec2", "DescribeVolumes", r#"{"volumeSet":{"items":[{"volumeId":"vol-@16"}]},"filterSet":{}}"#, true),
    (
        "sts",
        "AssumeRole",
        r#"{"roleArn":"arn:aws:iam::111122223333:role/ci-deploy","roleSessionName":"session-@16","durationSeconds":3600,"sourceIdentity":"pipeline"}"#,
        true,
    ),
    (
        "sts",
        "AssumeRoleWithWebIdentity",
        r#"{"roleArn":"arn:aws:iam::111122223333:role/ebs-csi-controller","roleSessionName":"177244560@9","durationSeconds":3600}"#,
        true,
    ),
    (
        "kms",
        "Decrypt",
        r#"{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::logs-111122223333/AWSLogs/@16"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
        true,
    ),
    (
        "kms",
        "GenerateDataKey",
        r#"{"keyId":"arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555","encryptionContext":{"SecretARN":"arn:aws:secretsmanager:us-east-1:111122223333:secret:app-@16"},"keySpec":"AES_256"}"#,
        true,
    ),
    (
        "s3",
        "GetBucketAcl",
        r#"{"bucketName":"logs-111122223333","Host":"logs-111122223333.s3.us-east-1.amazonaws.com","acl":""}"#,
        true,
    ),
    (
        "elasticloadbalancing",
        "DescribeTargetHealth",
        r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/k8s-app/@16"}"#,
        true,
    ),
    (
        "logs",
        "CreateLogStream",
        r#"{"logGroupName":"/aws/lambda/billing-export","logStreamName":"2026/03/02/[$LATEST]@32"}"#,
        false,
    ),
    (
        "autoscaling",
        "DescribeAutoScalingGroups",
        r#"{"maxRecords":100,"autoScalingGroupNames":["eks-workers-@9"]}"#,
        true,
    ),
    (
        "ssm",
        "UpdateInstanceInformation",
        r#"{"instanceId":"i-0@16","agentVersion":"3.3.551.0","agentStatus":"Active","platformType":"Linux","platformName":"Bottlerocket","iPAddress":"192.0.2.10","computerName":"ip-192-0-2-10.ec2.internal"}"#,
        false,
    ),
    (
        "ecr",
        "BatchGetImage",
        r#"{"registryId":"111122223333","repositoryName":"app/backend","imageIds":[{"imageTag":"v1.2.@9"}],"acceptedMediaTypes":["application/vnd.oci.image.manifest.v1+json","application/vnd.docker.distribution.manifest.v2+json"]}"#,
        true,
    ),
    (
        "secretsmanager",
        "GetSecretValue",
        r#"{"secretId":"arn:aws:secretsmanager:us-east-1:111122223333:secret:app-@9","versionStage":"AWSCURRENT"}"#,
        true,
    ),
];

const RUN_REQUEST: &str = r#"{"instancesSet":{"items":[{"minCount":1,"maxCount":1}]},"instanceType":"c6i.xlarge","blockDeviceMapping":{},"availabilityZone":"us-east-1a","monitoring":{"enabled":false},"subnetId":"subnet-0aaaaaaaaaaaaaaaa","disableApiTermination":false,"disableApiStop":false,"clientToken":"fleet-@u-0","tagSpecificationSet":{"items":[{"resourceType":"instance","tags":[{"key":"aws:ec2:fleet-id","value":"fleet-@u"},{"key":"karpenter.sh/nodepool","value":"default"},{"key":"karpenter.k8s.aws/ec2nodeclass","value":"default"},{"key":"eks:eks-cluster-name","value":"demo"},{"key":"kubernetes.io/cluster/demo","value":"owned"}]},{"resourceType":"volume","tags":[{"key":"karpenter.sh/nodepool","value":"default"},{"key":"eks:eks-cluster-name","value":"demo"}]}]},"launchTemplate":{"launchTemplateId":"lt-0aaaaaaaaaaaaaaaa","version":"1"}}"#;
const RUN_RESPONSE: &str = r#"{"requestId":"@r","reservationId":"r-0@16","ownerId":"111122223333","groupSet":{},"instancesSet":{"items":[{"instanceId":"@i","imageId":"ami-0aaaaaaaaaaaaaaaa","bootMode":"uefi-preferred","currentInstanceBootMode":"uefi","instanceState":{"code":0,"name":"pending"},"privateDnsName":"ip-192-0-2-20.ec2.internal","amiLaunchIndex":0,"productCodes":{},"instanceType":"c6i.xlarge","launchTime":1772445600000,"placement":{"availabilityZone":"us-east-1a","tenancy":"default"},"monitoring":{"state":"disabled"},"subnetId":"subnet-0aaaaaaaaaaaaaaaa","vpcId":"vpc-0aaaaaaaaaaaaaaaa","privateIpAddress":"192.0.2.20","stateReason":{"code":"pending","message":"pending"},"architecture":"x86_64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda","blockDeviceMapping":{},"virtualizationType":"hvm","hypervisor":"xen","tagSet":{"items":[{"key":"aws:ec2:fleet-id","value":"fleet-@u"},{"key":"karpenter.sh/nodepool","value":"default"},{"key":"karpenter.k8s.aws/ec2nodeclass","value":"default"},{"key":"eks:eks-cluster-name","value":"demo"}]},"clientToken":"fleet-@u-0","ebsOptimized":false,"enaSupport":true,"sriovNetSupport":"simple","metadataOptions":{"state":"pending","httpTokens":"required","httpPutResponseHopLimit":1,"httpEndpoint":"enabled"}}]},"requesterId":"123456789012"}"#;

impl RecordWriter {
    fn new(relevant_percent: u32) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            relevant_percent,
            text: String::new(),
            second: 0,
            chain: Vec::new(),
            node: 0,
            session: 0,
        }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }

    fn next(&mut self) -> &str {
        if self.below(40) == 0 {
            self.second += 1;
        }
        self.text.clear();
        if self.below(100) < u64::from(self.relevant_percent) {
            if self.chain.is_empty() {
                self.launch();
            }
            self.text = self.chain.pop().expect("a launch has records");
        } else {
            let (source, name, request, is_read_only) = CALLS[self.below(CALLS.len() as u64) as usize];
            let role = ROLES[self.below(ROLES.len() as u64) as usize];
            let request = self.fill(request, "", "");
            let id = self.uuid();
            self.text = self.record(source, name, role, None, &request, "null", &id, is_read_only);
        }
        &self.text
    }

    /// The records of one node's launch and end, in the order in which they are written, last first.
    fn launch(&mut self) {
        self.node += 1;
        let node = self.node.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let instance = format!("i-0{node:016x}");
        let volume = format!("vol-0{:016x}", node.rotate_left(17));
        let role = ROLES[0];
        let (run, end) = (self.uuid(), self.uuid());
        let key = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
        let context = format!(r#"{{"aws:ebs:id":"{volume}"}}"#);
        let request = self.fill(RUN_REQUEST, &instance, &run);
        let response = self.fill(RUN_RESPONSE, &instance, &run);
        let mut chain = vec![self.record(
            "ec2",
            "RunInstances",
            role,
            Some("ec2fleet.amazonaws.com"),
            &request,
            &response,
            &run,
            false,
        )];
        let front = Some("ec2-frontend-api.amazonaws.com");
        let data_key = format!(r#"{{"keyId":"{key}","encryptionContext":{context},"numberOfBytes":64}}"#);
        chain.push(self.record(
            "kms",
            "GenerateDataKeyWithoutPlaintext",
            role,
            front,
            &data_key,
            "null",
            &run,
            true,
        ));
        for grantee in [
            format!("arn:aws:sts::111122223333:assumed-role/aws:ec2-infrastructure/{instance}"),
            "ec2.us-east-1.amazonaws.com".to_owned(),
        ] {
            let request = format!(
                r#"{{"constraints":{{"encryptionContextSubset":{context}}},"granteePrincipal":"{grantee}","retiringPrincipal":"ec2.us-east-1.amazonaws.com","keyId":"{key}","operations":["Decrypt"]}}"#
            );
            let response =
                format!(r#"{{"grantId":"{:016x}{:016x}","keyId":"{key}"}}"#, self.random(), self.random());
            chain.push(self.record("kms", "CreateGrant", role, front, &request, &response, &run, false));
        }
        let decrypt =
            format!(r#"{{"encryptionContext":{context},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#);
        chain.push(self.record(
            "kms",
            "Decrypt",
            &format!("aws:ec2-infrastructure/{instance}"),
            Some("AWS Internal"),
            &decrypt,
            "null",
            &run,
            true,
        ));
        let tags = format!(
            r#"{{"resourcesSet":{{"items":[{{"resourceId":"{instance}"}}]}},"tagSet":{{"items":[{{"key":"karpenter.sh/nodeclaim","value":"default-{node:05x}"}},{{"key":"Name","value":"ip-192-0-2-20.ec2.internal"}}]}}}}"#
        );
        let id = self.uuid();
        chain.push(self.record("ec2", "CreateTags", role, None, &tags, r#"{"_return":true}"#, &id, false));
        let request = format!(r#"{{"instancesSet":{{"items":[{{"instanceId":"{instance}"}}]}}}}"#);
        let response = format!(
            r#"{{"requestId":"{end}","instancesSet":{{"items":[{{"instanceId":"{instance}","currentState":{{"code":32,"name":"shutting-down"}},"previousState":{{"code":16,"name":"running"}}}}]}}}}"#
        );
        chain.push(self.record("ec2", "TerminateInstances", role, None, &request, &response, &end, false));
        chain.reverse();
        self.chain = chain;
    }

    /// Replaces `@u` (uuid), `@i` (instance), `@r` (request id) and `@N` (N hexadecimal digits).
    fn fill(&mut self, template: &str, instance: &str, request_id: &str) -> String {
        let mut filled = String::with_capacity(template.len() + 64);
        let fleet = self.uuid();
        let mut pieces = template.split('@');
        filled.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (rest, value) = if let Some(rest) = piece.strip_prefix('u') {
                (rest, fleet.clone())
            } else if let Some(rest) = piece.strip_prefix('i') {
                (rest, instance.to_owned())
            } else if let Some(rest) = piece.strip_prefix('r') {
                (rest, request_id.to_owned())
            } else if let Some(rest) = piece.strip_prefix("16") {
                (rest, format!("{:016x}", self.random()))
            } else if let Some(rest) = piece.strip_prefix("32") {
                (rest, format!("{:016x}{:016x}", self.random(), self.random()))
            } else {
                (piece.trim_start_matches('9'), format!("{:09}", self.below(1_000_000_000)))
            };
            filled.push_str(&value);
            filled.push_str(rest);
        }
        filled
    }

    #[allow(clippy::too_many_arguments, reason = "a record has that many members")]
    fn record(
        &mut self,
        source: &str,
        name: &str,
        role: &str,
        invoked_by: Option<&str>,
        request: &str,
        response: &str,
        request_id: &str,
        is_read_only: bool,
    ) -> String {
        // Some hundred sessions are active at a time and make way for others little by little.
        if self.below(20) == 0 {
            self.session += 1;
        }
        let session_id = (self.session + self.below(400)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let session = if role.contains('/') {
            String::new()
        } else {
            format!("/{}", 1_772_445_600_000_000_000 + session_id % 1_000_000_000_000_000)
        };
        let base = role.split('/').next().unwrap_or(role);
        let (hour, minute, second) = (self.second / 3_600 % 24, self.second / 60 % 60, self.second % 60);
        let event_id = self.uuid();
        let key = format!("ASIAEXAMPLE{:09}", session_id % 1_000_000_000);
        let principal = format!("AROAEXAMPLE{:010}", base.len() * 7_919_777 % 1_000_003);
        let mut text = String::with_capacity(2_048);
        let (name_of_session, created) = (session.trim_start_matches('/'), session_id % 3_600);
        write!(text, r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"{principal}:{name_of_session}","#).expect("text");
        write!(text, r#""arn":"arn:aws:sts::111122223333:assumed-role/{role}{session}","accountId":"111122223333","accessKeyId":"{key}","#).expect("text");
        write!(text, r#""sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{principal}","arn":"arn:aws:iam::111122223333:role/{base}","accountId":"111122223333","userName":"{base}"}},"#).expect("text");
        write!(text, r#""attributes":{{"creationDate":"2026-03-02T{hour:02}:{:02}:{:02}Z","mfaAuthenticated":"false"}}}}"#, created / 60, created % 60).expect("text");
        let agent = match invoked_by {
            Some(service) => {
                write!(text, r#","invokedBy":"{service}""#).expect("text");
                service
            }
            None => AGENTS[(session_id >> 32) as usize % AGENTS.len()],
        };
        let address = match invoked_by {
            Some(service) => service.to_owned(),
            None => format!(
                "{}.{}",
                ["192.0.2", "198.51.100", "203.0.113"][(session_id >> 8) as usize % 3],
                session_id >> 16 & 0xff
            ),
        };
        write!(
            text,
            concat!(
                r#"}},"eventTime":"2026-03-02T{:02}:{:02}:{:02}Z","eventSource":"{}.amazonaws.com","eventName":"{}","awsRegion":"us-east-1","#,
                r#""sourceIPAddress":"{}","userAgent":"{}","requestParameters":{},"responseElements":{},"#,
                r#""requestID":"{}","eventID":"{}","readOnly":{},"#
            ),
            hour, minute, second, source, name, address, agent, request, response, request_id, event_id, is_read_only
        )
        .expect("text");
        if source == "kms" {
            text.push_str(r#""resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"}],"#);
        }
        text.push_str(
            r#""eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","#,
        );
        if source == "kms" && invoked_by.is_some() {
            write!(text, r#""sharedEventID":"{event_id}","vpcEndpointId":"AWS Internal","vpcEndpointAccountId":"AWS Internal","#).expect("text");
        }
        text.push_str(r#""eventCategory":"Management""#);
        if invoked_by.is_none() {
            write!(text, r#","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}.us-east-1.amazonaws.com"}}"#).expect("text");
        }
        text.push('}');
        text
    }
}
