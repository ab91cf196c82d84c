//! Which nodes and failed launches are of interest. Evidence is never filtered: a launch template or a policy
//! change may be older than the nodes asked for.

use super::case::{LaunchFailure, Node, Provisioner};
use crate::event::{Event, Text, Timestamp};

/// Which nodes are of interest; an empty list admits all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Launched (or, where the launch is not known, ended) at or after this time.
    pub from: Option<Timestamp>,
    /// Launched before this time.
    pub to: Option<Timestamp>,
    /// Accounts.
    pub accounts: Vec<Text>,
    /// Regions.
    pub regions: Vec<Text>,
    /// Clusters.
    pub clusters: Vec<Text>,
    /// NodePools.
    pub nodepools: Vec<Text>,
    /// Whether launches by others than Karpenter and EKS Auto Mode are of interest too.
    pub all_launches: bool,
}

fn is_listed(list: &[Text], value: Option<&Text>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.contains(value))
}

impl Filter {
    /// All that can be said before the node is judged.
    pub(super) fn may_admit(&self, node: &Node) -> bool {
        self.admits_provisioner(node.provisioner)
            && is_listed(&self.accounts, Some(&node.account_id))
            && is_listed(&self.regions, Some(&node.region))
            && is_listed(&self.clusters, node.cluster.as_ref())
            && is_listed(&self.nodepools, node.nodepool.as_ref())
    }

    pub(super) fn admits_node(&self, node: &Node) -> bool {
        match node.launched_at.or(node.ended_at) {
            Some(time) => self.admits_time(time),
            None => true,
        }
    }

    pub(super) fn admits_failure(&self, failure: &LaunchFailure) -> bool {
        self.admits_provisioner(failure.provisioner)
            && is_listed(&self.accounts, Some(&failure.account_id))
            && is_listed(&self.regions, Some(&failure.region))
            && is_listed(&self.clusters, failure.cluster.as_ref())
            && is_listed(&self.nodepools, failure.nodepool.as_ref())
            && self.admits_time(failure.at)
    }

    /// Whether an event without a node is in the places and times of interest. Which cluster it is of is not
    /// known.
    pub(super) fn admits_event(&self, event: &Event) -> bool {
        is_listed(&self.accounts, Some(&event.account_id))
            && is_listed(&self.regions, Some(&event.region))
            && self.admits_time(event.time)
    }

    fn admits_provisioner(&self, provisioner: Provisioner) -> bool {
        self.all_launches || matches!(provisioner, Provisioner::Karpenter | Provisioner::EksAutoMode)
    }

    fn admits_time(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}
