//! EC2 events: launches, launch templates, tags, ends, EBS defaults, images and volumes.

use super::member::Member;
use super::{Pool, TopLevel, tags};
use crate::event::{
    BlockDevice, Detail, EbsDefault, FleetError, FleetInstance, FleetLaunch, ImageCopy, InstanceState,
    Launch, LaunchTemplate, LaunchedInstance, NamedTemplate, Text, VolumeChange,
};

pub(super) fn read(pool: &mut Pool, top: &TopLevel<'_, '_>, name: &str) -> Option<Detail> {
    let (request, response) = (top.request, top.response);
    Some(match name {
        "RunInstances" => Detail::Launch(Box::new(launch(pool, request, response))),
        "CreateFleet" => Detail::Fleet(Box::new(fleet(pool, request, response))),
        "CreateLaunchTemplate" | "CreateLaunchTemplateVersion" => {
            Detail::LaunchTemplate(Box::new(launch_template(pool, request, response, name)))
        }
        "ModifyLaunchTemplate" => {
            let request = request.unwrapped("ModifyLaunchTemplateRequest");
            Detail::LaunchTemplateDefault {
                template_id: pool.optional(request.get("LaunchTemplateId").text()),
                name: pool.optional(request.get("LaunchTemplateName").text()),
                default_version: request.get_first(&["SetDefaultVersion", "DefaultVersion"]).number(),
            }
        }
        "CreateTags" => Detail::Tagging {
            resources: texts(pool, request.get("resourcesSet"), "resourceId"),
            tags: Box::new(tags::read(pool, request.get("tagSet"))),
        },
        "TerminateInstances" => Detail::Termination(instance_states(pool, request, response)),
        "StopInstances" => Detail::Stop(instance_states(pool, request, response)),
        "StartInstances" => Detail::Start(instance_states(pool, request, response)),
        "BidEvictedEvent" => {
            Detail::SpotInterruption(texts(pool, top.service_details.get("instanceIdSet"), "instanceId"))
        }
        "DeleteNetworkInterface" => Detail::NetworkInterfaceDeletion {
            network_interface_id: pool.optional(request.get("networkInterfaceId").text()),
        },
        "EnableEbsEncryptionByDefault" => Detail::EbsDefault(EbsDefault::Encryption(true)),
        "DisableEbsEncryptionByDefault" => Detail::EbsDefault(EbsDefault::Encryption(false)),
        "ModifyEbsDefaultKmsKeyId" | "ResetEbsDefaultKmsKeyId" => {
            let response = response.unwrapped(&format!("{name}Response"));
            let request = request.unwrapped(&format!("{name}Request"));
            let key = response.get("kmsKeyId").text().or_else(|| request.get("KmsKeyId").text());
            let key = pool.optional(key);
            Detail::EbsDefault(if name.starts_with("Reset") {
                EbsDefault::Reset(key)
            } else {
                EbsDefault::Key(key)
            })
        }
        "RegisterImage" | "CopyImage" | "CreateImage" | "CopySnapshot" => {
            Detail::ImageCopy(Box::new(image_copy(pool, request, response)))
        }
        "CreateVolume" => Detail::Volume(VolumeChange::Created {
            volume_id: pool.optional(response.get("volumeId").text()),
            kms_key: pool
                .optional(response.get("kmsKeyId").text().or_else(|| request.get("kmsKeyId").text())),
            snapshot_id: pool.optional(request.get("snapshotId").text()),
        }),
        "AttachVolume" => Detail::Volume(VolumeChange::Attached {
            volume_id: pool.optional(request.get("volumeId").text()),
            instance_id: pool.optional(request.get("instanceId").text()),
        }),
        "SharedSnapshotVolumeCreated" => Detail::Volume(VolumeChange::FromSharedSnapshot {
            snapshot_id: pool.optional(top.service_details.get("snapshotId").text()),
        }),
        _ => return None,
    })
}

/// The texts of a list whose elements are texts, or objects with the text under `name`.
fn texts(pool: &mut Pool, list: Member<'_, '_>, name: &str) -> Vec<Text> {
    list.items()
        .filter_map(|item| item.text().or_else(|| item.get(name).text()))
        .map(|text| pool.text(text))
        .collect()
}

