//! A cluster with the controller that launches its nodes, and the launch templates and nodes it makes.
//!
//! Plain facts: who acts, in which account, region and network, with which tags. Records are written elsewhere.

use super::identity::{Role, Session};
use super::ids::Ids;

/// Who launches nodes, and how it tags them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Karpenter before 0.32: Provisioners, SDK version 1.
    Provisioner,
    /// Karpenter 1.x: NodePools.
    NodePool,
    /// EKS Auto Mode: AWS runs Karpenter, with the cluster's role.
    AutoMode,
    /// A managed node group: Auto Scaling launches the instances.
    NodeGroup,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Account.
    pub account_id: String,
    /// Region.
    pub region: String,
    /// Cluster name.
    pub name: String,
    /// Who launches nodes.
    pub era: Era,
    /// Karpenter's version.
    pub karpenter_version: String,
    /// The role that launches nodes.
    pub controller: Role,
    /// Address that the controller's calls come from.
    pub controller_ip: String,
    /// VPC.
    pub vpc_id: String,
    /// Subnets in zones a, b and c.
    pub subnets: [String; 3],
    /// Security group of the nodes.
    pub security_group: String,
    /// Seed of the controller's session names.
    seed: u64,
}

/// One block device mapping of a launch template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Device name.
    pub device: String,
    /// `Encrypted`.
    pub encrypted: Option<bool>,
    /// `KmsKeyId`, as written in the node class.
    pub key: Option<String>,
    /// Size in GiB.
    pub size: i64,
}

/// A launch template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Template id.
    pub id: String,
    /// Template name.
    pub name: String,
    /// AMI.
    pub image_id: String,
    /// The AMI's root device.
    pub root_device: String,
}

/// An instance that a launch made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Instance id.
    pub instance_id: String,
    /// Request id of its `RunInstances`.
    pub request_id: String,
    /// Unix second of its launch.
    pub launched: i64,
    /// Private DNS name.
    pub private_dns_name: String,
    /// Network interface.
    pub network_interface_id: String,
    /// NodePool (node group, Provisioner).
    pub nodepool: String,
    /// Volumes of the launch.
    pub volume_ids: Vec<String>,
    /// Grants made: grant id and key ARN.
    pub grants: Vec<(String, String)>,
    /// The session that launched it.
    pub session: Session,
}

/// What a nodepool is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePool {
    /// NodePool, Provisioner or node group.
    pub name: String,
    /// EC2NodeClass or NodeClass; empty where the era has none.
    pub nodeclass: String,
}

impl Mapping {
    /// A mapping with a key.
    pub fn with_key(device: &str, key: &str) -> Self {
        Self { device: device.to_owned(), encrypted: Some(true), key: Some(key.to_owned()), size: 100 }
    }

    /// An encrypted mapping that names no key.
    pub fn encrypted(device: &str) -> Self {
        Self { device: device.to_owned(), encrypted: Some(true), key: None, size: 100 }
    }

    /// A mapping that says nothing of encryption.
    pub fn plain(device: &str) -> Self {
        Self { device: device.to_owned(), encrypted: None, key: None, size: 100 }
    }

    /// The same mapping with another size in GiB.
    pub fn of_size(self, size: i64) -> Self {
        Self { size, ..self }
    }
}

impl NodePool {
    /// A nodepool and its node class.
    pub fn new(name: &str, nodeclass: &str) -> Self {
        Self { name: name.to_owned(), nodeclass: nodeclass.to_owned() }
    }
}

impl Cluster {
    /// A cluster whose nodes Karpenter 1.5.0 launches.
    pub fn new(ids: &mut Ids, account_id: &str, region: &str, name: &str) -> Self {
        let mut controller = Role::new(ids, account_id, &format!("KarpenterControllerRole-{name}"));
        let provider = format!("oidc.eks.{region}.amazonaws.com/id/{}", ids.capitals(32));
        controller.oidc_provider = Some(format!("arn:aws:iam::{account_id}:oidc-provider/{provider}"));
        Self {
            account_id: account_id.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
            era: Era::NodePool,
            karpenter_version: "1.5.0".to_owned(),
            controller,
            controller_ip: format!("203.0.113.{}", 10 + ids.below(200)),
            vpc_id: ids.ec2("vpc"),
            subnets: [ids.ec2("subnet"), ids.ec2("subnet"), ids.ec2("subnet")],
            security_group: ids.ec2("sg"),
            seed: ids.bits(),
        }
    }

