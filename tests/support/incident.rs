//! The builder of incidents: a cluster, what happens to it, and the records that AWS would have written.
//!
//! Calls come in as they happen; [`Incident::take`] gives the records. It never judges: what a tool should
//! conclude stands in each sample's `expected.json`, written by hand.

use super::cluster::{Cluster, Era, Mapping, Node, NodePool, Template};
use super::configuration::Caller;
use super::ec2::{self, Fleet, FleetFault, FleetMember};
use super::identity::Session;
use super::ids::Ids;
use super::kms::{self, Call, Refusal, Volume};
use super::record::{Draft, Record, second};

/// An incident under construction.
#[derive(Clone, Debug)]
pub struct Incident {
    /// The cluster.
    pub cluster: Cluster,
    /// Ids for everything that is made.
    pub ids: Ids,
    /// Day of the incident, such as `2026-03-03`.
    pub day: String,
    records: Vec<Record>,
}

/// One volume of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlan {
    /// The key as EC2 passes it to KMS: ARN, id or alias.
    pub requested: String,
    /// ARN of the key.
    pub key: String,
    /// Snapshot and its key, for an encrypted AMI.
    pub snapshot: Option<(String, String)>,
    /// KMS's refusal, if it refuses.
    pub refusal: Option<Refusal>,
    /// Whether the instance comes so far as to open the volume.
    pub is_opened: bool,
    /// Whether KMS throttles the first call, which EC2 repeats.
    pub is_throttled: bool,
}

/// One node to launch.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Instance type.
    pub instance_type: &'static str,
    /// Zone letter.
    pub zone: char,
    /// Encrypted volumes; none for an unencrypted launch.
    pub volumes: Vec<VolumePlan>,
    /// Whether KMS's events of the launch carry a request id of their own.
    pub has_own_kms_request: bool,
}

/// One fleet to launch.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// Unix second of `CreateFleet`.
    pub time: i64,
    /// NodePool.
    pub pool: NodePool,
    /// Launch template.
    pub template: Template,
    /// Whether it asks for spot capacity.
    pub is_spot: bool,
    /// The nodes that it makes.
    pub nodes: Vec<NodePlan>,
    /// Errors besides the nodes, or instead of them.
    pub faults: Vec<FleetFault>,
    /// Whether one `RunInstances` makes all of the nodes.
    pub is_one_request: bool,
}

impl VolumePlan {
    /// A volume under `key`, which was asked for by its ARN.
    pub fn under(key: &str) -> Self {
        Self {
            requested: key.to_owned(),
            key: key.to_owned(),
            snapshot: None,
            refusal: None,
            is_opened: true,
            is_throttled: false,
        }
    }

    /// A volume under `key`, which was asked for as `requested`.
    pub fn requested_as(requested: &str, key: &str) -> Self {
        Self { requested: requested.to_owned(), ..Self::under(key) }
    }

    /// The same volume, made from an encrypted snapshot.
    pub fn of_snapshot(self, snapshot_id: &str, snapshot_key: &str) -> Self {
        Self { snapshot: Some((snapshot_id.to_owned(), snapshot_key.to_owned())), ..self }
    }

    /// The same volume, which the instance never opens.
    pub fn unopened(self) -> Self {
        Self { is_opened: false, ..self }
    }

    /// The same volume, after a first call that KMS throttles.
    pub fn throttled_first(self) -> Self {
        Self { is_throttled: true, ..self }
    }

    /// The same volume, refused.
    pub fn refused(self, refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..self }
    }
}

impl NodePlan {
    /// A node with these encrypted volumes.
    pub fn new(zone: char, volumes: Vec<VolumePlan>) -> Self {
        Self { instance_type: "m6i.xlarge", zone, volumes, has_own_kms_request: false }
    }

    /// The same node, but KMS's events of it carry a request id of their own.
    pub fn with_own_kms_request(self) -> Self {
        Self { has_own_kms_request: true, ..self }
    }
}

impl FleetPlan {
    /// A fleet that makes nothing but errors.
    pub fn failed(time: i64, pool: &NodePool, template: &Template, faults: Vec<FleetFault>) -> Self {
        Self { faults, ..Self::new(time, pool, template, Vec::new()) }
    }