fn launch(pool: &mut Pool, request: Member<'_, '_>, response: Member<'_, '_>) -> Launch {
    let [template, placement, asked, market, client_token, zone, instance_type, image, dry_run] = request
        .get_each([
            "launchTemplate",
            "placement",
            "instancesSet",
            "instanceMarketOptions",
            "clientToken",
            "availabilityZone",
            "instanceType",
            "imageId",
            "dryRun",
        ]);
    let asked_image = || asked.items().next()?.get("imageId").text();
    let [template_id, template_name, template_version] =
        template.get_each(["launchTemplateId", "launchTemplateName", "version"]);
    Launch {
        instances: response
            .get("instancesSet")
            .items()
            .filter_map(|instance| launched_instance(pool, instance))
            .collect(),
        client_token: pool.optional(client_token.text()),
        template_id: pool.optional(template_id.text()),
        template_name: pool.optional(template_name.text()),
        template_version: pool.written(template_version.written()),
        availability_zone: pool.optional(zone.text().or_else(|| placement.get("availabilityZone").text())),
        instance_type: pool.optional(instance_type.text()),
        image_id: pool.optional(image.text().or_else(asked_image)),
        is_spot: market.get("marketType").text() == Some("spot"),
        tags: tags::read_specifications(pool, request.get_list(&["tagSpecificationSet", "tagSpecification"])),
        dry_run: dry_run.flag() == Some(true),
    }
}

fn launched_instance(pool: &mut Pool, instance: Member<'_, '_>) -> Option<LaunchedInstance> {
    let [id, image, instance_type, placement, dns_name, dns_options, lifecycle, root_device, root_type] =
        instance.get_each([
            "instanceId",
            "imageId",
            "instanceType",
            "placement",
            "privateDnsName",
            "privateDnsNameOptions",
            "instanceLifecycle",
            "rootDeviceName",
            "rootDeviceType",
        ]);
    Some(LaunchedInstance {
        instance_id: pool.text(id.text()?),
        image_id: pool.optional(image.text()),
        instance_type: pool.optional(instance_type.text()),
        availability_zone: pool.optional(placement.get("availabilityZone").text()),
        private_dns_name: pool.optional(dns_name.text()),
        is_named_by_resource: dns_options.get("hostnameType").text() == Some("resource-name"),
        lifecycle: pool.optional(lifecycle.text()),
        root_device: pool.optional(root_device.text()),
        has_instance_store_root: root_type.text() == Some("instance-store"),
        tags: tags::read(pool, instance.get_list(&["tagSet", "tags"])),
    })
}

fn fleet(pool: &mut Pool, request: Member<'_, '_>, response: Member<'_, '_>) -> FleetLaunch {
    let request = request.unwrapped("CreateFleetRequest");
    let response = response.unwrapped("CreateFleetResponse");
    let mut instances = Vec::new();
    for set in response.get("fleetInstanceSet").items() {
        let used = set.get("launchTemplateAndOverrides");
        let (template, overrides) = (used.get("launchTemplateSpecification"), used.get("overrides"));
        let instance = FleetInstance {
            instance_id: pool.text(""),
            instance_type: pool
                .optional(set.get("instanceType").text().or_else(|| overrides.get("instanceType").text())),
            lifecycle: pool.optional(set.get("lifecycle").text()),
            template_id: pool.optional(template.get("launchTemplateId").text()),
            template_version: pool.written(template.get("version").written()),
            availability_zone: pool.optional(overrides.get("availabilityZone").text()),
            image_id: pool.optional(overrides.get("imageId").text()),
        };
        for id in texts(pool, set.get_first(&["instanceIds", "instanceId"]), "instanceId") {
            instances.push(FleetInstance { instance_id: id, ..instance.clone() });
        }
    }
    FleetLaunch {
        fleet_id: pool.optional(response.get("fleetId").text()),
        instances,
        errors: fleet_errors(pool, response.get("errorSet")),
        capacity_type: pool
            .optional(request.get("TargetCapacitySpecification").get("DefaultTargetCapacityType").text()),
        tags: tags::read_specifications(pool, request.get_list(&["TagSpecification", "TagSpecifications"])),
        launch_templates: request
            .get_list(&["LaunchTemplateConfigs", "LaunchTemplateConfig"])
            .items()
            .filter_map(|config| {
                let named = config.get("LaunchTemplateSpecification");
                named.is_present().then(|| NamedTemplate {
                    id: pool.optional(named.get("LaunchTemplateId").text()),
                    name: pool.optional(named.get("LaunchTemplateName").text()),
                    version: pool.written(named.get("Version").written()),
                })
            })
            .collect(),
        dry_run: request.get("DryRun").flag() == Some(true),
    }
}

fn fleet_errors(pool: &mut Pool, list: Member<'_, '_>) -> Vec<FleetError> {
    let mut errors: Vec<FleetError> = Vec::new();
    for item in list.items() {
        let Some(code) = item.get("errorCode").text() else {
            continue;
        };
        if let Some(known) = errors.iter_mut().find(|error| *error.code == *code) {
            known.count += 1;
            continue;
        }
        let message = item.get("errorMessage").text().unwrap_or_default();
        errors.push(FleetError { code: pool.text(code), message: pool.text(message), count: 1 });
    }
    errors
}

