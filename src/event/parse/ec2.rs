//! EC2 events: launches, launch templates, tags, ends, EBS defaults, images and volumes.

use super::member::Member;
use super::name::{Name, name, names};
use super::{Pool, TopLevel, tags};
use crate::event::{
    BlockDevice, Detail, EbsDefault, FleetError, FleetInstance, FleetLaunch, ImageCopy, InstanceState,
    Launch, LaunchTemplate, LaunchTemplateDefault, LaunchedInstance, NamedTemplate, Text, VolumeChange,
};

pub(super) fn read(pool: &mut Pool, top: &TopLevel<'_>, name: &str) -> Option<Detail> {
    let (request, response) = (top.request, top.response);
    Some(match name {
        "RunInstances" => Detail::Launch(Box::new(launch(pool, request, response))),
        "CreateFleet" => Detail::Fleet(Box::new(fleet(pool, request, response))),
        "CreateLaunchTemplate" | "CreateLaunchTemplateVersion" => {
            Detail::LaunchTemplate(Box::new(launch_template(pool, request, response, name)))
        }
        "ModifyLaunchTemplate" => {
            let request = request.unwrapped(name!("ModifyLaunchTemplateRequest"));
            Detail::LaunchTemplateDefault(Box::new(LaunchTemplateDefault {
                template_id: pool.optional(request.get(name!("LaunchTemplateId")).text()),
                name: pool.optional(request.get(name!("LaunchTemplateName")).text()),
                default_version: request.get_first(&names!["SetDefaultVersion", "DefaultVersion"]).number(),
            }))
        }
        "CreateTags" => Detail::Tagging {
            resources: texts(pool, request.get(name!("resourcesSet")), name!("resourceId")).into(),
            tags: Box::new(tags::read(pool, request.get(name!("tagSet")))),
        },
        "TerminateInstances" => Detail::Termination(instance_states(pool, request, response)),
        "StopInstances" => Detail::Stop(instance_states(pool, request, response)),
        "StartInstances" => Detail::Start(instance_states(pool, request, response)),
        "BidEvictedEvent" => Detail::SpotInterruption(texts(
            pool,
            top.service_details.get(name!("instanceIdSet")),
            name!("instanceId"),
        )),
        "DeleteNetworkInterface" => Detail::NetworkInterfaceDeletion {
            network_interface_id: pool.optional_passing(request.get(name!("networkInterfaceId")).text()),
        },
        "EnableEbsEncryptionByDefault" => Detail::EbsDefault(EbsDefault::Encryption(true)),
        "DisableEbsEncryptionByDefault" => Detail::EbsDefault(EbsDefault::Encryption(false)),
        "ModifyEbsDefaultKmsKeyId" | "ResetEbsDefaultKmsKeyId" => {
            let is_reset = name == "ResetEbsDefaultKmsKeyId";
            let [request_name, response_name] = if is_reset {
                names!["ResetEbsDefaultKmsKeyIdRequest", "ResetEbsDefaultKmsKeyIdResponse"]
            } else {
                names!["ModifyEbsDefaultKmsKeyIdRequest", "ModifyEbsDefaultKmsKeyIdResponse"]
            };
            let (request, response) = (request.unwrapped(request_name), response.unwrapped(response_name));
            let key =
                response.get(name!("kmsKeyId")).text().or_else(|| request.get(name!("KmsKeyId")).text());
            let key = pool.optional(key);
            Detail::EbsDefault(if is_reset { EbsDefault::Reset(key) } else { EbsDefault::Key(key) })
        }
        "RegisterImage" | "CopyImage" | "CreateImage" | "CopySnapshot" => {
            Detail::ImageCopy(Box::new(image_copy(pool, request, response)))
        }
        "CreateVolume" => Detail::Volume(VolumeChange::Created {
            volume_id: pool.optional_passing(response.get(name!("volumeId")).text()),
            kms_key: pool.optional(
                response.get(name!("kmsKeyId")).text().or_else(|| request.get(name!("kmsKeyId")).text()),
            ),
            snapshot_id: pool.optional(request.get(name!("snapshotId")).text()),
        }),
        "AttachVolume" => Detail::Volume(VolumeChange::Attached {
            volume_id: pool.optional_passing(request.get(name!("volumeId")).text()),
            instance_id: pool.optional_passing(request.get(name!("instanceId")).text()),
        }),
        "SharedSnapshotVolumeCreated" => Detail::Volume(VolumeChange::FromSharedSnapshot {
            snapshot_id: pool.optional(top.service_details.get(name!("snapshotId")).text()),
        }),
        _ => return None,
    })
}

/// The texts of a list whose elements are texts, or objects with the text under `name`.
fn texts(pool: &mut Pool, list: Member<'_>, name: Name) -> Vec<Text> {
    list.read_items(|item| Some(pool.passing(item.text().or_else(|| item.get(name).text())?)))
}

