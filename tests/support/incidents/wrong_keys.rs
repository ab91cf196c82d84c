//! Incidents in which nodes run under another key than the configured one, or under keys that changed.

use crate::support::cluster::{Mapping, NodePool};
use crate::support::configuration::Caller;
use crate::support::incident::{Incident, VolumePlan};
use crate::support::noise::Noise;
use crate::support::record::Record;

/// The mapping encrypts `/dev/xvda`, but the AMI's root is `/dev/sda1`: it falls to the account's default key.
pub fn account_default(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "us-west-2", "search", "2026-04-14");
    let configured_key = incident.key();
    let default_key = incident.key();
    let alias = "alias/karpenter-nodes";
    let indexers = NodePool::new("indexers", "ubuntu");
    let scratch = NodePool::new("scratch", "no-key");

    let start = incident.at("09:00:03");
    let platform = Caller::person(&mut incident.ids, &incident.cluster, "maria", start - 900);
    incident.enable_ebs_encryption(&platform, incident.at("09:02:11"));
    incident.set_ebs_default_key(&platform, incident.at("09:03:47"), &default_key);
    incident.point_alias(&platform, incident.at("09:06:20"), "CreateAlias", alias, &configured_key);

    let time = incident.at("09:21:15");
    let template =
        incident.launch_template_of_image(time - 4, "/dev/sda1", &[Mapping::with_key("/dev/xvda", alias)]);
    for time in [time, incident.at("09:34:02")] {
        let volumes = vec![VolumePlan::under(&default_key), VolumePlan::requested_as(alias, &configured_key)];
        let node = incident.launch(time, &indexers, &template, volumes);
        incident.register(&node, time + 42);
    }

    let time = incident.at("09:41:50");
    let template =
        incident.launch_template_of_image(time - 3, "/dev/sda1", &[Mapping::encrypted("/dev/sda1")]);
    let node = incident.launch(time, &scratch, &template, vec![VolumePlan::under(&default_key)]);
    incident.register(&node, time + 39);
    incident.make_noise(Noise::steady(start, incident.at("10:05:00")));
    incident.take()
}

/// The mapping names a key for the data device only; the root volume keeps the key of our own encrypted AMI.
pub fn ami_snapshot(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "ledger", "2026-04-21");
    let image_key = incident.key();
    let node_key = incident.key();
    let snapshot_id = incident.ids.ec2("snap");
    let source_image = incident.ids.ec2("ami");
    let data_device_only = NodePool::new("ledger", "golden-data-only");
    let root_device = NodePool::new("reports", "golden");

    let start = incident.at("13:00:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 600);
    let image_id = incident.copy_image(&pipeline, incident.at("13:03:10"), &source_image, &image_key);

    let time = incident.at("13:20:08");
    let mut template = incident.unrecorded_template("/dev/xvda");
    image_id.clone_into(&mut template.image_id);
    incident.create_template(time - 3, &template, &[Mapping::with_key("/dev/xvdb", &node_key)]);
    for time in [time, incident.at("13:26:44")] {
        let volumes = vec![
            VolumePlan::under(&image_key).of_snapshot(&snapshot_id, &image_key),
            VolumePlan::under(&node_key),
        ];
        let node = incident.launch(time, &data_device_only, &template, volumes);
        incident.register(&node, time + 47);
    }

    let time = incident.at("13:35:21");
    let mut template = incident.unrecorded_template("/dev/xvda");
    image_id.clone_into(&mut template.image_id);
    incident.create_template(time - 4, &template, &[Mapping::with_key("/dev/xvda", &node_key)]);
    let volume = VolumePlan::under(&node_key).of_snapshot(&snapshot_id, &image_key);
    let node = incident.launch(time, &root_device, &template, vec![volume]);
    incident.register(&node, time + 46);
    incident.make_noise(Noise::steady(start, incident.at("14:00:00")));
    incident.take()
}

/// The node class names an alias, and Terraform points it to a new key between two launches.
pub fn alias_repointed(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-north-1", "catalog", "2026-06-09");
    let old_key = incident.key();
    let new_key = incident.key();
    let alias = "alias/eks-nodes";
    let pool = NodePool::new("web", "default");

    let start = incident.at("07:00:03");
    let pipeline = Caller::terraform(&mut incident.ids, &incident.cluster, start - 300);
    incident.point_alias(&pipeline, incident.at("07:02:30"), "CreateAlias", alias, &old_key);
    let time = incident.at("07:10:14");
    let template = incident.launch_template(time - 3, &[Mapping::with_key("/dev/xvda", alias)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::requested_as(alias, &old_key)]);
    incident.register(&node, time + 36);

    incident.point_alias(&pipeline, incident.at("07:31:05"), "UpdateAlias", alias, &new_key);
    for time in [incident.at("07:40:52"), incident.at("07:49:27")] {
        let volume = VolumePlan::requested_as(alias, &new_key);
        let node = incident.launch(time, &pool, &template, vec![volume]);
        incident.register(&node, time + 39);
    }
    incident.make_noise(Noise::steady(start, incident.at("08:05:00")));
    incident.take()
}

