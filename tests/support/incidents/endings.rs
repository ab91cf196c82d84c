//! Incidents about how nodes end, with their keys in order.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::configuration::Caller;
use crate::support::incident::{FleetPlan, Incident, NodePlan, VolumePlan};
use crate::support::noise::Noise;
use crate::support::record::Record;

/// Three spot nodes: one is taken back, one is taken back while Karpenter terminates it, one lives.
pub fn spot_interruption(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "ap-southeast-2", "ads", "2026-05-19");
    let key = incident.key();
    let pool = NodePool::new("spot", "default");
    let time = incident.at("03:08:20");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let plans = ['a', 'b', 'c'].map(|zone| NodePlan::new(zone, vec![VolumePlan::under(&key)]));
    let plan = FleetPlan::new(time, &pool, &template, plans.to_vec()).on_spot();
    let nodes = incident.launch_fleet(&plan);
    for (node, delay) in nodes.iter().zip([38, 41, 45]) {
        incident.register(node, time + delay);
    }
    incident.interrupt_spot(&[&nodes[0]], incident.at("03:40:12"));
    let time = incident.at("03:58:31");
    incident.interrupt_spot(&[&nodes[1]], time);
    incident.terminate_by_controller_in_state(&[&nodes[1]], time + 9, (32, "shutting-down"));
    incident.make_noise(Noise::steady(incident.at("03:00:03"), incident.at("04:15:00")));
    incident.take()
}

/// One node never registers and is terminated after a quarter of an hour; another one, which had registered,
/// is terminated at the same age.
pub fn registration_timeout(seed: u64) -> Vec<Record> {
    const REGISTRATION_SECONDS: i64 = 15 * 60;
    let mut incident = Incident::new(seed, "111122223333", "ca-central-1", "forms", "2026-07-14");
    let key = incident.key();
    let pool = NodePool::new("isolated", "no-route");
    let other_pool = NodePool::new("general", "default");
    let mapping = [Mapping::with_key("/dev/xvda", &key)];
    let template = incident.launch_template(incident.at("19:03:10"), &mapping);

    let time = incident.at("19:03:15");
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.terminate_by_controller(&[&node], time + REGISTRATION_SECONDS + 4);
    let time = incident.at("19:21:40");
    let node = incident.launch(time, &other_pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 42);
    incident.terminate_by_controller(&[&node], time + REGISTRATION_SECONDS + 8);
    incident.make_noise(Noise::steady(incident.at("19:00:03"), incident.at("20:00:00")));
    incident.take()
}

/// A person terminates a node with the AWS CLI.
pub fn terminated_by_person(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "eu-west-3", "press", "2026-07-21");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let start = incident.at("06:00:03");
    let person = Caller::person(&mut incident.ids, &incident.cluster, "jonas", start);
    let time = incident.at("06:06:29");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let plans = ['a', 'b'].map(|zone| NodePlan::new(zone, vec![VolumePlan::under(&key)]));
    let nodes = incident.launch_fleet(&FleetPlan::new(time, &pool, &template, plans.to_vec()));
    for node in &nodes {
        incident.register(node, time + 43);
    }
    incident.terminate_by_caller(&person, &[&nodes[0]], incident.at("06:41:55"));
    incident.make_noise(Noise::steady(start, incident.at("07:00:00")));
    incident.take()
}

/// A script revokes the grant with which a running node opens its volume.
pub fn grant_revoked(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-south-1", "maps", "2026-08-11");
    let key = incident.key();
    let pool = NodePool::new("tiles", "default");
    let script = Caller::script_of_user(&mut incident.ids, &incident.cluster, "grant-janitor");
    let time = incident.at("22:05:13");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let plans = ['a', 'c'].map(|zone| NodePlan::new(zone, vec![VolumePlan::under(&key)]));
    let nodes = incident.launch_fleet(&FleetPlan::new(time, &pool, &template, plans.to_vec()));
    for node in &nodes {
        incident.register(node, time + 41);
    }
    let (grant_id, granted_key) = nodes[0].grants[0].clone();
    incident.revoke_grant(&script, incident.at("22:37:00"), (&grant_id, &granted_key));
    incident.make_noise(Noise::steady(incident.at("22:00:03"), incident.at("23:00:00")));
    incident.take()
}

/// A managed node group shrinks.
pub fn terminated_by_auto_scaling(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "us-west-1", "batch", "2026-08-18");
    let cluster = incident.cluster.clone();
    incident.cluster = cluster.with_node_groups(&mut incident.ids);
    let key = incident.key();
    let group = NodePool::new("system", "");
    let start = incident.at("17:00:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 300);
    let template = incident.launch_template_by(
        &pipeline,
        incident.at("17:02:20"),
        &[Mapping::with_key("/dev/xvda", &key)],
    );
    let time = incident.at("17:05:31");
    let leaving = incident.launch(time, &group, &template, vec![VolumePlan::under(&key)]);
    incident.launch(time + 2, &group, &template, vec![VolumePlan::under(&key)]);
    incident.terminate_by_auto_scaling(&leaving, incident.at("17:44:02"));
    incident.make_noise(Noise::steady(start, incident.at("18:00:00")));
    incident.take()
}

/// The keys are in order, but EC2 gives a launch up.
pub fn launch_aborted(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-2", "games", "2026-09-01");
    let key = incident.key();
    let pool = NodePool::new("lobby", "default");
    let time = incident.at("23:10:44");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key).unopened()]);
    incident.abort_launch(&node, time + 24);
    let node = incident.launch(time + 35, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 74);
    incident.make_noise(Noise::steady(incident.at("23:00:03"), incident.at("23:50:00")));
    incident.take()
}