    /// An on-demand fleet of these nodes.
    pub fn new(time: i64, pool: &NodePool, template: &Template, nodes: Vec<NodePlan>) -> Self {
        Self {
            time,
            pool: pool.clone(),
            template: template.clone(),
            is_spot: false,
            nodes,
            faults: Vec::new(),
            is_one_request: false,
        }
    }

    /// The same fleet, whose nodes one `RunInstances` makes.
    pub fn in_one_request(self) -> Self {
        Self { is_one_request: true, ..self }
    }

    /// The same fleet, with errors besides its nodes.
    pub fn with_faults(self, faults: Vec<FleetFault>) -> Self {
        Self { faults, ..self }
    }

    /// The same fleet on spot capacity.
    pub fn on_spot(self) -> Self {
        Self { is_spot: true, ..self }
    }
}

impl Incident {
    /// An incident of a Karpenter cluster on a day such as `2026-03-03`.
    pub fn new(seed: u64, account_id: &str, region: &str, cluster: &str, day: &str) -> Self {
        let mut ids = Ids::new(seed);
        let cluster = Cluster::new(&mut ids, account_id, region, cluster);
        Self { cluster, ids, day: day.to_owned(), records: Vec::new() }
    }

    /// Unix second of a time of the day such as `10:04:31`.
    pub fn at(&self, time: &str) -> i64 {
        second(&format!("{}T{time}Z", self.day))
    }

    /// A key of the cluster's account and region.
    pub fn key(&mut self) -> String {
        let key_id = self.ids.uuid();
        format!("arn:aws:kms:{}:{}:key/{key_id}", self.cluster.region, self.cluster.account_id)
    }

    /// ARN of the session that would launch at `time`: KMS's refusals name it.
    pub fn launching_session_arn(&self, time: i64) -> String {
        self.cluster.controller_session(time).arn()
    }

    /// The records so far, leaving none.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Adds a record.
    pub fn write(&mut self, draft: Draft) -> String {
        let event_id = draft.event_id.clone();
        self.records.push(draft.finish());
        event_id
    }

    /// A launch template for these mappings.
    pub fn launch_template(&mut self, time: i64, mappings: &[Mapping]) -> Template {
        self.launch_template_of_image(time, "/dev/xvda", mappings)
    }

    /// A launch template for an AMI whose root device is `root_device`.
    pub fn launch_template_of_image(
        &mut self,
        time: i64,
        root_device: &str,
        mappings: &[Mapping],
    ) -> Template {
        let template = self.unrecorded_template(root_device);
        self.create_template(time, &template, mappings);
        template
    }

    /// A launch template that somebody else makes, as for node groups.
    pub fn launch_template_by(&mut self, caller: &Caller, time: i64, mappings: &[Mapping]) -> Template {
        let template = self.unrecorded_template("/dev/xvda");
        let mut draft = ec2::create_launch_template(&mut self.ids, &self.cluster, time, &template, mappings);
        let creator = self.launching_session_arn(time);
        draft.response.0 = draft.response.0.replace(&creator, &caller.arn);
        draft.identity = caller.identity.clone();
        caller.source_ip.clone_into(&mut draft.source_ip);
        caller.user_agent.clone_into(&mut draft.user_agent);
        self.write(draft);
        template
    }

    /// `CreateLaunchTemplate` of a template whose facts are already known.
    pub fn create_template(&mut self, time: i64, template: &Template, mappings: &[Mapping]) {
        let draft = ec2::create_launch_template(&mut self.ids, &self.cluster, time, template, mappings);
        self.write(draft);
    }

    /// A launch template that was made before the archive begins.
    pub fn unrecorded_template(&mut self, root_device: &str) -> Template {
        let name = match self.cluster.era {
            Era::Provisioner => {
                format!("Karpenter-{}-{}", self.cluster.name, self.ids.below(u64::MAX))
            }
            Era::NodePool => format!("karpenter.k8s.aws/{}", self.ids.below(u64::MAX)),
            Era::AutoMode | Era::NodeGroup => format!("eks-{}", self.ids.uuid()),
        };
        Template {
            id: self.ids.ec2("lt"),
            name,
            image_id: self.ids.ec2("ami"),
            root_device: root_device.to_owned(),
        }
    }

