//! Incidents in which the key itself is unusable: disabled, about to be deleted, not there.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::configuration::Caller;
use crate::support::incident::{Incident, VolumePlan};
use crate::support::kms::{Call, Refusal};
use crate::support::noise::Noise;
use crate::support::record::Record;

const CALL: Call = Call::GenerateDataKeyWithoutPlaintext;

/// Launches two nodes that KMS refuses.
fn launch_two_refused(incident: &mut Incident, time: i64, pool: &NodePool, key: &str, refusal: &Refusal) {
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", key)]);
    for time in [time, time + 69] {
        let volume = VolumePlan::under(key).refused(refusal.clone());
        let node = incident.launch(time, pool, &template, vec![volume]);
        incident.abort_launch(&node, time + 16);
    }
}

/// A person disables the key that he takes for unused, and enables it again.
pub fn disabled(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-2", "loans", "2026-03-10");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let start = incident.at("15:00:03");
    let person = Caller::person(&mut incident.ids, &incident.cluster, "tomas", start);
    let time = incident.at("15:06:18");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);

    incident.disable_key(&person, incident.at("15:22:37"), &key);
    let time = incident.at("15:31:05");
    launch_two_refused(&mut incident, time, &pool, &key, &Refusal::disabled(CALL, &key));
    incident.enable_key(&person, incident.at("15:45:12"), &key);
    incident.make_noise(Noise::steady(start, incident.at("16:00:00")));
    incident.take()
}

/// The key is scheduled for deletion while a node class still names it.
pub fn pending_deletion(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "us-east-1", "legacy", "2026-03-24");
    let key = incident.key();
    let pool = NodePool::new("reports", "reports");
    let start = incident.at("10:00:03");
    let script = Caller::script_of_user(&mut incident.ids, &incident.cluster, "key-cleanup");
    let time = incident.at("10:05:50");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);

    incident.schedule_key_deletion(&script, incident.at("10:20:00"), &key);
    let time = incident.at("10:34:41");
    launch_two_refused(&mut incident, time, &pool, &key, &Refusal::pending_deletion(CALL, &key));
    incident.make_noise(Noise::steady(start, incident.at("11:00:00")));
    incident.take()
}

/// The node class was copied from another region, with a bare key id that does not exist here.
pub fn not_found(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "copy", "2026-03-31");
    let other_key = incident.key();
    let absent_key = incident.key();
    let key_id = absent_key.rsplit('/').next().expect("a split has a last part").to_owned();
    let system = NodePool::new("system", "system");
    let pool = NodePool::new("workers", "copied");
    let time = incident.at("12:04:33");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &other_key)]);
    let node = incident.launch(time, &system, &template, vec![VolumePlan::under(&other_key)]);
    incident.register(&node, time + 40);

    let refusal = Refusal::not_found(CALL, &absent_key);
    let time = incident.at("12:18:27");
    launch_two_refused(&mut incident, time, &pool, &key_id, &refusal);
    incident.make_noise(Noise::steady(incident.at("12:00:03"), incident.at("12:50:00")));
    incident.take()
}
