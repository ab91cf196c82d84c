//! Incidents in which nodes run under another key than the configured one, or under keys that changed.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::configuration::Caller;
use crate::support::incident::{Incident, VolumePlan};
use crate::support::noise::Noise;
use crate::support::record::Record;

/// The mapping encrypts `/dev/xvda`, but the AMI's root is `/dev/sda1`: it falls to the account's default key.
pub fn account_default(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "us-west-2", "search", "2026-04-14");
    let configured_key = incident.key();
    let default_key = incident.key();
    let alias = "alias/karpenter-nodes";
    let indexers = NodePool::new("indexers", "ubuntu");
    let scratch = NodePool::new("scratch", "no-key");

    let start = incident.at("09:00:03");
    let platform = Caller::person(&mut incident.ids, &incident.cluster, "maria", start - 900);
    incident.enable_ebs_encryption(&platform, incident.at("09:02:11"));
    incident.set_ebs_default_key(&platform, incident.at("09:03:47"), &default_key);
    incident.point_alias(&platform, incident.at("09:06:20"), "CreateAlias", alias, &configured_key);

    let time = incident.at("09:21:15");
    let template =
        incident.launch_template_of_image(time - 4, "/dev/sda1", &[Mapping::with_key("/dev/xvda", alias)]);
    for time in [time, incident.at("09:34:02")] {
        let volumes = vec![VolumePlan::under(&default_key), VolumePlan::requested_as(alias, &configured_key)];
        let node = incident.launch(time, &indexers, &template, volumes);
        incident.register(&node, time + 42);
    }

    let time = incident.at("09:41:50");
    let template =
        incident.launch_template_of_image(time - 3, "/dev/sda1", &[Mapping::encrypted("/dev/sda1")]);
    let node = incident.launch(time, &scratch, &template, vec![VolumePlan::under(&default_key)]);
    incident.register(&node, time + 39);
    incident.make_noise(Noise::steady(start, incident.at("10:05:00")));
    incident.take()
}