/// The node class asks for encryption and names no key, while the account's default key changes twice.
pub fn default_key_changed(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "444455556666", "us-east-1", "ideas", "2026-06-23");
    let old_key = incident.key();
    let new_key = incident.key();
    let managed_key = incident.key();
    let pool = NodePool::new("general", "no-key");
    let start = incident.at("05:00:03");
    let person = Caller::person(&mut incident.ids, &incident.cluster, "ines", start - 60);
    let launch = |incident: &mut Incident, time: i64, template, volume: VolumePlan| {
        let node = incident.launch(time, &pool, template, vec![volume]);
        incident.register(&node, time + 40);
    };

    incident.set_ebs_default_key(&person, incident.at("05:03:20"), &old_key);
    let time = incident.at("05:12:45");
    let template = incident.launch_template(time - 4, &[Mapping::encrypted("/dev/xvda")]);
    launch(&mut incident, time, &template, VolumePlan::under(&old_key));
    incident.set_ebs_default_key(&person, incident.at("05:24:51"), &new_key);
    let time = incident.at("05:33:16");
    launch(&mut incident, time, &template, VolumePlan::under(&new_key));
    incident.reset_ebs_default_key(&person, incident.at("05:41:07"));
    let time = incident.at("05:48:38");
    launch(&mut incident, time, &template, VolumePlan::requested_as("alias/aws/ebs", &managed_key));
    incident.make_noise(Noise::steady(start, incident.at("06:10:00")));
    incident.take()
}

/// One node class says nothing of encryption, next to one that does.
pub fn unencrypted(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "eu-west-1", "lab", "2026-06-30");
    let key = incident.key();
    let encrypted = NodePool::new("general", "default");
    let plain = NodePool::new("scratch", "plain");
    let template_time = incident.at("10:04:10");
    let encrypting = incident.launch_template(template_time, &[Mapping::with_key("/dev/xvda", &key)]);
    let saying_nothing = incident.launch_template(template_time + 2, &[Mapping::plain("/dev/xvda")]);
    for time in ["10:05:20", "10:28:14"].map(|time| incident.at(time)) {
        let node = incident.launch(time, &encrypted, &encrypting, vec![VolumePlan::under(&key)]);
        incident.register(&node, time + 40);
    }
    let time = incident.at("10:17:33");
    let node = incident.launch(time, &plain, &saying_nothing, Vec::new());
    incident.register(&node, time + 37);
    incident.make_noise(Noise::steady(incident.at("10:00:03"), incident.at("11:00:00")));
    incident.take()
}

/// The node class names a key of the security team's account, and it works.
pub fn foreign_key(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "111122223333", "us-east-1", "vault", "2026-07-28");
    let key_id = incident.ids.uuid();
    let key = format!("arn:aws:kms:us-east-1:444455556666:key/{key_id}");
    let pool = NodePool::new("general", "central-key");
    let time = incident.at("09:07:40");
    let template = incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", &key)]);
    let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key)]);
    incident.register(&node, time + 40);
    incident.make_noise(Noise::steady(incident.at("09:00:03"), incident.at("09:45:00")));
    incident.take()
}

/// Encryption by default with the AWS managed key, and a mapping that misses the root device.
pub fn aws_managed_key(seed: u64) -> Vec<Record> {
    let mut incident = Incident::new(seed, "123456789012", "eu-west-1", "stats", "2026-08-25");
    let configured_key = incident.key();
    let managed_key = incident.key();
    let pool = NodePool::new("general", "ubuntu");
    let time = incident.at("16:08:01");
    let mapping = [Mapping::with_key("/dev/xvda", &configured_key)];
    let template = incident.launch_template_of_image(time - 4, "/dev/sda1", &mapping);
    for time in [time, incident.at("16:23:35")] {
        let volumes =
            vec![VolumePlan::requested_as("alias/aws/ebs", &managed_key), VolumePlan::under(&configured_key)];
        let node = incident.launch(time, &pool, &template, volumes);
        incident.register(&node, time + 43);
    }
    incident.make_noise(Noise::steady(incident.at("16:00:03"), incident.at("16:50:00")));
    incident.take()
}