    /// One node of a fleet of its own.
    pub fn launch(
        &mut self,
        time: i64,
        pool: &NodePool,
        template: &Template,
        volumes: Vec<VolumePlan>,
    ) -> Node {
        let zone = ['a', 'b', 'c'][usize::try_from(self.ids.below(3)).expect("small")];
        let plan = FleetPlan::new(time, pool, template, vec![NodePlan::new(zone, volumes)]);
        self.launch_fleet(&plan).remove(0)
    }

    /// `CreateFleet`, and for each node `RunInstances` a second later and what KMS logs of it. Auto Scaling's
    /// fleets are not logged: of them only `RunInstances` appears.
    pub fn launch_fleet(&mut self, plan: &FleetPlan) -> Vec<Node> {
        let fleet_id = format!("fleet-{}", self.ids.uuid());
        let mut nodes: Vec<Node> = plan.nodes.iter().map(|_| self.plan_node(plan)).collect();
        if plan.is_one_request
            && let Some(first) = nodes.first()
        {
            let request_id = first.request_id.clone();
            nodes.iter_mut().for_each(|node| request_id.clone_into(&mut node.request_id));
        }
        if self.cluster.era != Era::NodeGroup {
            self.write_fleet(plan, &fleet_id, &nodes);
        }
        let tags = self.cluster.tags(&plan.pool);
        let instances: Vec<ec2::Instance<'_>> = nodes
            .iter()
            .zip(&plan.nodes)
            .enumerate()
            .map(|(fleet_index, (node, node_plan))| ec2::Instance {
                node,
                instance_type: node_plan.instance_type,
                zone: node_plan.zone,
                fleet_id: &fleet_id,
                fleet_index,
                is_spot: plan.is_spot,
                tags: &tags,
            })
            .collect();
        let together = if plan.is_one_request { instances.len().max(1) } else { 1 };
        let mut launched: Vec<Node> = Vec::with_capacity(nodes.len());
        for (group, node_plans) in instances.chunks(together).zip(plan.nodes.chunks(together)) {
            let draft = ec2::run_instances(&mut self.ids, &self.cluster, &plan.template, group);
            self.write(draft);
            for (instance, node_plan) in group.iter().zip(node_plans) {
                let mut node = instance.node.clone();
                let kms_request_id =
                    if node_plan.has_own_kms_request { self.ids.uuid() } else { node.request_id.clone() };
                for volume in &node_plan.volumes {
                    self.make_volume(&mut node, volume, &kms_request_id);
                }
                launched.push(node);
            }
        }
        launched
    }

    fn plan_node(&mut self, plan: &FleetPlan) -> Node {
        let host =
            format!("ip-10-{}-{}-{}", 20 + self.ids.below(60), self.ids.below(250), 4 + self.ids.below(250));
        Node {
            instance_id: self.ids.ec2("i"),
            request_id: self.ids.uuid(),
            launched: plan.time + 1,
            private_dns_name: format!("{host}.{}.compute.internal", self.cluster.region),
            network_interface_id: self.ids.ec2("eni"),
            nodepool: plan.pool.name.clone(),
            volume_ids: Vec::new(),
            grants: Vec::new(),
            session: self.cluster.controller_session(plan.time),
        }
    }

    fn write_fleet(&mut self, plan: &FleetPlan, fleet_id: &str, nodes: &[Node]) {
        let capacity_type = if plan.is_spot { "spot" } else { "on-demand" };
        let fleet = Fleet {
            capacity_type,
            capacity: i64::try_from(plan.nodes.len().max(1)).expect("a fleet is small"),
            types: &["m6i.xlarge", "m5.xlarge"],
            is_dry_run: false,
        };
        let mut draft =
            ec2::create_fleet(&mut self.ids, &self.cluster, plan.time, &plan.pool, &plan.template, &fleet);
        let members: Vec<FleetMember> = nodes
            .iter()
            .zip(&plan.nodes)
            .map(|(node, node_plan)| FleetMember {
                instance_id: node.instance_id.clone(),
                instance_type: node_plan.instance_type.to_owned(),
                zone: node_plan.zone,
            })
            .collect();
        draft.response = ec2::fleet_response(
            &self.cluster,
            &plan.template,
            fleet_id,
            capacity_type,
            (&members, &plan.faults),
            draft.request_id.as_ref().expect("a call has a request id"),
        );
        self.write(draft);
    }

