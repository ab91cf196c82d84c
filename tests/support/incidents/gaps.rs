//! Incidents about what an archive does not show: events left out, silence, lost records, missing joins.

use crate::support::archive::File;
use crate::support::cluster::{Mapping, NodePool};
use crate::support::configuration::Caller;
use crate::support::incident::{FleetPlan, Incident, NodePlan, VolumePlan};
use crate::support::kms::{Call, Refusal};
use crate::support::noise::Noise;
use crate::support::record::Record;

const TRAIL: &str = "management";

/// Launches a node under `key` that registers.
fn launch_healthy(incident: &mut Incident, time: i64, key: &str) {
    let pool = NodePool::new("general", "default");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(key)]);
    incident.register(&node, time + 40);
}

/// The trail leaves KMS events out.
pub fn kms_events_excluded(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "quiet", "2026-09-08");
    let key = incident.key();
    let start = incident.at("08:00:03");
    let person = Caller::person(&mut incident.ids, &incident.cluster, "maria", start - 600);
    incident.exclude_kms_events(&person, incident.at("08:02:40"), TRAIL);
    for time in ["08:20:15", "08:37:51"].map(|time| incident.at(time)) {
        launch_healthy(&mut incident, time, &key);
    }
    incident.make_noise(Noise::steady(start, incident.at("09:00:00")).without_kms());
    let mut records = incident.take();
    records.retain(|record| record.source != "kms.amazonaws.com");
    records
}

/// The trail leaves read-only events out: of a launch's KMS events only the grants remain.
pub fn read_only_events_missing(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "us-east-1", "writes", "2026-10-06");
    let key = incident.key();
    let start = incident.at("08:00:03");
    let person = Caller::person(&mut incident.ids, &incident.cluster, "maria", start - 600);
    incident.exclude_read_only_events(&person, incident.at("08:03:12"), TRAIL);
    for time in ["08:18:44", "08:33:09"].map(|time| incident.at(time)) {
        launch_healthy(&mut incident, time, &key);
    }
    incident.make_noise(Noise::steady(start, incident.at("09:00:00")).without_read_only());
    let mut records = incident.take();
    records.retain(|record| !record.is_read_only);
    records
}

/// A log that is steady before and after, and silent for three hours in between.
pub fn silence(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "eu-central-1", "night", "2026-09-15");
    let key = incident.key();
    for time in ["00:40:22", "05:10:08"].map(|time| incident.at(time)) {
        launch_healthy(&mut incident, time, &key);
    }
    for (from, to) in [("00:00:03", "01:25:00"), ("04:30:00", "05:50:00")] {
        let noise = Noise::steady(incident.at(from), incident.at(to));
        incident.make_noise(Noise { every_seconds: 280, ..noise });
    }
    incident.take()
}

/// A healthy hour; [`damage`] spoils two of its files.
pub fn records_lost(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "sa-east-1", "radio", "2026-09-22");
    let key = incident.key();
    let time = incident.at("13:05:12");
    launch_healthy(&mut incident, time, &key);
    incident.make_noise(Noise::steady(incident.at("13:00:03"), incident.at("14:00:00")));
    incident.take()
}

/// Cuts one file off in the middle and empties another, both in the quiet half of the hour.
pub fn damage(files: &mut [File]) {
    let (cut, emptied) = (files.len() - 4, files.len() - 6);
    let half = files[cut].bytes.len() / 2;
    files[cut].bytes.truncate(half);
    files[emptied].bytes.clear();
    files[cut].is_damaged = true;
    files[emptied].is_damaged = true;
}

