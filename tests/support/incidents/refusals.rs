//! Incidents in which KMS refuses a key for want of permission.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::incident::{Incident, VolumePlan};
use crate::support::kms::{Call, Refusal};
use crate::support::noise::Noise;
use crate::support::record::Record;

const DATA_KEY_ACTION: &str = "kms:GenerateDataKeyWithoutPlaintext";

/// The controller's role may not use the configured key; another nodepool's key works.
pub fn role_not_allowed(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-1", "payments", "2026-02-10");
    let allowed_key = incident.key();
    let refused_key = incident.key();
    let system = NodePool::new("system", "system");
    let workers = NodePool::new("workers", "encrypted");

    let time = incident.at("14:02:10");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &allowed_key)]);
    let sibling = incident.launch(time, &system, &template, vec![VolumePlan::under(&allowed_key)]);
    incident.register(&sibling, time + 37);

    let time = incident.at("14:20:31");
    let template = incident.launch_template(time - 5, &[Mapping::with_key("/dev/xvda", &refused_key)]);
    for (time, end) in [(time, time + 14), (time + 930, time + 945)] {
        let principal = incident.launching_session_arn(time);
        let refusal = Refusal::by_identity_policy(
            Call::GenerateDataKeyWithoutPlaintext,
            &principal,
            DATA_KEY_ACTION,
            &refused_key,
        );
        let volume = VolumePlan::under(&refused_key).refused(refusal);
        let node = incident.launch(time, &workers, &template, vec![volume]);
        incident.abort_launch(&node, end);
        incident.terminate_by_controller_in_state(&[&node], time + 904, (48, "terminated"));
    }
    incident.make_noise(Noise::steady(incident.at("14:00:03"), incident.at("15:00:00")));
    incident.take()
}

/// The data key is made, but a policy of the role forbids the grant.
pub fn grant_denied(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "eu-central-1", "media", "2026-02-17");
    let key = incident.key();
    let other_key = incident.key();
    let encoders = NodePool::new("encoders", "gpu");
    let system = NodePool::new("system", "system");

    let time = incident.at("08:10:05");
    let template = incident.launch_template(time - 3, &[Mapping::with_key("/dev/xvda", &other_key)]);
    let sibling = incident.launch(time, &system, &template, vec![VolumePlan::under(&other_key)]);
    incident.register(&sibling, time + 44);

    let time = incident.at("08:31:40");
    let template = incident.launch_template(time - 6, &[Mapping::with_key("/dev/xvda", &key)]);
    for time in [time, time + 64] {
        let principal = incident.launching_session_arn(time);
        let reason = "with an explicit deny in an identity-based policy: \
                      arn:aws:iam::444455556666:policy/platform/deny-grants-outside-break-glass";
        let refusal = Refusal::access_denied(Call::CreateGrant, &principal, "kms:CreateGrant", &key, reason);
        let node =
            incident.launch(time, &encoders, &template, vec![VolumePlan::under(&key).refused(refusal)]);
        incident.abort_launch(&node, time + 19);
    }
    incident.make_noise(Noise::steady(incident.at("08:00:03"), incident.at("09:00:00")));
    incident.take()
}