    /// What KMS logs of one volume, up to its refusal.
    fn make_volume(&mut self, node: &mut Node, plan: &VolumePlan, request_id: &str) {
        let volume_id = self.ids.ec2("vol");
        let volume = Volume { volume_id: &volume_id, requested: &plan.requested, key: &plan.key, request_id };
        let session = node.session.clone();
        let time = node.launched;
        node.volume_ids.push(volume_id.clone());

        if let Some((snapshot_id, snapshot_key)) = &plan.snapshot {
            if self.is_refused(plan, Call::ReEncrypt, &session, time + 1, request_id) {
                return;
            }
            let snapshot = (snapshot_id.as_str(), snapshot_key.as_str());
            let draft = kms::re_encrypt(&mut self.ids, &self.cluster, &session, time + 1, volume, snapshot);
            let owner_copy = (!snapshot_key.contains(&format!(":{}:", self.cluster.account_id)))
                .then(|| kms::for_key_owner(&mut self.ids, &draft, &session, snapshot_key));
            self.write(draft);
            if let Some(copy) = owner_copy {
                self.write(copy);
            }
        }
        if plan.is_throttled {
            let throttled = Refusal::throttled(Call::GenerateDataKeyWithoutPlaintext);
            let draft = kms::refused(&mut self.ids, &self.cluster, &session, time, request_id, &throttled);
            self.write(draft);
        }
        if self.is_refused(plan, Call::GenerateDataKeyWithoutPlaintext, &session, time + 1, request_id) {
            return;
        }
        let draft = kms::generate_data_key(&mut self.ids, &self.cluster, &session, time + 1, volume);
        self.write(draft);
        if self.is_refused(plan, Call::CreateGrant, &session, time + 1, request_id) {
            return;
        }
        self.grant(node, volume, &session, time + 1);
        let draft = kms::decrypt_by_ebs(&mut self.ids, &self.cluster, time + 2, volume);
        self.write(draft);
        if plan.is_opened {
            let draft = kms::decrypt_by_instance(&mut self.ids, &self.cluster, time + 4, node, volume);
            self.write(draft);
        }
    }

    fn is_refused(
        &mut self,
        plan: &VolumePlan,
        call: Call,
        session: &Session,
        time: i64,
        request_id: &str,
    ) -> bool {
        let Some(refusal) = plan.refusal.as_ref().filter(|refusal| refusal.call == call) else {
            return false;
        };
        let draft = kms::refused(&mut self.ids, &self.cluster, session, time, request_id, refusal);
        self.write(draft);
        true
    }

    /// The two grants of a volume: for the instance and for the EC2 service.
    fn grant(&mut self, node: &mut Node, volume: Volume<'_>, session: &Session, time: i64) {
        for instance_id in [Some(node.instance_id.as_str()), None] {
            let grant_id = self.ids.long_hex();
            let draft = kms::create_grant(
                &mut self.ids,
                &self.cluster,
                session,
                time,
                volume,
                (&grant_id, instance_id),
            );
            self.write(draft);
            node.grants.push((grant_id, volume.key.to_owned()));
        }
    }

    /// The node registers: Karpenter tags it with its node claim and its name.
    pub fn register(&mut self, node: &Node, time: i64) {
        let nodeclaim = format!("{}-{}", node.nodepool, self.ids.capitals(5).to_lowercase());
        let draft = ec2::register(&mut self.ids, &self.cluster, time, node, &nodeclaim);
        self.write(draft);
    }

    /// A persistent volume under `key` is attached by the EBS CSI driver's role.
    pub fn attach_volume(&mut self, node: &mut Node, time: i64, key: &str) -> String {
        let driver = super::identity::Role::new(
            &mut self.ids,
            &self.cluster.account_id,
            &format!("AmazonEKS_EBS_CSI_DriverRole-{}", self.cluster.name),
        );
        let session = Session::new(&mut self.ids, &driver, "1772530000000000001", time - 900);
        let volume_id = self.ids.ec2("vol");
        let (draft, request_id) = super::configuration::attach_volume(
            &mut self.ids,
            &self.cluster,
            &session,
            time,
            (&volume_id, &node.instance_id),
        );
        self.write(draft);
        let volume = Volume { volume_id: &volume_id, requested: key, key, request_id: &request_id };
        self.grant(node, volume, &session, time);
        let draft = kms::decrypt_by_instance(&mut self.ids, &self.cluster, time + 2, node, volume);
        self.write(draft);
        volume_id
    }
}
