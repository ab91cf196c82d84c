//! Incidents in which KMS refuses a key for want of permission.

use super::key_policies;
use crate::support::cluster::{Era, Mapping, Node, NodePool, Template};
use crate::support::configuration::Caller;
use crate::support::ending::service_event;
use crate::support::identity::Role;
use crate::support::incident::{Incident, VolumePlan};
use crate::support::json::object;
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

/// Launches a node whose data key KMS refuses for want of a policy that allows it; EC2 aborts it.
fn launch_refused(
    incident: &mut Incident,
    time: i64,
    pool: &NodePool,
    template: &Template,
    key: &str,
    refuse: fn(Call, &str, &str, &str) -> Refusal,
) -> Node {
    let principal = incident.launching_session_arn(time);
    let call = Call::GenerateDataKeyWithoutPlaintext;
    let volume = VolumePlan::under(key).refused(refuse(call, &principal, DATA_KEY_ACTION, key));
    let node = incident.launch(time, pool, template, vec![volume]);
    incident.abort_launch(&node, time + 13 + time % 7);
    node
}

/// AMIs of another account: the first one's key is shared with us, the second one's is not.
pub fn foreign_image(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-1", "fraud", "2026-04-28");
    let mut owner = Incident::new(seed + 1000, "444455556666", "us-east-1", "images", "2026-04-28");
    owner.cluster.era = Era::NodeGroup;
    let shared_key = owner.key();
    let private_key = owner.key();
    let node_key = incident.key();
    let pool = NodePool::new("scoring", "hardened");
    let (start, end) = (incident.at("16:00:03"), incident.at("17:05:00"));

    let time = incident.at("16:12:40");
    let snapshot_id = incident.ids.ec2("snap");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &node_key)]);
    let volume = VolumePlan::under(&node_key).of_snapshot(&snapshot_id, &shared_key);
    let node = incident.launch(time, &pool, &template, vec![volume]);
    incident.register(&node, time + 51);
    let mut draft = service_event(&mut owner.ids, &owner.cluster, "SharedSnapshotVolumeCreated", time + 3);
    draft.shared_event_id = Some(owner.ids.uuid());
    draft.service_details = Some(object! { "snapshotId": &snapshot_id });
    owner.write(draft);

    let time = incident.at("16:33:17");
    let snapshot_id = incident.ids.ec2("snap");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &node_key)]);
    for time in [time, time + 71] {
        let principal = incident.launching_session_arn(time);
        let action = "kms:ReEncryptFrom";
        let refusal = Refusal::by_resource_policy(Call::ReEncrypt, &principal, action, &private_key);
        let volume = VolumePlan::under(&node_key).of_snapshot(&snapshot_id, &private_key).refused(refusal);
        let node = incident.launch(time, &pool, &template, vec![volume]);
        incident.abort_launch(&node, time + 22);
    }
    incident.make_noise(Noise::steady(start, end));
    owner.make_noise(Noise { every_seconds: 600, ..Noise::steady(start, end) });
    let mut records = incident.take();
    records.extend(owner.take());
    records
}

/// Terraform applies an old key policy: Karpenter's statements are gone, nodes die, a person repairs it.
pub fn policy_overwritten(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "eu-west-1", "orders", "2026-05-06");
    let key = incident.key();
    let account_id = incident.cluster.account_id.clone();
    let allowing = key_policies::for_karpenter(&account_id, &incident.cluster.controller.arn());
    let pool = NodePool::new("general", "default");
    let start = incident.at("11:00:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 120);
    let on_call = Caller::person(&mut incident.ids, &incident.cluster, "ines", start);

    incident.create_key(&pipeline, start + 58, &key, ("EBS volumes of cluster orders", &allowing));
    let time = incident.at("11:08:12");
    let template = incident.launch_template(time - 5, &[Mapping::with_key("/dev/xvda", &key)]);
    for time in [time, incident.at("11:16:40")] {
        let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
        incident.register(&node, time + 40);
    }

    let lacking = key_policies::without_karpenter(&account_id);
    incident.put_key_policy(&pipeline, incident.at("11:30:44"), &key, &lacking);
    for time in ["11:36:05", "11:37:11", "11:38:20"].map(|time| incident.at(time)) {
        launch_refused(&mut incident, time, &pool, &template, &key, Refusal::by_identity_policy);
    }

    incident.put_key_policy(&on_call, incident.at("11:44:52"), &key, &allowing);
    let time = incident.at("11:46:30");
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 43);
    incident.make_noise(Noise::steady(start, incident.at("12:00:00")));
    incident.take()
}

/// A new key in the node class: from then on Karpenter launches a node a minute, and none lives.
pub fn launch_loop(seed: u64) -> Vec<Record> {
    const PERIOD_SECONDS: i64 = 62;
    let mut incident = Incident::new(seed, "444455556666", "us-east-2", "render", "2026-06-02");
    let old_key = incident.key();
    let new_key = incident.key();
    let pool = NodePool::new("frames", "frames");
    let time = incident.at("21:05:31");
    let template = incident.launch_template(time - 3, &[Mapping::with_key("/dev/xvda", &old_key)]);
    for time in [time, time + 420] {
        let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&old_key)]);
        incident.register(&node, time + 41);
    }
    let time = incident.at("21:20:10");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &new_key)]);
    for round in 0..12 {
        let time = time + round * PERIOD_SECONDS;
        launch_refused(&mut incident, time, &pool, &template, &new_key, Refusal::by_identity_policy);
    }
    incident.make_noise(Noise::steady(incident.at("21:00:03"), incident.at("21:50:00")));
    incident.take()
}

