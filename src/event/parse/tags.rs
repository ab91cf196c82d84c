//! The tags that say what an instance is, in the three spellings of the EC2 APIs.

use super::Pool;
use super::member::Member;
use super::name::{name, names};
use crate::event::NodeTags;

/// Cluster name candidates, best first.
#[derive(Default)]
struct Cluster<'a> {
    eks: Option<std::borrow::Cow<'a, str>>,
    owned: Option<std::borrow::Cow<'a, str>>,
    managed_by: Option<std::borrow::Cow<'a, str>>,
}

/// Reads a list of `{key, value}` in any case.
pub(super) fn read(pool: &mut Pool, list: Member<'_>) -> NodeTags {
    let mut tags = NodeTags::default();
    read_into(pool, &mut tags, &[list]);
    tags
}

/// Reads `TagSpecification`s (of `CreateFleet`) or `tagSpecificationSet` (of `RunInstances`): the tags of
/// the instance, else those of any other resource.
pub(super) fn read_specifications(pool: &mut Pool, specifications: Member<'_>) -> NodeTags {
    let mut lists: Vec<_> = specifications
        .items()
        .map(|specification| {
            let is_instance = specification.get(name!("resourceType")).text() == Some("instance");
            (!is_instance, specification.get_list(&names!["tag", "tags", "tagSet"]))
        })
        .collect();
    lists.sort_by_key(|(is_other, _)| *is_other);
    let lists: Vec<_> = lists.into_iter().map(|(_, list)| list).collect();
    let mut tags = NodeTags::default();
    read_into(pool, &mut tags, &lists);
    tags
}

fn read_into(pool: &mut Pool, tags: &mut NodeTags, lists: &[Member<'_>]) {
    let mut cluster = Cluster::default();
    for tag in lists.iter().flat_map(|list| list.items()) {
        let [key, value] = tag.get_each(names!["key", "value"]);
        let Some(key) = key.text() else {
            continue;
        };
        let value = value.written();
        tags.is_karpenter |= key.starts_with("karpenter.sh/") || key.starts_with("karpenter.k8s.aws/");
        tags.is_auto_mode |=
            matches!(key, "eks:kubernetes-node-pool-name" | "eks:kubernetes-node-class-name");
        if let Some(name) = key.strip_prefix("kubernetes.io/cluster/").filter(|name| !name.is_empty()) {
            cluster.owned.get_or_insert(name.into());
            continue;
        }
        let field = match key {
            "Name" => &mut tags.name,
            "karpenter.sh/nodepool" | "karpenter.sh/provisioner-name" | "eks:kubernetes-node-pool-name" => {
                &mut tags.nodepool
            }
            "karpenter.k8s.aws/ec2nodeclass" | "eks:kubernetes-node-class-name" => &mut tags.nodeclass,
            "karpenter.sh/nodeclaim" => &mut tags.nodeclaim,
            "aws:ec2:fleet-id" => &mut tags.fleet_id,
            "aws:ec2launchtemplate:id" => &mut tags.template_id,
            "aws:ec2launchtemplate:version" => &mut tags.template_version,
            "aws:autoscaling:groupName" => &mut tags.auto_scaling_group,
            "eks:eks-cluster-name" | "aws:eks:cluster-name" | "eks:cluster-name" => {
                cluster.eks = cluster.eks.or(value);
                continue;
            }
            "karpenter.sh/managed-by" => {
                cluster.managed_by = cluster.managed_by.or(value);
                continue;
            }
            _ => continue,
        };
        if field.is_none() {
            let is_passing = matches!(key, "Name" | "karpenter.sh/nodeclaim" | "aws:ec2:fleet-id");
            *field = if is_passing { pool.optional_passing(value.as_deref()) } else { pool.written(value) };
        }
    }
    tags.cluster = pool.written(cluster.eks.or(cluster.owned).or(cluster.managed_by));
}
