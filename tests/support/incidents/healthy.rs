//! Incidents that are none: nodes that got the key they should have, in all the forms that a log shows them.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::incident::{FleetPlan, Incident, NodePlan, VolumePlan};
use crate::support::noise::Noise;
use crate::support::record::Record;

/// Three nodes under the configured key; one has two volumes, one gets a persistent volume under another key.
pub fn karpenter(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "shop", "2026-03-03");
    let node_key = incident.key();
    let data_key = incident.key();
    let general = NodePool::new("general", "default");
    let bottlerocket = NodePool::new("batch", "bottlerocket");

    incident.dry_run(incident.at("10:01:12"), "default");
    let template =
        incident.launch_template(incident.at("10:04:58"), &[Mapping::with_key("/dev/xvda", &node_key)]);
    let first =
        incident.launch(incident.at("10:05:02"), &general, &template, vec![VolumePlan::under(&node_key)]);
    incident.register(&first, incident.at("10:05:41"));

    let two_devices = [
        Mapping::with_key("/dev/xvda", &node_key).of_size(4),
        Mapping::with_key("/dev/xvdb", &node_key).of_size(120),
    ];
    let template_of_two = incident.launch_template(incident.at("10:12:30"), &two_devices);
    let volumes = vec![VolumePlan::under(&node_key), VolumePlan::under(&node_key)];
    let plan = FleetPlan::new(
        incident.at("10:12:33"),
        &bottlerocket,
        &template_of_two,
        vec![NodePlan { instance_type: "c6i.2xlarge", ..NodePlan::new('b', volumes) }],
    );
    let second = incident.launch_fleet(&plan).remove(0);
    incident.register(&second, incident.at("10:13:10"));

    let mut third =
        incident.launch(incident.at("10:20:45"), &general, &template, vec![VolumePlan::under(&node_key)]);
    incident.register(&third, incident.at("10:21:23"));
    incident.attach_volume(&mut third, incident.at("10:24:06"), &data_key);

    incident.dry_run(incident.at("10:31:12"), "default");
    incident.terminate_by_controller(&[&first], incident.at("10:52:19"));
    incident.make_noise(Noise::steady(incident.at("10:00:03"), incident.at("11:05:00")));
    incident.take()
}
