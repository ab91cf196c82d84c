//! A manifest -> `parse_yaml` and `parse_terraform`, alone and within a Terraform resource.
//!
//! Whatever the text is, nothing panics; reading it twice gives the same; what stands as a key to be compared is
//! written as one; a manifest merged with itself brings nothing but notes.

#![no_main]

use keytrail::manifest::{KeyForm, Manifest, ManifestError, Mapping, parse_terraform, parse_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    hold(parse_yaml("nodes.yaml", text), || parse_yaml("nodes.yaml", text));
    hold(parse_terraform("plan.json", text), || parse_terraform("plan.json", text));
    let body = serde_json::to_string(text).expect("a text is JSON");
    let state = format!(
        r#"{{"format_version":"1.0","values":{{"root_module":{{"resources":[
        {{"address":"kubectl_manifest.x","mode":"managed","type":"kubectl_manifest","values":{{"yaml_body":{body}}}}},
        {{"address":"aws_kms_alias.x","mode":"managed","type":"aws_kms_alias",
          "values":{{"name":"alias/x","arn":{body},"target_key_id":{body}}}}}]}}}}}}"#
    );
    hold(parse_terraform("state.json", &state), || parse_terraform("state.json", &state));
});

fn hold(
    read: Result<Manifest, ManifestError>,
    again: impl FnOnce() -> Result<Manifest, ManifestError>,
) {
    assert_eq!(read, again(), "the same text is read differently");
    let Ok(manifest) = read else {
        return;
    };
    let classes = manifest.node_classes.iter().flat_map(|class| &class.mappings);
    let templates = manifest.launch_templates.iter().flat_map(|template| &template.mappings);
    for mapping in classes.chain(templates) {
        hold_key(mapping);
    }
    let mut twice = manifest.clone();
    twice.merge(manifest.clone()).expect("a manifest does not contradict itself");
    twice.notes.clear();
    let once = Manifest { notes: Vec::new(), ..manifest };
    assert_eq!(twice, once, "a manifest merged with itself is another");
}

fn hold_key(mapping: &Mapping) {
    let Some(key) = mapping.kms_key.as_ref().filter(|key| key.form == KeyForm::Key) else {
        return;
    };
    assert_eq!(KeyForm::of(&key.text), KeyForm::Key, "{key:?}");
    assert!(!key.text.contains(['$', '{', '}']), "{key:?}");
}