fn launch(pool: &mut Pool, request: Member<'_>, response: Member<'_>) -> Launch {
    let [template, placement, asked, market, client_token, zone, instance_type, image, dry_run] = request
        .get_each(names![
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
    let asked_image = || asked.items().next()?.get(name!("imageId")).text();
    let [template_id, template_name, template_version] =
        template.get_each(names!["launchTemplateId", "launchTemplateName", "version"]);
    Launch {
        instances: response
            .get(name!("instancesSet"))
            .read_items(|instance| launched_instance(pool, instance)),
        client_token: pool.optional_passing(client_token.text()),
        template_id: pool.optional(template_id.text()),
        template_name: pool.optional(template_name.text()),
        template_version: pool.written(template_version.written()),
        availability_zone: pool
            .optional(zone.text().or_else(|| placement.get(name!("availabilityZone")).text())),
        instance_type: pool.optional(instance_type.text()),
        image_id: pool.optional(image.text().or_else(asked_image)),
        is_spot: market.get(name!("marketType")).text() == Some("spot"),
        tags: tags::read_specifications(
            pool,
            request.get_list(&names!["tagSpecificationSet", "tagSpecification"]),
        ),
        dry_run: dry_run.flag() == Some(true),
    }
}

fn launched_instance(pool: &mut Pool, instance: Member<'_>) -> Option<LaunchedInstance> {
    let [id, image, instance_type, placement, dns_name, dns_options, lifecycle, root_device, root_type] =
        instance.get_each(names![
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
        instance_id: pool.passing(id.text()?),
        image_id: pool.optional(image.text()),
        instance_type: pool.optional(instance_type.text()),
        availability_zone: pool.optional(placement.get(name!("availabilityZone")).text()),
        private_dns_name: pool.optional_passing(dns_name.text()),
        is_named_by_resource: dns_options.get(name!("hostnameType")).text() == Some("resource-name"),
        lifecycle: pool.optional(lifecycle.text()),
        root_device: pool.optional(root_device.text()),
        has_instance_store_root: root_type.text() == Some("instance-store"),
        tags: tags::read(pool, instance.get_list(&names!["tagSet", "tags"])),
    })
}

fn fleet(pool: &mut Pool, request: Member<'_>, response: Member<'_>) -> FleetLaunch {
    let request = request.unwrapped(name!("CreateFleetRequest"));
    let response = response.unwrapped(name!("CreateFleetResponse"));
    let mut instances = Vec::new();
    for set in response.get(name!("fleetInstanceSet")).items() {
        let used = set.get(name!("launchTemplateAndOverrides"));
        let (template, overrides) =
            (used.get(name!("launchTemplateSpecification")), used.get(name!("overrides")));
        let instance = FleetInstance {
            instance_id: pool.text(""),
            instance_type: pool.optional(
                set.get(name!("instanceType")).text().or_else(|| overrides.get(name!("instanceType")).text()),
            ),
            lifecycle: pool.optional(set.get(name!("lifecycle")).text()),
            template_id: pool.optional(template.get(name!("launchTemplateId")).text()),
            template_version: pool.written(template.get(name!("version")).written()),
            availability_zone: pool.optional(overrides.get(name!("availabilityZone")).text()),
            image_id: pool.optional(overrides.get(name!("imageId")).text()),
        };
        for id in texts(pool, set.get_first(&names!["instanceIds", "instanceId"]), name!("instanceId")) {
            instances.push(FleetInstance { instance_id: id, ..instance.clone() });
        }
    }
    FleetLaunch {
        fleet_id: pool.optional_passing(response.get(name!("fleetId")).text()),
        instances,
        errors: fleet_errors(pool, response.get(name!("errorSet"))),
        capacity_type: pool.optional(
            request.get(name!("TargetCapacitySpecification")).get(name!("DefaultTargetCapacityType")).text(),
        ),
        tags: tags::read_specifications(
            pool,
            request.get_list(&names!["TagSpecification", "TagSpecifications"]),
        ),
        launch_templates: request
            .get_list(&names!["LaunchTemplateConfigs", "LaunchTemplateConfig"])
            .items()
            .filter_map(|config| {
                let named = config.get(name!("LaunchTemplateSpecification"));
                named.is_present().then(|| NamedTemplate {
                    id: pool.optional(named.get(name!("LaunchTemplateId")).text()),
                    name: pool.optional(named.get(name!("LaunchTemplateName")).text()),
                    version: pool.written(named.get(name!("Version")).written()),
                })
            })
            .collect(),
        dry_run: request.get(name!("DryRun")).flag() == Some(true),
    }
}

fn fleet_errors(pool: &mut Pool, list: Member<'_>) -> Vec<FleetError> {
    let mut errors: Vec<FleetError> = Vec::new();
    for item in list.items() {
        let Some(code) = item.get(name!("errorCode")).text() else {
            continue;
        };
        if let Some(known) = errors.iter_mut().find(|error| *error.code == *code) {
            known.count += 1;
            continue;
        }
        let message = item.get(name!("errorMessage")).text().unwrap_or_default();
        errors.push(FleetError { code: pool.text(code), message: pool.text(message), count: 1 });
    }
    errors
}

fn launch_template(pool: &mut Pool, request: Member<'_>, response: Member<'_>, name: &str) -> LaunchTemplate {
    let is_first = name == "CreateLaunchTemplate";
    let [request_name, response_name] = if is_first {
        names!["CreateLaunchTemplateRequest", "CreateLaunchTemplateResponse"]
    } else {
        names!["CreateLaunchTemplateVersionRequest", "CreateLaunchTemplateVersionResponse"]
    };
    let (request, response) = (request.unwrapped(request_name), response.unwrapped(response_name));
    let made = response.get_first(&names!["launchTemplate", "launchTemplateVersion"]);
    let data = request.get(name!("LaunchTemplateData"));
    let source_version = pool.written(request.get(name!("SourceVersion")).written());
    // EC2 writes a lone mapping as an object, which `items` takes for one element; a mapping has a name.
    let listed = data.get_list(&names![
        "BlockDeviceMapping",
        "BlockDeviceMappings",
        "blockDeviceMappingSet",
        "BlockDeviceMappingSet",
    ]);
    let mappings: Vec<_> = listed.items().map(|mapping| block_device(pool, mapping)).collect();
    let is_known = data.is_present() && data.get(name!("omitted")).flag() != Some(true);
    LaunchTemplate {
        template_id: pool.optional(
            made.get(name!("launchTemplateId"))
                .text()
                .or_else(|| request.get(name!("LaunchTemplateId")).text()),
        ),
        name: pool.optional(
            request
                .get(name!("LaunchTemplateName"))
                .text()
                .or_else(|| made.get(name!("launchTemplateName")).text()),
        ),
        version: if is_first { Some(1) } else { made.get(name!("versionNumber")).number() },
        image_id: pool.optional(data.get(name!("ImageId")).text()),
        mappings: (is_known && !(mappings.is_empty() && source_version.is_some())).then_some(mappings),
        source_version,
        dry_run: request.get(name!("DryRun")).flag() == Some(true),
    }
}

fn block_device(pool: &mut Pool, mapping: Member<'_>) -> BlockDevice {
    let ebs = mapping.get(name!("Ebs"));
    BlockDevice {
        device: pool.optional(mapping.get(name!("DeviceName")).text()),
        encrypted: ebs.get(name!("Encrypted")).flag(),
        kms_key: pool.optional(ebs.get(name!("KmsKeyId")).text()),
        snapshot_id: pool.optional(ebs.get(name!("SnapshotId")).text()),
        is_ebs: ebs.is_present()
            && !mapping.get(name!("VirtualName")).is_present()
            && !mapping.get(name!("NoDevice")).is_present(),
    }
}

fn instance_states(pool: &mut Pool, request: Member<'_>, response: Member<'_>) -> Vec<InstanceState> {
    let mut listed = response.get(name!("instancesSet"));
    if listed.items().next().is_none() {
        listed = request.get(name!("instancesSet"));
    }
    listed.read_items(|item| {
        let instance_id = item.text().or_else(|| item.get(name!("instanceId")).text())?;
        let previous = item.get(name!("previousState"));
        let name = previous.get(name!("name")).text().or_else(|| {
            // The low byte is the state; the high byte is for EC2's own use.
            Some(match previous.get(name!("code")).number()? & 0xff {
                0 => "pending",
                16 => "running",
                32 => "shutting-down",
                48 => "terminated",
                64 => "stopping",
                80 => "stopped",
                _ => return None,
            })
        });
        Some(InstanceState { instance_id: pool.passing(instance_id), previous: pool.optional(name) })
    })
}

fn image_copy(pool: &mut Pool, request: Member<'_>, response: Member<'_>) -> ImageCopy {
    let request = request.unwrapped(name!("CopyImageRequest")).unwrapped(name!("CopySnapshotRequest"));
    let response = response.unwrapped(name!("CopyImageResponse")).unwrapped(name!("CopySnapshotResponse"));
    let mapped = || request.get(name!("blockDeviceMapping")).items();
    let mapped_key = || mapped().find_map(|mapping| mapping.get(name!("ebs")).get(name!("kmsKeyId")).text());
    let mut sources: Vec<Text> = mapped()
        .filter_map(|mapping| mapping.get(name!("ebs")).get(name!("snapshotId")).text())
        .map(|id| pool.text(id))
        .collect();
    sources.extend(request.get(name!("sourceSnapshotId")).text().map(|id| pool.text(id)));
    ImageCopy {
        image_id: pool.optional(response.get(name!("imageId")).text()),
        snapshot_id: pool.optional(response.get(name!("snapshotId")).text()),
        source_image_id: pool.optional(request.get(name!("sourceImageId")).text()),
        source_snapshot_ids: sources,
        kms_key: pool.optional(request.get(name!("kmsKeyId")).text().or_else(mapped_key)),
        encrypted: request.get(name!("encrypted")).flag(),
    }
}