/// KMS's events carry request ids of their own: session and time must do, where nothing stronger is left.
pub fn refusal_without_request_id(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-west-2", "parcel", "2026-09-29");
    let allowed_key = incident.key();
    let refused_key = incident.key();
    let start = incident.at("20:00:03");
    let system = NodePool::new("system", "system");
    let workers = NodePool::new("workers", "encrypted");
    let batch = NodePool::new("batch", "encrypted");
    let allowed =
        incident.launch_template(incident.at("20:09:00"), &[Mapping::with_key("/dev/xvda", &allowed_key)]);
    let refused =
        incident.launch_template(incident.at("20:09:04"), &[Mapping::with_key("/dev/xvda", &refused_key)]);
    let refused_node = |incident: &Incident, zone: char, time: i64| {
        let call = Call::GenerateDataKeyWithoutPlaintext;
        let principal = incident.launching_session_arn(time);
        let action = "kms:GenerateDataKeyWithoutPlaintext";
        let refusal = Refusal::by_identity_policy(call, &principal, action, &refused_key);
        NodePlan::new(zone, vec![VolumePlan::under(&refused_key).refused(refusal)]).with_own_kms_request()
    };

    let time = incident.at("20:10:15");
    let sibling = NodePlan::new('a', vec![VolumePlan::under(&allowed_key)]).with_own_kms_request();
    let sibling = incident.launch_fleet(&FleetPlan::new(time, &system, &allowed, vec![sibling])).remove(0);
    incident.register(&sibling, time + 44);
    let time = time + 6;
    let plan = FleetPlan::new(time, &workers, &refused, vec![refused_node(&incident, 'b', time)]);
    let node = incident.launch_fleet(&plan).remove(0);
    incident.abort_launch(&node, time + 15);

    let time = incident.at("20:27:33");
    let pair = ['a', 'c'].map(|zone| refused_node(&incident, zone, time)).to_vec();
    for node in incident.launch_fleet(&FleetPlan::new(time, &batch, &refused, pair)) {
        incident.abort_launch(&node, time + 18);
    }
    incident.make_noise(Noise::steady(start, incident.at("20:55:00")));
    incident.take()
}

/// One `RunInstances` for two instances, twice: the grants tell who got what, refusals do not.
pub fn several_instances_in_one_request(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "us-west-2", "pairs", "2026-10-27");
    let allowed_key = incident.key();
    let refused_key = incident.key();
    let system = NodePool::new("system", "system");
    let workers = NodePool::new("workers", "encrypted");
    let time = incident.at("02:06:11");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &allowed_key)]);
    let pair = vec![NodePlan::new('a', vec![VolumePlan::under(&allowed_key)]); 2];
    let plan = FleetPlan::new(time, &system, &template, pair).in_one_request();
    for node in incident.launch_fleet(&plan) {
        incident.register(&node, time + 42);
    }

    let time = incident.at("02:21:36");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &refused_key)]);
    let principal = incident.launching_session_arn(time);
    let action = "kms:CreateGrant";
    let refusal = Refusal::by_identity_policy(Call::CreateGrant, &principal, action, &refused_key);
    let pair = vec![NodePlan::new('b', vec![VolumePlan::under(&refused_key).refused(refusal)]); 2];
    let plan = FleetPlan::new(time, &workers, &template, pair).in_one_request();
    for node in incident.launch_fleet(&plan) {
        incident.abort_launch(&node, time + 17);
    }
    incident.make_noise(Noise::steady(incident.at("02:00:03"), incident.at("02:50:00")));
    incident.take()
}

/// The archive begins after a node and a launch template: of the node only its tags and its end are there.
pub fn launched_before_the_archive(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "eu-central-1", "late", "2026-11-03");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let template = incident.unrecorded_template("/dev/xvda");
    let early = incident.launch(incident.at("09:58:50"), &pool, &template, vec![VolumePlan::under(&key)]);
    let _before_the_archive = incident.take();
    incident.register(&early, incident.at("10:00:09"));
    let time = incident.at("10:12:35");
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);
    incident.terminate_by_controller(&[&early], incident.at("10:38:14"));
    incident.make_noise(Noise::steady(incident.at("10:00:03"), incident.at("10:50:00")));
    incident.take()
}

/// The node class names an alias whose history is not in the archive.
pub fn alias_unresolved(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-2", "riddle", "2026-11-10");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let time = incident.at("21:07:19");
    let mapping = [Mapping::with_key("/dev/xvda", "alias/nodes")];
    let template = incident.launch_template(time - 4, &mapping);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);
    incident.make_noise(Noise::steady(incident.at("21:00:03"), incident.at("21:45:00")));
    incident.take()
}
