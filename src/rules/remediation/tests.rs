use std::io::Write;
use std::process::{Command, Stdio};

use iam_rs::{Arn, Context, Decision as OracleDecision, IAMPolicy, IAMRequest, PrincipalId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Decision, EBS_ACTIONS, Policy, Request, decide, decide_launch, ec2_endpoint};

const ROLE: &str = "arn:aws:iam::111122223333:role/karpenter/KarpenterControllerRole-demo";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555";
const FOREIGN_KEY: &str = "arn:aws:kms:eu-west-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab";
const SERVICE_LINKED: &str =
    "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";

/// Every remedy for the target, with every document.
fn every_remedy(target: &Target<'_>) -> Vec<Remediation> {
    let key = &target.key;
    let node_class = NodeClass::new(Some("default"), ["/dev/xvda", "/dev/xvdb"]);
    vec![
        allow_in_key_policy(target),
        allow_in_role_policy(target),
        allow_across_accounts(target),
        allow_service_linked_role(target),
        enable_key(key),
        cancel_key_deletion(key),
        name_key_in_node_class(key, &node_class),
        name_key_in_node_class(key, &NodeClass::default()),
        use_dedicated_key(&target.role, key.region(), Some("demo"), &node_class),
        make_account_default(key),
        repoint_alias(key, "alias/team/ebs").unwrap(),
        copy_image(key, "ami-0123456789abcdef0").unwrap(),
    ]
}

fn targets() -> Vec<Target<'static>> {
    [
        (ROLE, KEY),
        (ROLE, FOREIGN_KEY),
        (SERVICE_LINKED, KEY),
        (SERVICE_LINKED, FOREIGN_KEY),
        ("arn:aws:iam::111122223333:user/launcher+test=1,@x", KEY),
        (
            "arn:aws-cn:iam::111122223333:role/karpenter",
            "arn:aws-cn:kms:cn-north-1:111122223333:key/11111111-2222-3333-4444-555555555555",
        ),
        (
            "arn:aws-us-gov:iam::111122223333:role/karpenter",
            "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/11111111-2222-3333-4444-555555555555",
        ),
    ]
    .into_iter()
    .map(|(role, key)| Target::new(role, key).unwrap())
    .collect()
}