    /// The same cluster as Karpenter 0.27 ran it.
    pub fn in_provisioner_era(mut self) -> Self {
        self.era = Era::Provisioner;
        self.karpenter_version = "v0.27.5".to_owned();
        self
    }

    /// The same cluster run by EKS Auto Mode, with `role` as the cluster's role.
    pub fn in_auto_mode(mut self, ids: &mut Ids, role: &str) -> Self {
        self.era = Era::AutoMode;
        self.controller = Role::new(ids, &self.account_id, role);
        self
    }

    /// The same cluster with managed node groups only.
    pub fn with_node_groups(mut self, ids: &mut Ids) -> Self {
        self.era = Era::NodeGroup;
        self.controller = Role::of_auto_scaling(ids, &self.account_id);
        self
    }

    /// The controller's session at a time: Karpenter takes a new one every 50 minutes.
    pub fn controller_session(&self, time: i64) -> Session {
        const SESSION_SECONDS: i64 = 3000;
        let created = time - (time + i64::try_from(self.seed % 1000).expect("small")) % SESSION_SECONDS;
        let created_bits = u64::try_from(created).expect("a time of this century");
        let mut ids = Ids::new(self.seed ^ created_bits);
        let name = match self.era {
            Era::Provisioner | Era::NodePool => format!("{created}{:09}", ids.below(1_000_000_000)),
            Era::AutoMode => "aws-eks-auto-mode".to_owned(),
            Era::NodeGroup => "AutoScaling".to_owned(),
        };
        Session::new(&mut ids, &self.controller, &name, created)
    }

    /// User agent of the controller's own calls to `api`.
    pub fn user_agent(&self, api: &str) -> String {
        let version = &self.karpenter_version;
        match self.era {
            Era::Provisioner => {
                format!("aws-sdk-go/1.44.245 (go1.20.3; linux; amd64) karpenter.sh-{version}")
            }
            Era::NodePool => format!(
                "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOOS#linux md/GOARCH#amd64 \
                 api/{api}#1.215.0 karpenter.sh-{version} m/h"
            ),
            Era::AutoMode => "eks.amazonaws.com".to_owned(),
            Era::NodeGroup => "autoscaling.amazonaws.com".to_owned(),
        }
    }

    /// The service that calls EC2 in the controller's name, where it is not the controller itself.
    pub fn calling_service(&self) -> Option<&'static str> {
        match self.era {
            Era::Provisioner | Era::NodePool => None,
            Era::AutoMode => Some("eks.amazonaws.com"),
            Era::NodeGroup => Some("autoscaling.amazonaws.com"),
        }
    }

    /// The tags of a nodepool's instances at launch.
    pub fn tags(&self, pool: &NodePool) -> Vec<(String, String)> {
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let cluster_tag = (format!("kubernetes.io/cluster/{}", self.name), "owned".to_owned());
        match self.era {
            Era::Provisioner => vec![
                own("karpenter.sh/provisioner-name", &pool.name),
                own("Name", &format!("karpenter.sh/provisioner-name/{}", pool.name)),
                cluster_tag,
            ],
            Era::NodePool => vec![
                own("karpenter.sh/nodepool", &pool.name),
                own("karpenter.k8s.aws/ec2nodeclass", &pool.nodeclass),
                cluster_tag,
                own("eks:eks-cluster-name", &self.name),
            ],
            Era::AutoMode => vec![
                own("eks:eks-cluster-name", &self.name),
                own("eks:kubernetes-node-pool-name", &pool.name),
                own("eks:kubernetes-node-class-name", &pool.nodeclass),
                cluster_tag,
            ],
            Era::NodeGroup => vec![
                own("aws:autoscaling:groupName", &format!("eks-{}", pool.name)),
                own("eks:cluster-name", &self.name),
                own("eks:nodegroup-name", &pool.name),
                cluster_tag,
            ],
        }
    }
}
