//! EC2's records of a launch: launch template, fleet, instance, tags.
//!
//! Facts of a cluster come in, one [`Draft`] per call goes out; nothing here decides what happens.

use super::cluster::{Cluster, Mapping, Node, NodePool, Template};
use super::identity::Session;
use super::ids::Ids;
use super::json::{Json, Object, object};
use super::record::{Draft, iso};

/// XML namespace that EC2 names in its converted responses.
const XMLNS: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// One instance that a fleet is to launch.
#[derive(Clone, Debug)]
pub struct FleetMember {
    /// Instance id.
    pub instance_id: String,
    /// Instance type.
    pub instance_type: String,
    /// Zone letter: `a`, `b` or `c`.
    pub zone: char,
}

/// An error of a fleet's response.
#[derive(Clone, Debug)]
pub struct FleetFault {
    /// Code, such as `InsufficientInstanceCapacity`.
    pub code: String,
    /// Message.
    pub message: String,
    /// Instance type of the override that failed.
    pub instance_type: String,
    /// Zone letter.
    pub zone: char,
}

/// The subnet of a zone letter.
pub fn subnet(cluster: &Cluster, zone: char) -> &str {
    match zone {
        'a' => &cluster.subnets[0],
        'b' => &cluster.subnets[1],
        _ => &cluster.subnets[2],
    }
}

/// A call of the controller, or of the service that acts for it.
pub fn controller_call(
    ids: &mut Ids,
    cluster: &Cluster,
    service: &'static str,
    name: &str,
    time: i64,
) -> Draft {
    let session = cluster.controller_session(time);
    let mut draft = Draft::call(ids, service, name, time);
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
    if let Some(caller) = cluster.calling_service() {
        draft.identity = session.identity_through(caller);
        draft.made_by_service(caller);
    } else {
        draft.identity = session.identity();
        cluster.controller_ip.clone_into(&mut draft.source_ip);
        draft.user_agent = cluster.user_agent(service);
    }
    draft
}

fn mapping_json(mapping: &Mapping, index: Option<i64>) -> Json {
    let mut ebs = Object::new();
    ebs.member_if("Encrypted", mapping.encrypted);
    ebs.member_if("KmsKeyId", mapping.key.as_ref());
    ebs.member("VolumeSize", mapping.size);
    ebs.member("VolumeType", "gp3");
    ebs.member("DeleteOnTermination", true);
    let mut json = Object::new();
    json.member_if("tag", index);
    json.member("DeviceName", &mapping.device);
    json.member("Ebs", ebs.finish());
    json.finish()
}

/// `CreateLaunchTemplate` by the controller.
pub fn create_launch_template(
    ids: &mut Ids,
    cluster: &Cluster,
    time: i64,
    template: &Template,
    mappings: &[Mapping],
) -> Draft {
    let mut draft = controller_call(ids, cluster, "ec2", "CreateLaunchTemplate", time);
    let mut data = Object::new();
    match mappings {
        [] => {}
        [one] => data.member("BlockDeviceMapping", mapping_json(one, Some(1))),
        several => data.member(
            "BlockDeviceMapping",
            Json::array((1..).zip(several).map(|(index, mapping)| mapping_json(mapping, Some(index)))),
        ),
    }
    data.member("ImageId", &template.image_id);
    data.member("UserData", "<sensitiveDataRemoved>");
    data.member("MetadataOptions", metadata_request());
    data.member("SecurityGroupId", object! { "tag": 1, "content": &cluster.security_group });
    draft.request = object! {
        "CreateLaunchTemplateRequest": object! {
            "LaunchTemplateName": &template.name,
            "LaunchTemplateData": data.finish(),
            "ClientToken": ids.uuid(),
        },
    };
    let request_id = draft.request_id.clone().expect("a call has a request id");
    draft.response = object! {
        "CreateLaunchTemplateResponse": object! {
            "xmlns": XMLNS,
            "requestId": request_id,
            "launchTemplate": object! {
                "createTime": iso(time).replace('Z', ".000Z"),
                "createdBy": cluster.controller_session(time).arn(),
                "launchTemplateId": &template.id,
                "latestVersionNumber": 1,
                "defaultVersionNumber": 1,
                "launchTemplateName": &template.name,
                "operator": object! { "managed": false },
            },
        },
    };
    draft
}

