//! The ends of nodes: by Karpenter, by Auto Scaling, by a person, by spot, by EC2 itself.
//!
//! Each call adds the records that AWS would have written to an [`Incident`].

use super::cluster::{Cluster, Node};
use super::configuration::Caller;
use super::ec2;
use super::identity::{Role, Session};
use super::ids::Ids;
use super::incident::Incident;
use super::json::{Json, object};
use super::kms;
use super::record::Draft;

fn state(code: i64, name: &str) -> Json {
    object! { "code": code, "name": name }
}

/// Request and response of `TerminateInstances`.
fn terminate(draft: &mut Draft, nodes: &[&Node], previous: (i64, &str)) {
    let current = if previous.1 == "terminated" { (48, "terminated") } else { (32, "shutting-down") };
    draft.request = object! {
        "instancesSet": object! {
            "items": Json::array(nodes.iter().map(|node| object! { "instanceId": &node.instance_id })),
        },
    };
    draft.response = object! {
        "requestId": draft.request_id.as_ref().expect("a call has a request id"),
        "instancesSet": object! {
            "items": Json::array(nodes.iter().map(|node| {
                object! {
                    "instanceId": &node.instance_id,
                    "currentState": state(current.0, current.1),
                    "previousState": state(previous.0, previous.1),
                }
            })),
        },
    };
}

impl Incident {
    fn retire_grants(&mut self, nodes: &[&Node], time: i64, request_id: Option<&str>) {
        for node in nodes {
            for (grant_id, key) in &node.grants {
                let grant = (grant_id.as_str(), key.as_str());
                let draft = kms::retire_grant(&mut self.ids, &self.cluster, time, grant, request_id);
                self.write(draft);
            }
        }
    }

    /// Karpenter (or who runs it) terminates running nodes.
    pub fn terminate_by_controller(&mut self, nodes: &[&Node], time: i64) {
        self.terminate_by_controller_in_state(nodes, time, (16, "running"));
    }

    /// Karpenter terminates nodes that are already in another state.
    pub fn terminate_by_controller_in_state(&mut self, nodes: &[&Node], time: i64, previous: (i64, &str)) {
        let mut draft = ec2::controller_call(&mut self.ids, &self.cluster, "ec2", "TerminateInstances", time);
        terminate(&mut draft, nodes, previous);
        let request_id = draft.request_id.clone();
        self.write(draft);
        if previous.1 == "running" {
            self.retire_grants(nodes, time + 2, request_id.as_deref());
        }
    }

    /// A person or tool terminates nodes.
    pub fn terminate_by_caller(&mut self, caller: &Caller, nodes: &[&Node], time: i64) {
        let mut draft = caller.call(&mut self.ids, &self.cluster, "ec2", "TerminateInstances", time);
        terminate(&mut draft, nodes, (16, "running"));
        let request_id = draft.request_id.clone();
        self.write(draft);
        self.retire_grants(nodes, time + 2, request_id.as_deref());
    }

    /// Somebody takes an instance out of its Auto Scaling group, which terminates it.
    pub fn terminate_in_auto_scaling_group(&mut self, caller: &Caller, node: &Node, time: i64) {
        let mut draft = caller.call(
            &mut self.ids,
            &self.cluster,
            "autoscaling",
            "TerminateInstanceInAutoScalingGroup",
            time,
        );
        draft.request = object! {
            "instanceId": &node.instance_id,
            "shouldDecrementDesiredCapacity": true,
        };
        draft.response = object! {
            "activity": object! {
                "activityId": self.ids.uuid(),
                "autoScalingGroupName": format!("eks-{}", node.nodepool),
                "description": format!("Terminating EC2 instance: {}", node.instance_id),
                "statusCode": "InProgress",
                "progress": 0,
            },
        };
        self.write(draft);
        self.terminate_by_auto_scaling(node, time + 1);
    }

    /// Auto Scaling terminates an instance of its own accord.
    pub fn terminate_by_auto_scaling(&mut self, node: &Node, time: i64) {
        let role = Role::of_auto_scaling(&mut self.ids, &self.cluster.account_id);
        let session = Session::new(&mut self.ids, &role, "AutoScaling", time - 1);
        let mut draft = ec2::call_in_the_name_of(
            &mut self.ids,
            &self.cluster,
            &session,
            "TerminateInstances",
            time,
            "autoscaling.amazonaws.com",
        );
        terminate(&mut draft, &[node], (16, "running"));
        let request_id = draft.request_id.clone();
        self.write(draft);
        self.retire_grants(&[node], time + 2, request_id.as_deref());
    }

    /// EC2 takes spot capacity back.
    pub fn interrupt_spot(&mut self, nodes: &[&Node], time: i64) {
        let draft = bid_evicted(&mut self.ids, &self.cluster, nodes, time);
        self.write(draft);
        self.retire_grants(nodes, time + 3, None);
    }

    /// EC2 gives a launch up: only its network interface's deletion is logged.
    pub fn abort_launch(&mut self, node: &Node, time: i64) {
        let mut draft = ec2::call_in_the_name_of(
            &mut self.ids,
            &self.cluster,
            &node.session,
            "DeleteNetworkInterface",
            time,
            "ec2.amazonaws.com",
        );
        draft.request_id = Some(node.request_id.clone());
        draft.request = object! { "networkInterfaceId": &node.network_interface_id };
        draft.response = object! { "requestId": &node.request_id, "_return": true };
        self.write(draft);
    }
}

fn bid_evicted(ids: &mut Ids, cluster: &Cluster, nodes: &[&Node], time: i64) -> Draft {
    let mut draft = service_event(ids, cluster, "BidEvictedEvent", time);
    draft.has_capitalised_parameters = true;
    draft.service_details = Some(object! {
        "instanceIdSet": Json::array(nodes.iter().map(|node| node.instance_id.as_str())),
    });
    draft
}

/// An event that EC2 reports of itself.
pub fn service_event(ids: &mut Ids, cluster: &Cluster, name: &str, time: i64) -> Draft {
    let mut draft = Draft::call(ids, "ec2", name, time);
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
    draft.identity = object! { "accountId": &cluster.account_id, "invokedBy": "ec2.amazonaws.com" };
    draft.made_by_service("ec2.amazonaws.com");
    draft.event_type = "AwsServiceEvent";
    draft.request_id = None;
    draft
}
