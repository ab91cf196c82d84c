//! Incidents in which EC2 launches nothing: the errors stand in `CreateFleet`'s own record.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::ec2::{self, Fleet, FleetFault};
use crate::support::incident::{FleetPlan, Incident, NodePlan, VolumePlan};
use crate::support::noise::Noise;
use crate::support::record::Record;

fn no_capacity(instance_type: &str, zone: char) -> FleetFault {
    FleetFault {
        code: "InsufficientInstanceCapacity".to_owned(),
        message: format!(
            "We currently do not have sufficient {instance_type} capacity in the Availability Zone you \
             requested. Our system will be working on provisioning additional capacity."
        ),
        instance_type: instance_type.to_owned(),
        zone,
    }
}

/// A fleet of errors only, a fleet that makes one of two nodes, and a call that is not allowed.
pub fn launches_failed(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "ap-northeast-1", "train", "2026-08-04");
    let key = incident.key();
    let pool = NodePool::new("gpu", "gpu");
    let time = incident.at("04:10:20");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);

    let no_addresses = FleetFault {
        code: "InsufficientFreeAddressesInSubnet".to_owned(),
        message:
            "There are not enough free addresses in subnet to satisfy the requested number of instances."
                .to_owned(),
        instance_type: "m6i.xlarge".to_owned(),
        zone: 'c',
    };
    let faults = vec![no_capacity("m6i.xlarge", 'a'), no_capacity("m5.xlarge", 'a'), no_addresses];
    incident.launch_fleet(&FleetPlan::failed(time, &pool, &template, faults));

    let nodes = vec![NodePlan::new('b', vec![VolumePlan::under(&key)])];
    let plan =
        FleetPlan::new(time + 60, &pool, &template, nodes).with_faults(vec![no_capacity("m6i.xlarge", 'a')]);
    let node = incident.launch_fleet(&plan).remove(0);
    incident.register(&node, time + 105);

    let time = incident.at("04:25:47");
    let fleet =
        Fleet { capacity_type: "spot", capacity: 1, types: &["m6i.xlarge", "m5.xlarge"], is_dry_run: false };
    let mut draft = ec2::create_fleet(&mut incident.ids, &incident.cluster, time, &pool, &template, &fleet);
    let principal = incident.launching_session_arn(time);
    draft.error = Some((
        "Client.UnauthorizedOperation".to_owned(),
        format!(
            "You are not authorized to perform this operation. User: {principal} is not authorized to perform: \
             ec2:CreateFleet on resource: arn:aws:ec2:ap-northeast-1:444455556666:launch-template/{} because no \
             identity-based policy allows the ec2:CreateFleet action. Encoded authorization failure message: \
             EXAMPLEb3BlcmF0aW9u",
            template.id
        ),
    ));
    incident.write(draft);
    incident.dry_run(incident.at("04:31:00"), "gpu");
    incident.make_noise(Noise::steady(incident.at("04:00:03"), incident.at("04:50:00")));
    incident.take()
}