fn metadata_request() -> Json {
    object! {
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "HttpPutResponseHopLimit": 1,
        "HttpTokens": "required",
    }
}

fn capital_tags(tags: &[(String, String)]) -> Json {
    Json::array((1..).zip(tags).map(|(index, (key, value))| {
        object! { "tag": index, "Key": key, "Value": value }
    }))
}

fn small_tags(tags: &[(String, String)]) -> Json {
    Json::array(tags.iter().map(|(key, value)| object! { "key": key, "value": value }))
}

/// `CreateFleet` as requested; the response is still `null`.
pub fn create_fleet(
    ids: &mut Ids,
    cluster: &Cluster,
    time: i64,
    pool: &NodePool,
    template: &Template,
    fleet: &Fleet<'_>,
) -> Draft {
    let mut draft = controller_call(ids, cluster, "ec2", "CreateFleet", time);
    let overrides = (1..).zip(['a', 'b', 'c']).flat_map(|(index, zone)| {
        fleet.types.iter().map(move |instance_type| {
            object! {
                "tag": index,
                "InstanceType": *instance_type,
                "SubnetId": subnet(cluster, zone),
                "ImageId": &template.image_id,
                "AvailabilityZone": format!("{}{zone}", cluster.region),
            }
        })
    });
    let tags = cluster.tags(pool);
    let mut request = Object::new();
    request.member("Type", "instant");
    request.member(
        "TargetCapacitySpecification",
        object! {
            "DefaultTargetCapacityType": fleet.capacity_type,
            "TotalTargetCapacity": fleet.capacity,
        },
    );
    request.member(
        "LaunchTemplateConfigs",
        object! {
            "LaunchTemplateSpecification": object! {
                "LaunchTemplateName": &template.name,
                "Version": "$Latest",
            },
            "Overrides": Json::array(overrides),
            "tag": 1,
        },
    );
    request.member(
        "TagSpecification",
        Json::array((1..).zip(["instance", "volume", "fleet"]).map(|(index, resource)| {
            object! { "tag": index, "ResourceType": resource, "Tag": capital_tags(&tags) }
        })),
    );
    if fleet.capacity_type == "spot" {
        request.member("SpotOptions", object! { "AllocationStrategy": "price-capacity-optimized" });
    } else {
        request.member("OnDemandOptions", object! { "AllocationStrategy": "lowest-price" });
    }
    request.member_if("DryRun", fleet.is_dry_run.then_some(true));
    draft.request = object! { "CreateFleetRequest": request.finish() };
    draft
}

/// What a fleet asks for.
#[derive(Clone, Copy, Debug)]
pub struct Fleet<'a> {
    /// `spot` or `on-demand`.
    pub capacity_type: &'a str,
    /// Instances wanted.
    pub capacity: i64,
    /// Instance types that will do.
    pub types: &'a [&'a str],
    /// Whether the call is a dry run.
    pub is_dry_run: bool,
}

/// The response of `CreateFleet`.
pub fn fleet_response(
    cluster: &Cluster,
    template: &Template,
    fleet_id: &str,
    capacity_type: &str,
    outcome: (&[FleetMember], &[FleetFault]),
    request_id: &str,
) -> Json {
    let (members, faults) = outcome;
    let and_overrides = |instance_type: &str, zone: char| {
        object! {
            "launchTemplateSpecification": object! { "launchTemplateId": &template.id, "version": 1 },
            "overrides": object! {
                "instanceType": instance_type,
                "subnetId": subnet(cluster, zone),
                "imageId": &template.image_id,
                "availabilityZone": format!("{}{zone}", cluster.region),
            },
        }
    };
    let instances = members.iter().map(|member| {
        object! {
            "lifecycle": capacity_type,
            "instanceIds": object! { "item": &member.instance_id },
            "instanceType": &member.instance_type,
            "launchTemplateAndOverrides": and_overrides(&member.instance_type, member.zone),
        }
    });
    let errors = faults.iter().map(|fault| {
        object! {
            "errorCode": &fault.code,
            "errorMessage": &fault.message,
            "lifecycle": capacity_type,
            "launchTemplateAndOverrides": and_overrides(&fault.instance_type, fault.zone),
        }
    });
    object! {
        "CreateFleetResponse": object! {
            "xmlns": XMLNS,
            "requestId": request_id,
            "fleetId": fleet_id,
            "fleetInstanceSet": one_or_many(instances.collect()),
            "errorSet": one_or_many(errors.collect()),
        },
    }
}

