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

/// One multi-Region key, two regions: each cluster uses the key of its own region.
pub fn multi_region_key(seed: u64) -> Vec<Record> {
    const ACCOUNT_ID: &str = "123456789012";
    let mut home = Incident::new(seed, ACCOUNT_ID, "us-east-1", "global-us", "2026-10-13");
    let mut replica = Incident::new(seed + 2000, ACCOUNT_ID, "eu-west-1", "global-eu", "2026-10-13");
    let key_id = format!("mrk-{}", home.ids.uuid().replace('-', ""));
    let home_key = format!("arn:aws:kms:us-east-1:{ACCOUNT_ID}:key/{key_id}");
    let replica_key = format!("arn:aws:kms:eu-west-1:{ACCOUNT_ID}:key/{key_id}");
    let pool = NodePool::new("general", "default");
    for (incident, written, key) in [(&mut home, &home_key, &home_key), (&mut replica, &key_id, &replica_key)]
    {
        let time = incident.at("14:06:31");
        let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", written)]);
        let node = incident.launch(time, &pool, &template, vec![VolumePlan::requested_as(written, key)]);
        incident.register(&node, time + 38);
        incident.make_noise(Noise::steady(incident.at("14:00:03"), incident.at("14:40:00")));
    }
    let mut records = home.take();
    records.extend(replica.take());
    records
}

/// Karpenter 0.27: a Provisioner, no node class, the SDK's older user agent, no tags after registration.
pub fn provisioner_era(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-1", "museum", "2026-10-20");
    let cluster = incident.cluster.clone();
    incident.cluster = cluster.in_provisioner_era();
    let key = incident.key();
    let provisioner = NodePool::new("default", "");
    let time = incident.at("11:08:50");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    for time in [time, incident.at("11:19:02")] {
        incident.launch(time, &provisioner, &template, vec![VolumePlan::under(&key)]);
    }
    incident.make_noise(Noise::steady(incident.at("11:00:03"), incident.at("11:45:00")));
    incident.take()
}

/// KMS throttles the first call of two of four launches; EC2 tries again and succeeds.
pub fn throttled(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "ap-south-1", "surge", "2026-11-17");
    let key = incident.key();
    let pool = NodePool::new("general", "default");
    let time = incident.at("18:06:47");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let plans = ['a', 'b', 'c', 'a'].iter().enumerate().map(|(index, zone)| {
        let volume = VolumePlan::under(&key);
        let volume = if index % 2 == 1 { volume.throttled_first() } else { volume };
        NodePlan::new(*zone, vec![volume])
    });
    let plan = FleetPlan::new(time, &pool, &template, plans.collect());
    for node in incident.launch_fleet(&plan) {
        incident.register(&node, time + 44);
    }
    incident.make_noise(Noise::steady(incident.at("18:00:03"), incident.at("18:45:00")));
    incident.take()
}