/// Feeds `script` to `sh` with these arguments; what it printed, if it succeeded.
fn sh(arguments: &[&str], script: &str) -> Result<String, String> {
    let mut child = Command::new("sh")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh runs");
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("sh reads");
    let output = child.wait_with_output().expect("sh ends");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Runs a document with `aws` and `jq` replaced by functions that print their arguments, one a line.
fn arguments(document: &Document) -> Vec<String> {
    let script = format!(
        "aws() {{ printf '%s\\n' aws \"$@\"; }}\njq() {{ printf '%s\\n' jq \"$@\"; }}\n{}",
        document.body
    );
    let script = script.replace(" > key-policy.json", "").replace(" > key-policy-new.json", "");
    sh(&[], &script).expect("the script runs").lines().map(str::to_owned).collect()
}

/// The document parsed in its own language.
fn assert_well_formed(document: &Document) {
    let body = &document.body;
    match document.format {
        "iam-json" => {
            serde_json::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        "yaml" => {
            serde_saphyr::from_str::<Value>(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        "terraform" => {
            hcl::from_str::<hcl::Body>(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        "aws-cli" => {
            sh(&["-n"], body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        other => panic!("no such format: {other}"),
    }
    assert!(body.ends_with('\n') && !body.contains("\n\n\n"), "{body}");
}

fn first<'a>(remediation: &'a Remediation, format: &str) -> &'a Document {
    remediation.documents.iter().find(|document| document.format == format).expect("a document")
}

/// A key policy of nothing but the list of statements.
fn key_policy_of(document: &Document) -> Policy {
    Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":{}}}"#, document.body))
        .expect("a key policy")
}

#[test]
fn every_document_is_well_formed_in_its_language() {
    for target in targets() {
        for remediation in every_remedy(&target) {
            assert!(!remediation.documents.is_empty() && !remediation.summary.is_empty());
            remediation.documents.iter().for_each(assert_well_formed);
        }
    }
}

#[test]
fn the_key_policy_statements_allow_the_launch_and_nothing_else() {
    for target in targets() {
        let remediation = allow_in_key_policy(&target);
        let policy = key_policy_of(first(&remediation, "iam-json"));
        let (role, key, region) = (target.role.arn(), target.key.arn(), target.key.region().name());
        for (action, decision) in decide_launch(&policy, role, key, region) {
            assert!(matches!(decision, Decision::Allowed { .. }), "{role} {}: {decision:?}", action.action);
        }
        for (action, decision) in decide_launch(&policy, &format!("{role}x"), key, region) {
            assert_eq!(decision, Decision::NotAllowed, "another role: {}", action.action);
        }
        let endpoint = ec2_endpoint(region);
        let request = Request {
            principal_arn: role,
            session_name: None,
            principal_account: target.role.account_id(),
            action: "kms:CreateGrant",
            key_arn: key,
            via_service: Some(&endpoint),
            grant_is_for_aws_resource: Some(true),
        };
        let refused =
            |request: Request<'_>| assert_eq!(decide(&policy, &request), Decision::NotAllowed, "{request:?}");
        refused(Request { grant_is_for_aws_resource: Some(false), ..request });
        for action in ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:RevokeGrant", "kms:Sign"] {
            refused(Request { action, grant_is_for_aws_resource: None, ..request });
        }
        if !target.role.is_service_linked() {
            refused(Request { via_service: None, ..request });
            refused(Request { via_service: Some("s3.us-east-1.amazonaws.com"), ..request });
            refused(Request { action: "kms:Decrypt", via_service: None, ..request });
        }
    }
}

#[test]
fn the_policy_of_the_role_allows_the_launch_on_this_key_only() {
    let target = Target::new(ROLE, KEY).unwrap();
    let remediation = allow_in_role_policy(&target);
    let policy: IAMPolicy =
        serde_json::from_str(&first(&remediation, "iam-json").body).expect("an IAM policy");
    let decision = |action: &str, key: &str, is_grant: bool, via: Option<&str>| {
        let mut context = Context::new();
        if let Some(via) = via {
            context = context.with_string("kms:ViaService", via);
        }
        if is_grant {
            context = context.with_boolean("kms:GrantIsForAWSResource", true);
        }
        let caller = iam_rs::Principal::Aws(PrincipalId::String(ROLE.to_owned()));
        let request = IAMRequest::new_with_context(caller, action, Arn::parse(key).unwrap(), context);
        iam_rs::evaluate_policy(&policy, &request).unwrap()
    };
    let ec2 = Some("ec2.us-east-1.amazonaws.com");
    for action in EBS_ACTIONS {
        let is_grant = action.grant_is_for_aws_resource.is_some();
        assert_eq!(decision(action.action, KEY, is_grant, ec2), OracleDecision::Allow, "{}", action.action);
        assert_ne!(
            decision(action.action, FOREIGN_KEY, is_grant, ec2),
            OracleDecision::Allow,
            "{}",
            action.action
        );
        assert_ne!(decision(action.action, KEY, is_grant, None), OracleDecision::Allow, "{}", action.action);
    }
    assert_ne!(decision("kms:CreateGrant", KEY, false, ec2), OracleDecision::Allow);
    assert_ne!(decision("kms:ScheduleKeyDeletion", KEY, false, ec2), OracleDecision::Allow);
}

/// The statements of a Terraform policy document, in the form of the JSON list.
fn terraform_statements(document: &Document) -> Value {
    let body: hcl::Body = hcl::from_str(&document.body).expect("HCL");
    let text = |body: &hcl::Body, name: &str| -> Value {
        let expression =
            body.attributes().find(|attribute| attribute.key() == name).expect(name).expr().clone();
        serde_json::from_str(&hcl_to_json(&expression)).expect("a literal")
    };
    let document = body.blocks().next().expect("a data block");
    assert_eq!(document.identifier(), "data");
    let statements = document.body().blocks().map(|statement| {
        let body = statement.body();
        let mut object = json!({
            "Sid": text(body, "sid"),
            "Effect": "Allow",
            "Action": text(body, "actions"),
            "Resource": text(body, "resources")[0],
        });
        for block in body.blocks() {
            match block.identifier() {
                "principals" => {
                    let kind = text(block.body(), "type");
                    object["Principal"][kind.as_str().expect("text")] =
                        text(block.body(), "identifiers")[0].clone();
                }
                "condition" => {
                    let (test, variable) = (text(block.body(), "test"), text(block.body(), "variable"));
                    object["Condition"][test.as_str().expect("text")][variable.as_str().expect("text")] =
                        text(block.body(), "values")[0].clone();
                }
                other => panic!("{other}"),
            }
        }
        object
    });
    Value::Array(statements.collect())
}

fn hcl_to_json(expression: &hcl::Expression) -> String {
    match expression {
        hcl::Expression::String(text) => json!(text).to_string(),
        hcl::Expression::Array(items) => {
            format!("[{}]", items.iter().map(hcl_to_json).collect::<Vec<_>>().join(","))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn terraform_says_the_same_as_the_json() {
    for target in targets() {
        let remediation = allow_in_key_policy(&target);
        let json: Value = serde_json::from_str(&first(&remediation, "iam-json").body).unwrap();
        let terraform = first(&remediation, "terraform");
        assert_eq!(terraform_statements(terraform), json);
        assert!(
            terraform.body.contains(
                "kms_key_source_policy_documents = [data.aws_iam_policy_document.karpenter_ebs.json]"
            )
        );
        if !target.role.is_service_linked() {
            let remediation = allow_in_role_policy(&target);
            let json: Value = serde_json::from_str(&first(&remediation, "iam-json").body).unwrap();
            assert_eq!(terraform_statements(first(&remediation, "terraform")), json["Statement"]);
        }
    }
}

#[test]
fn a_dedicated_key_keeps_the_account_in_control_and_has_its_alias_in_the_node_class() {
    let target = Target::new(ROLE, KEY).unwrap();
    let region = target.key.region();
    let node_class = NodeClass::new(Some("default"), ["/dev/xvda", "/dev/xvdb", "/dev/xvda"]);
    let remediation = use_dedicated_key(&target.role, region, Some("demo"), &node_class);
    let terraform = first(&remediation, "terraform");
    let policy = json!({ "Version": "2012-10-17", "Statement": terraform_statements(terraform) }).to_string();
    let policy = Policy::parse(&policy).unwrap();
    for (action, decision) in decide_launch(&policy, ROLE, KEY, "us-east-1") {
        assert!(matches!(decision, Decision::Allowed { .. }), "{}: {decision:?}", action.action);
    }
    for (_, decision) in decide_launch(&policy, "arn:aws:iam::111122223333:role/admin", KEY, "us-east-1") {
        assert!(matches!(decision, Decision::AllowedByRootDelegation { .. }), "{decision:?}");
    }
    for resource in ["resource \"aws_kms_key\"", "resource \"aws_kms_alias\"", "\"alias/karpenter-ebs-demo\""]
    {
        assert!(terraform.body.contains(resource), "{}", terraform.body);
    }
    let yaml: Value = serde_saphyr::from_str(&first(&remediation, "yaml").body).unwrap();
    let device = |name: &str| json!({ "deviceName": name, "ebs": { "encrypted": true, "kmsKeyID": "alias/karpenter-ebs-demo" } });
    assert_eq!(
        yaml,
        json!({
            "apiVersion": "karpenter.k8s.aws/v1",
            "kind": "EC2NodeClass",
            "metadata": { "name": "default" },
            "spec": { "blockDeviceMappings": [device("/dev/xvda"), device("/dev/xvdb")] },
        })
    );
}

#[test]
fn commands_carry_their_arguments_whole() {
    let target = Target::new(SERVICE_LINKED, FOREIGN_KEY).unwrap();
    let remediation = allow_service_linked_role(&target);
    let grant = remediation.documents.last().unwrap();
    let options = ["aws", "kms", "create-grant", "--region", "eu-west-1", "--key-id", FOREIGN_KEY];
    let given = arguments(grant);
    assert_eq!(given[..7], options);
    assert_eq!(given[7..10], ["--grantee-principal", SERVICE_LINKED, "--operations"]);
    // The owner of the key lets the other account make this grant and no other.
    let policy = key_policy_of(first(&remediation, "iam-json"));
    assert_eq!(policy.statements.len(), 1);
    assert_eq!(policy.statements[0].conditions[0].values, [SERVICE_LINKED]);

    let target = Target::new(ROLE, KEY).unwrap();
    let remediation = allow_in_role_policy(&target);
    let given = arguments(first(&remediation, "aws-cli"));
    assert_eq!(given[..5], ["aws", "iam", "put-role-policy", "--role-name", "KarpenterControllerRole-demo"]);
    let document: Value = serde_json::from_str(given.last().unwrap()).unwrap();
    assert_eq!(document, serde_json::from_str::<Value>(&first(&remediation, "iam-json").body).unwrap());

    let remediation = allow_in_key_policy(&target);
    let given = arguments(first(&remediation, "aws-cli"));
    let added = given.iter().position(|argument| argument == "--argjson").unwrap() + 2;
    let statements: Value = serde_json::from_str(&given[added]).unwrap();
    assert_eq!(statements, serde_json::from_str::<Value>(&first(&remediation, "iam-json").body).unwrap());
    assert!(given.ends_with(&["--policy".to_owned(), "file://key-policy-new.json".to_owned()]));

    let cancel = arguments(&cancel_key_deletion(&target.key).documents[0]);
    assert_eq!(cancel[..3], ["aws", "kms", "cancel-key-deletion"]);
    assert_eq!(cancel[7..10], ["aws", "kms", "enable-key"]);
    let default = arguments(&make_account_default(&target.key).documents[0]);
    assert_eq!(default[1..3], ["ec2", "modify-ebs-default-kms-key-id"]);
}

#[test]
fn a_failed_command_stops_those_that_depend_on_it() {
    let target = Target::new(ROLE, KEY).unwrap();
    for document in [
        first(&allow_in_key_policy(&target), "aws-cli"),
        &cancel_key_deletion(&target.key).documents[0],
        &make_account_default(&target.key).documents[0],
    ] {
        let body = document.body.replace(" > key-policy.json", "").replace(" > key-policy-new.json", "");
        let script = format!("aws() {{ echo ran; return 1; }}\njq() {{ echo ran; }}\n{body}true\n");
        assert_eq!(sh(&[], &script).unwrap(), "ran\n", "{}", document.body);
    }
}

/// Every text that only looks.
fn every_inspection() -> Vec<Document> {
    let instance = Instance::new("111122223333", "us-east-1", "i-0123456789abcdef0").unwrap();
    let at = crate::event::Timestamp::from_second(1_772_445_600);
    [
        look_why_it_never_joined(&instance, Some("demo_1")).unwrap().documents,
        look_why_it_never_joined(&instance, None).unwrap().documents,
        look_why_ec2_gave_it_up(&instance).documents,
        look_what_else_was_done("111122223333", "us-east-1", "maria@example.com", at).unwrap(),
        look_for_records("111122223333", "us-east-1", (1_772_445_600, 1_772_456_400)).unwrap().documents,
    ]
    .concat()
}

#[test]
fn commands_that_look_change_nothing() {
    for document in every_inspection() {
        assert_well_formed(&document);
        let words = arguments(&document);
        assert!(words.iter().any(|word| word == "aws"), "{words:?}");
        for (index, _) in words.iter().enumerate().filter(|(_, word)| *word == "aws") {
            let operation = &words[index + 2];
            let is_reading =
                ["get-", "list-", "describe-", "lookup-"].iter().any(|verb| operation.starts_with(verb));
            assert!(is_reading, "{operation}");
        }
    }
    let silence = arguments(every_inspection().last().unwrap());
    for words in
        ["AttributeKey=EventName,AttributeValue=DeleteTrail", "2026-03-02T09:00:00Z", "2026-03-02T13:00:00Z"]
    {
        assert!(silence.iter().any(|word| word == words), "{words} in {silence:?}");
    }
}

#[test]
fn hostile_names_make_no_look() {
    let instance = Instance::new("111122223333", "us-east-1", "i-0123456789abcdef0").unwrap();
    let at = crate::event::Timestamp::from_second(0);
    for hostile in ["", "$(reboot)", "a b", "a'b", "a\nb", "--help;", "\u{1b}[2J"] {
        assert!(Instance::new("111122223333", "us-east-1", hostile).is_err(), "{hostile:?}");
        assert!(Instance::new("111122223333", hostile, "i-0123456789abcdef0").is_err(), "{hostile:?}");
        assert!(Instance::new(hostile, "us-east-1", "i-0123456789abcdef0").is_err(), "{hostile:?}");
        assert!(look_why_it_never_joined(&instance, Some(hostile)).is_err(), "{hostile:?}");
        assert!(look_what_else_was_done("111122223333", "us-east-1", hostile, at).is_err(), "{hostile:?}");
        assert!(look_for_records(hostile, "us-east-1", (0, 9)).is_err(), "{hostile:?}");
    }
    let two = "maria,AttributeKey=EventName";
    assert!(look_what_else_was_done("111122223333", "us-east-1", two, at).is_err());
}

#[test]
fn hostile_names_make_no_document() {
    for role in [
        "",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/x'; reboot #",
        "arn:aws:iam::111122223333:role/${file(\"x\")}",
        "arn:aws:iam::111122223333:role/x\"\n",
        "arn:aws:iam::111122223333:role//x",
        "arn:aws:iam::111122223333:role/*",
        "arn:aws:iam::*:role/x",
        "arn:aws:iam::11112222333:role/x",
        "arn:aws\n:iam::111122223333:role/x",
        "arn:aws:iam::111122223333:root",
        "arn:aws:sts::111122223333:assumed-role/x/1",
        "ec2.amazonaws.com",
    ] {
        assert_eq!(Role::new(role), Err(TargetError::NotARoleOrUser), "{role}");
    }
    for key in [
        "",
        "alias/ebs",
        "11111111-2222-3333-4444-555555555555",
        "arn:aws:kms:us-east-1:111122223333:alias/ebs",
        "arn:aws:kms:us-east-1:111122223333:key/*",
        "arn:aws:kms:us-east-1:111122223333:key/1'",
        "arn:aws:kms:us east:111122223333:key/1",
        "arn:aws:kms::111122223333:key/1",
        "arn:aws:kms:us-east-1:x:key/1",
    ] {
        assert_eq!(Key::new(key), Err(TargetError::NotAKey), "{key}");
    }
    assert_eq!(
        Target::new(&ROLE.replace("arn:aws:", "arn:aws-cn:"), KEY),
        Err(TargetError::PartitionsDiffer)
    );
    let key = Key::new(KEY).unwrap();
    for alias in ["ebs", "alias/", "alias/aws/ebs", "alias/x y", "alias/x'", "alias/$(x)"] {
        assert_eq!(repoint_alias(&key, alias), Err(TargetError::NotAnAlias), "{alias}");
    }
    for image in ["", "ami-", "ami-1;x", "i-0123"] {
        assert_eq!(copy_image(&key, image), Err(TargetError::NotAnImageId), "{image}");
    }
    // What only adds to a document is left out of it.
    let node_class = NodeClass::new(Some("x: y"), ["/dev/xvda\n    - x", "", "$(x)"]);
    assert_eq!(node_class, NodeClass::default());
    let role = Role::new(ROLE).unwrap();
    let remediation = use_dedicated_key(&role, key.region(), Some("x${y}"), &node_class);
    assert!(first(&remediation, "terraform").body.contains("name          = \"alias/karpenter-ebs\"\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_makes_a_target_makes_well_formed_documents(
        role in "arn:aws:iam::111122223333:(role|user)/([A-Za-z0-9+=,.@_/-]|\\PC){1,24}",
        key in "arn:aws:kms:us-east-1:111122223333:key/([a-f0-9-]|\\PC){1,12}",
        cluster in "([A-Za-z0-9_-]|\\PC){0,12}",
        node_class in "([a-z0-9.-]|\\PC){0,12}",
        device in "/dev/([a-z0-9]|\\PC){0,6}",
    ) {
        if let Ok(target) = Target::new(&role, &key) {
            let node_class = NodeClass::new(Some(&node_class), [device.as_str()]);
            let mut remedies = every_remedy(&target);
            remedies.push(use_dedicated_key(&target.role, target.key.region(), Some(&cluster), &node_class));
            for document in remedies.iter().flat_map(|remediation| &remediation.documents) {
                if document.format != "aws-cli" {
                    assert_well_formed(document);
                }
                prop_assert!(document.body.is_ascii());
            }
        }
    }
}