/// EC2's converted lists: an empty text, one object, or an array under `item`.
fn one_or_many(mut items: Vec<Json>) -> Json {
    match items.len() {
        0 => Json("\"\"".to_owned()),
        1 => object! { "item": items.remove(0) },
        _ => object! { "item": Json::array(items) },
    }
}

/// What a `RunInstances` record tells beyond the cluster's facts.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// The node; its session made the launch.
    pub node: &'a Node,
    /// Instance type.
    pub instance_type: &'a str,
    /// Zone letter.
    pub zone: char,
    /// Fleet id, empty for none.
    pub fleet_id: &'a str,
    /// Index in the fleet.
    pub fleet_index: usize,
    /// Whether it is a spot instance.
    pub is_spot: bool,
    /// Tags given at launch.
    pub tags: &'a [(String, String)],
}

/// `RunInstances` by EC2 Fleet (or by Auto Scaling through a fleet) in the session's name. All instances
/// are of one type and zone.
pub fn run_instances(
    ids: &mut Ids,
    cluster: &Cluster,
    template: &Template,
    instances: &[Instance<'_>],
) -> Draft {
    let instance = instances[0];
    let node = instance.node;
    let caller = match cluster.calling_service() {
        Some("autoscaling.amazonaws.com") => "autoscaling.amazonaws.com",
        _ => "ec2fleet.amazonaws.com",
    };
    let mut draft = Draft::call(ids, "ec2", "RunInstances", node.launched);
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
    draft.identity = node.session.identity_through(caller);
    draft.made_by_service(caller);
    draft.request_id = Some(node.request_id.clone());

    let mut tags = instance.tags.to_vec();
    tags.push(("aws:ec2:fleet-id".to_owned(), instance.fleet_id.to_owned()));
    let zone_name = format!("{}{}", cluster.region, instance.zone);
    let client_token = format!("{}-{}", instance.fleet_id, instance.fleet_index);
    let mut request = Object::new();
    let count = i64::try_from(instances.len()).expect("a fleet is small");
    request.member(
        "instancesSet",
        object! { "items": Json::array([object! { "minCount": count, "maxCount": count }]) },
    );
    request.member("instanceType", instance.instance_type);
    request.member("blockDeviceMapping", object! {});
    request.member("availabilityZone", &zone_name);
    request.member("monitoring", object! { "enabled": false });
    request.member("subnetId", subnet(cluster, instance.zone));
    request.member("disableApiTermination", false);
    request.member("disableApiStop", false);
    request.member("clientToken", &client_token);
    request.member_if(
        "instanceMarketOptions",
        instance.is_spot.then(|| {
            object! {
                "marketType": "spot",
                "spotOptions": object! { "spotInstanceType": "one-time" },
            }
        }),
    );
    request.member(
        "tagSpecificationSet",
        object! {
            "items": Json::array([
                object! { "resourceType": "instance", "tags": small_tags(&tags) },
                object! { "resourceType": "volume", "tags": small_tags(&tags) },
            ]),
        },
    );
    request.member("launchTemplate", object! { "launchTemplateId": &template.id, "version": "1" });
    draft.request = request.finish();

    tags.push(("aws:ec2launchtemplate:id".to_owned(), template.id.clone()));
    tags.push(("aws:ec2launchtemplate:version".to_owned(), "1".to_owned()));
    let described: Vec<Json> = (0..)
        .zip(instances)
        .map(|(index, instance)| {
            described_instance(ids, cluster, template, (index, *instance), &client_token, &tags)
        })
        .collect();
    draft.response = object! {
        "requestId": &node.request_id,
        "reservationId": ids.ec2("r"),
        "ownerId": &cluster.account_id,
        "groupSet": object! {},
        "instancesSet": object! { "items": Json::array(described) },
        "requesterId": "210987654321",
    };
    draft
}

fn described_instance(
    ids: &mut Ids,
    cluster: &Cluster,
    template: &Template,
    (launch_index, instance): (i64, Instance<'_>),
    client_token: &str,
    tags: &[(String, String)],
) -> Json {
    let node = instance.node;
    let address = private_address(&node.private_dns_name);
    let subnet_id = subnet(cluster, instance.zone);
    let mut described = Object::new();
    described.member("instanceId", &node.instance_id);
    described.member("imageId", &template.image_id);
    described.member("currentInstanceBootMode", "uefi");
    described.member("instanceState", object! { "code": 0, "name": "pending" });
    described.member("privateDnsName", &node.private_dns_name);
    described.member("amiLaunchIndex", launch_index);
    described.member("productCodes", object! {});
    described.member("instanceType", instance.instance_type);
    described.member("launchTime", node.launched * 1000);
    described.member(
        "placement",
        object! {
            "availabilityZone": format!("{}{}", cluster.region, instance.zone),
            "tenancy": "default",
        },
    );
    described.member("monitoring", object! { "state": "disabled" });
    described.member("subnetId", subnet_id);
    described.member("vpcId", &cluster.vpc_id);
    described.member("privateIpAddress", &address);
    described.member("stateReason", object! { "code": "pending", "message": "pending" });
    described.member("architecture", "x86_64");
    described.member("rootDeviceType", "ebs");
    described.member("rootDeviceName", &template.root_device);
    described.member("blockDeviceMapping", object! {});
    described.member_if("instanceLifecycle", instance.is_spot.then_some("spot"));
    described.member("virtualizationType", "hvm");
    described.member("hypervisor", "xen");
    described.member("tagSet", object! { "items": small_tags(tags) });
    described.member("clientToken", client_token);
    described.member("sourceDestCheck", true);
    described.member(
        "networkInterfaceSet",
        object! {
            "items": Json::array([object! {
                "networkInterfaceId": &node.network_interface_id,
                "subnetId": subnet_id,
                "vpcId": &cluster.vpc_id,
                "ownerId": &cluster.account_id,
                "status": "in-use",
                "privateIpAddress": &address,
                "interfaceType": "interface",
                "groupSet": object! {
                    "items": Json::array([object! { "groupId": &cluster.security_group }]),
                },
                "privateIpAddressesSet": object! {
                    "item": Json::array([object! { "privateIpAddress": &address, "primary": true }]),
                },
                "tagSet": object! {},
            }]),
        },
    );
    described.member(
        "iamInstanceProfile",
        object! {
            "arn": format!(
                "arn:aws:iam::{}:instance-profile/{}_{}",
                cluster.account_id, cluster.name, ids.below(100_000)
            ),
            "id": format!("AIPA{}", ids.capitals(17)),
        },
    );
    described.member(
        "privateDnsNameOptions",
        object! {
            "hostnameType": "ip-name",
            "enableResourceNameDnsARecord": false,
            "enableResourceNameDnsAAAARecord": false,
        },
    );
    described.finish()
}

/// `10.0.1.2` from `ip-10-0-1-2.eu-west-1.compute.internal`.
fn private_address(private_dns_name: &str) -> String {
    let host = private_dns_name.split('.').next().expect("a split has a first part");
    host.trim_start_matches("ip-").replace('-', ".")
}

/// `CreateTags` after the node registered.
pub fn register(ids: &mut Ids, cluster: &Cluster, time: i64, node: &Node, nodeclaim: &str) -> Draft {
    let mut draft = controller_call(ids, cluster, "ec2", "CreateTags", time);
    draft.request = object! {
        "resourcesSet": object! {
            "items": Json::array([object! { "resourceId": &node.instance_id }]),
        },
        "tagSet": object! {
            "items": small_tags(&[
                ("Name".to_owned(), node.private_dns_name.clone()),
                ("karpenter.sh/nodeclaim".to_owned(), nodeclaim.to_owned()),
            ]),
        },
    };
    draft.response = object! {
        "requestId": draft.request_id.as_ref().expect("a call has a request id"),
        "_return": true,
    };
    draft
}

/// A call through EC2 in a session's name, without a response yet.
pub fn call_in_the_name_of(
    ids: &mut Ids,
    cluster: &Cluster,
    session: &Session,
    name: &str,
    time: i64,
    caller: &str,
) -> Draft {
    let mut draft = Draft::call(ids, "ec2", name, time);
    cluster.region.clone_into(&mut draft.region);
    cluster.account_id.clone_into(&mut draft.account_id);
    draft.identity = session.identity_through(caller);
    draft.made_by_service(caller);
    draft
}
