//! Incidents about how nodes end, with their keys in order.

use crate::support::cluster::{Mapping, NodePool};
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