/// EKS Auto Mode: the cluster's role is refused the key of a custom node class.
pub fn auto_mode(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-west-2", "auto", "2026-06-16");
    let cluster = incident.cluster.clone();
    incident.cluster = cluster.in_auto_mode(&mut incident.ids, "AmazonEKSAutoClusterRole");
    let managed_key = incident.key();
    let custom_key = incident.key();
    let system = NodePool::new("system", "default");
    let pool = NodePool::new("general-purpose", "encrypted");

    let time = incident.at("18:06:22");
    let template = incident.launch_template(time - 2, &[Mapping::encrypted("/dev/xvdb")]);
    incident.launch(time, &system, &template, vec![VolumePlan::requested_as("alias/aws/ebs", &managed_key)]);
    let time = incident.at("18:24:09");
    let template = incident.launch_template(time - 3, &[Mapping::with_key("/dev/xvdb", &custom_key)]);
    for time in [time, time + 93] {
        launch_refused(&mut incident, time, &pool, &template, &custom_key, Refusal::by_identity_policy);
    }
    incident.make_noise(Noise::steady(incident.at("18:00:03"), incident.at("18:55:00")));
    incident.take()
}

/// The key of the cluster's secrets is reused for its nodes; its policy knows the cluster's role only.
pub fn cluster_secrets_key(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "eu-central-1", "clinic", "2026-07-07");
    let secrets_key = incident.key();
    let node_key = incident.key();
    let account_id = incident.cluster.account_id.clone();
    let cluster_role = Role::new(&mut incident.ids, &account_id, "clinic-cluster");
    let policy = key_policies::for_cluster_secrets(&account_id, &cluster_role.arn());
    let start = incident.at("09:30:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 60);
    incident.create_key(&pipeline, start + 49, &secrets_key, ("Secrets of cluster clinic", &policy));
    incident.create_cluster(&pipeline, start + 95, &secrets_key);

    let system = NodePool::new("system", "system");
    let time = incident.at("09:58:15");
    let template = incident.launch_template(time - 3, &[Mapping::with_key("/dev/xvda", &node_key)]);
    let node = incident.launch(time, &system, &template, vec![VolumePlan::under(&node_key)]);
    incident.register(&node, time + 44);

    let pool = NodePool::new("records", "records");
    let time = incident.at("10:11:36");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &secrets_key)]);
    for time in [time, time + 66] {
        launch_refused(&mut incident, time, &pool, &template, &secrets_key, Refusal::by_resource_policy);
    }
    incident.make_noise(Noise::steady(start, incident.at("10:40:00")));
    incident.take()
}

/// A managed node group: the service-linked role of Auto Scaling is refused the key.
pub fn node_group_role(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-1", "intranet", "2026-04-07");
    let cluster = incident.cluster.clone();
    incident.cluster = cluster.with_node_groups(&mut incident.ids);
    let allowed_key = incident.key();
    let refused_key = incident.key();
    let start = incident.at("13:00:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 200);
    let mapping = [Mapping::with_key("/dev/xvda", &allowed_key)];
    let template = incident.launch_template_by(&pipeline, incident.at("13:04:12"), &mapping);
    let system = NodePool::new("system", "");
    incident.launch(incident.at("13:06:30"), &system, &template, vec![VolumePlan::under(&allowed_key)]);

    let mapping = [Mapping::with_key("/dev/xvda", &refused_key)];
    let template = incident.launch_template_by(&pipeline, incident.at("13:20:44"), &mapping);
    let group = NodePool::new("workers", "");
    for time in ["13:22:05", "13:24:11"].map(|time| incident.at(time)) {
        launch_refused(&mut incident, time, &group, &template, &refused_key, Refusal::by_identity_policy);
    }
    incident.make_noise(Noise::steady(start, incident.at("13:55:00")));
    incident.take()
}

/// A service control policy of the organisation denies the use of keys without a tag.
pub fn service_control_policy(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "eu-west-1", "bank", "2026-05-12");
    let tagged_key = incident.key();
    let untagged_key = incident.key();
    let system = NodePool::new("system", "system");
    let pool = NodePool::new("ledger", "ledger");
    let time = incident.at("07:05:26");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &tagged_key)]);
    let node = incident.launch(time, &system, &template, vec![VolumePlan::under(&tagged_key)]);
    incident.register(&node, time + 41);

    let time = incident.at("07:19:58");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &untagged_key)]);
    let by_organisation = |call: Call, principal: &str, action: &str, key: &str| {
        let reason = "with an explicit deny in a service control policy: \
                      arn:aws:organizations::111122223333:policy/o-exampleorgid/service_control_policy/p-examplepol";
        Refusal::access_denied(call, principal, action, key, reason)
    };
    for time in [time, time + 65] {
        launch_refused(&mut incident, time, &pool, &template, &untagged_key, by_organisation);
    }
    incident.make_noise(Noise::steady(incident.at("07:00:03"), incident.at("07:50:00")));
    incident.take()
}
