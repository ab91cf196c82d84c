//! Launches without end, for benches: one node's records at a time, so that memory does not grow with them.
//!
//! A seed and a count come in, an iterator of record batches goes out.

use super::cluster::{Mapping, NodePool, Template};
use super::incident::{Incident, VolumePlan};
use super::kms::{Call, Refusal};
use super::noise::Noise;
use super::record::Record;

/// An iterator over launches: each item holds the records of one node from its fleet to its end.
pub struct Launches {
    incident: Incident,
    pools: Vec<(NodePool, Template, String)>,
    start: i64,
    seconds_apart: i64,
    noise_bursts: i64,
    next: u64,
    nodes: u64,
}

impl Launches {
    /// `nodes` launches, `seconds_apart` apart. Every 20th node is refused by KMS; the others live for ten
    /// minutes. `noise_bursts` bursts of two irrelevant records follow each launch.
    pub fn new(seed: u64, nodes: u64, seconds_apart: i64, noise_bursts: i64) -> Self {
        let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "scale", "2026-01-05");
        let start = incident.at("00:00:00");
        let pools = (0..8)
            .map(|index| {
                let key = incident.key();
                let template = incident.launch_template(start, &[Mapping::with_key("/dev/xvda", &key)]);
                (NodePool::new(&format!("pool-{index}"), &format!("class-{index}")), template, key)
            })
            .collect();
        Self { incident, pools, start, seconds_apart, noise_bursts, next: 0, nodes }
    }
}

impl Iterator for Launches {
    type Item = Vec<Record>;

    fn next(&mut self) -> Option<Vec<Record>> {
        const LIFE_SECONDS: i64 = 600;
        if self.next == self.nodes {
            return None;
        }
        let offset = i64::try_from(self.next).expect("fewer than 2^63 nodes");
        let time = self.start + 60 + offset * self.seconds_apart;
        let pool_index = usize::try_from(self.next % 8).expect("small");
        let (pool, template, key) = self.pools[pool_index].clone();
        let mut volume = VolumePlan::under(&key);
        let is_refused = self.next % 20 == 19;
        if is_refused {
            let principal = self.incident.launching_session_arn(time);
            let action = "kms:CreateGrant";
            volume = volume.refused(Refusal::by_identity_policy(Call::CreateGrant, &principal, action, &key));
        }
        let node = self.incident.launch(time, &pool, &template, vec![volume]);
        if is_refused {
            self.incident.abort_launch(&node, time + 17);
        } else {
            self.incident.register(&node, time + 40);
            self.incident.terminate_by_controller(&[&node], time + LIFE_SECONDS);
        }
        if self.noise_bursts > 0 {
            let to = time + self.noise_bursts - 1;
            self.incident.make_noise(Noise { every_seconds: 1, ..Noise::steady(time, to) });
        }
        self.next += 1;
        Some(self.incident.take())
    }
}
