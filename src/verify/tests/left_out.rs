//! Records of KMS that do not say all that they should: what is left of them counts, and what they lack is a doubt.

use super::{asked, is_failure, is_inconclusive, later, launch_under, only, passes, told};
use crate::correlate::Question;
use crate::rules::testing::{KEY, Log, OTHER_KEY, ROLE, request, session};
use crate::verify::{Check, Outcome, Verification};

const FRONT_END: &str = "ec2-frontend-api.amazonaws.com";

/// A call that EC2 made of KMS for a launch, with request parameters as given.
fn called(log: &mut Log, call: &str, parameters: &str, key: &str, request_id: &str) {
    let identity = session(ROLE, "1768825272022703283", Some(FRONT_END));
    let rest = format!(
        r#""requestParameters":{parameters},"responseElements":null,"requestID":"{request_id}","resources":[{{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"{key}"}}]"#
    );
    log.record("10:00:02", ("kms", call), &identity, FRONT_END, &rest);
}

fn with(call: &str, parameters: &str, key: &str, request_id: &str) -> Verification {
    let mut log = launch_under(KEY);
    called(&mut log, call, parameters, key, request_id);
    asked(&log, &Question::default())
}

const DATA_KEY: &str = "GenerateDataKeyWithoutPlaintext";

#[test]
fn a_data_key_of_the_launch_without_a_volume_is_judged_by_its_key() {
    let parameters = |key: &str| format!(r#"{{"keyId":"{key}","numberOfBytes":64}}"#);
    passes(&with(DATA_KEY, &parameters(KEY), KEY, &request("a")));
    let wrong = with(DATA_KEY, &parameters(OTHER_KEY), OTHER_KEY, &request("a"));
    is_failure(&wrong, Check::VolumeKey, OTHER_KEY);
    // The same call for something else is no volume of the launch.
    passes(&with(DATA_KEY, &parameters(OTHER_KEY), OTHER_KEY, &request("c")));
}

#[test]
fn a_volume_that_events_name_two_keys_for_is_under_neither() {
    let mut log = Log::new();
    log.template(KEY).launch("a", "10:00:00");
    log.data_key("a", "10:00:01", KEY).grant("a", "10:00:01", OTHER_KEY).registered("a", "10:01:00");
    later(&mut log);
    let verification = asked(&log, &Question::default());
    is_inconclusive(&verification, Check::VolumeKey, "contradict each other");
    assert!(told(&verification).contains(KEY) && told(&verification).contains(OTHER_KEY));
}

#[test]
fn a_record_of_kms_without_its_parameters_leaves_a_doubt() {
    for (call, request_id) in
        [(DATA_KEY, request("a")), (DATA_KEY, request("c")), ("CreateGrant", request("a"))]
    {
        let doubtful = with(call, r#"{"omitted":true}"#, KEY, &request_id);
        is_inconclusive(&doubtful, Check::ArchiveWhole, "1 record with a field that CloudTrail left out");
    }
    let wrong = with(DATA_KEY, r#"{"omitted":true}"#, OTHER_KEY, &request("a"));
    assert_eq!(wrong.result, Outcome::Fail, "{}", told(&wrong));
    only(&wrong, Check::ArchiveWhole, Outcome::Inconclusive);
    only(&wrong, Check::VolumeKey, Outcome::Fail);
}