fn launch_template(
    pool: &mut Pool,
    request: Member<'_, '_>,
    response: Member<'_, '_>,
    name: &str,
) -> LaunchTemplate {
    let request = request.unwrapped(&format!("{name}Request"));
    let response = response.unwrapped(&format!("{name}Response"));
    let made = response.get_first(&["launchTemplate", "launchTemplateVersion"]);
    let is_first = name == "CreateLaunchTemplate";
    let data = request.get("LaunchTemplateData");
    let source_version = pool.written(request.get("SourceVersion").written());
    // EC2 writes a lone mapping as an object, which `items` takes for one element; a mapping has a name.
    let listed = data.get_list(&[
        "BlockDeviceMapping",
        "BlockDeviceMappings",
        "blockDeviceMappingSet",
        "BlockDeviceMappingSet",
    ]);
    let mappings: Vec<_> = listed.items().map(|mapping| block_device(pool, mapping)).collect();
    let is_known = data.is_present() && data.get("omitted").flag() != Some(true);
    LaunchTemplate {
        template_id: pool
            .optional(made.get("launchTemplateId").text().or_else(|| request.get("LaunchTemplateId").text())),
        name: pool.optional(
            request.get("LaunchTemplateName").text().or_else(|| made.get("launchTemplateName").text()),
        ),
        version: if is_first { Some(1) } else { made.get("versionNumber").number() },
        image_id: pool.optional(data.get("ImageId").text()),
        mappings: (is_known && !(mappings.is_empty() && source_version.is_some())).then_some(mappings),
        source_version,
        dry_run: request.get("DryRun").flag() == Some(true),
    }
}

fn block_device(pool: &mut Pool, mapping: Member<'_, '_>) -> BlockDevice {
    let ebs = mapping.get("Ebs");
    BlockDevice {
        device: pool.optional(mapping.get("DeviceName").text()),
        encrypted: ebs.get("Encrypted").flag(),
        kms_key: pool.optional(ebs.get("KmsKeyId").text()),
        snapshot_id: pool.optional(ebs.get("SnapshotId").text()),
        is_ebs: ebs.is_present()
            && !mapping.get("VirtualName").is_present()
            && !mapping.get("NoDevice").is_present(),
    }
}

fn instance_states(pool: &mut Pool, request: Member<'_, '_>, response: Member<'_, '_>) -> Vec<InstanceState> {
    let mut listed = response.get("instancesSet").items().peekable();
    if listed.peek().is_none() {
        listed = request.get("instancesSet").items().peekable();
    }
    listed
        .filter_map(|item| {
            let instance_id = item.text().or_else(|| item.get("instanceId").text())?;
            let previous = item.get("previousState");
            let name = previous.get("name").text().or_else(|| {
                // The low byte is the state; the high byte is for EC2's own use.
                Some(match previous.get("code").number()? & 0xff {
                    0 => "pending",
                    16 => "running",
                    32 => "shutting-down",
                    48 => "terminated",
                    64 => "stopping",
                    80 => "stopped",
                    _ => return None,
                })
            });
            Some(InstanceState { instance_id: pool.text(instance_id), previous: pool.optional(name) })
        })
        .collect()
}

fn image_copy(pool: &mut Pool, request: Member<'_, '_>, response: Member<'_, '_>) -> ImageCopy {
    let request = request.unwrapped("CopyImageRequest").unwrapped("CopySnapshotRequest");
    let response = response.unwrapped("CopyImageResponse").unwrapped("CopySnapshotResponse");
    let mapped = || request.get("blockDeviceMapping").items();
    let ebs = |name: &str| mapped().find_map(|mapping| mapping.get("ebs").get(name).text());
    let mut sources: Vec<Text> = mapped()
        .filter_map(|mapping| mapping.get("ebs").get("snapshotId").text())
        .map(|id| pool.text(id))
        .collect();
    sources.extend(request.get("sourceSnapshotId").text().map(|id| pool.text(id)));
    ImageCopy {
        image_id: pool.optional(response.get("imageId").text()),
        snapshot_id: pool.optional(response.get("snapshotId").text()),
        source_image_id: pool.optional(request.get("sourceImageId").text()),
        source_snapshot_ids: sources,
        kms_key: pool.optional(request.get("kmsKeyId").text().or_else(|| ebs("kmsKeyId"))),
        encrypted: request.get("encrypted").flag(),
    }
}
