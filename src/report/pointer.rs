//! The command that tells all of an incident, for reports that tell less.
//!
//! An incident comes in, the command without its sources goes out, ready to paste. An instance id with a letter that
//! no such id has makes none.

use crate::rules::Incident;

/// `keytrail explain INSTANCE` for the incident's first node; `None` where it is about no node.
pub(super) fn explain(incident: &Incident) -> Option<String> {
    let node = incident.nodes.first()?;
    let digits = node.strip_prefix("i-")?;
    let is_id = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| format!("keytrail explain {node}"))
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::report::incident;
    use crate::rules::incidents;

    #[test]
    fn names_the_first_node_and_nothing_that_is_no_instance_id() {
        let (case, findings) = (incident::case(), incident::findings());
        let mut told = incidents(&case, &findings);
        let first = told.iter_mut().find(|incident| !incident.nodes.is_empty()).expect("about nodes");
        assert_eq!(explain(first), Some(format!("keytrail explain {}", first.nodes[0])));
        for hostile in ["", "i-", "i-0a;reboot", "$(reboot)", "i-0a`x`", "--help"] {
            first.nodes[0] = hostile.into();
            assert_eq!(explain(first), None, "{hostile:?}");
        }
        first.nodes.clear();
        assert_eq!(explain(first), None);
    }
}
