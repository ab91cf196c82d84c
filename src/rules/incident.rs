//! What is going on: findings that tell of one thing, put together so that twelve equal deaths read as one.
//!
//! A case and its findings come in, [`Incident`]s go out, the worst and earliest first. Nothing new is concluded
//! here: nodes belong together by the title of their finding, and a change belongs to the deaths whose events it
//! cites.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};

use super::finding::{Finding, Severity, SubjectKind};
use super::wording::{count, key_name, list, plain, principal_name, verb};
use crate::correlate::{Case, Confidence, KeyVerdict, Node};
use crate::event::{Id, Text, Timestamp};

/// Several findings that tell of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The worst of its findings'.
    pub severity: Severity,
    /// The weakest of the findings about its nodes: inferred where some node only comes into question.
    pub confidence: Confidence,
    /// First launch of its nodes, else its first event.
    pub began_at: Option<Timestamp>,
    /// Last end of its nodes (or launch, where no end is known), else its last event.
    pub last_at: Option<Timestamp>,
    /// One line: how many nodes, what happened, since when.
    pub title: String,
    /// What led to it, as far as a change in the archive explains it: who, when, with what.
    pub causes: Vec<String>,
    /// What else the findings about the same nodes say, one line each.
    pub also: Vec<String>,
    /// Instance ids of its nodes, in order of launch.
    pub nodes: Vec<Text>,
    /// Rules of its findings, sorted.
    pub rules: Vec<&'static str>,
    /// Its findings, as indices into those given, in their order.
    pub findings: Vec<usize>,
    /// The finding whose remedy mends it, as such an index.
    pub remedy: Option<usize>,
}

/// Most lines of [`Incident::also`].
const ALSO_MAX: usize = 5;

/// What findings about a node are about; those of one family are told together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Family {
    /// KMS refused a key.
    Refusal,
    /// The key is another than it should be.
    Key,
    /// The node ended.
    End,
    /// A grant ended.
    Grant,
}

fn family(rule: &str) -> Option<Family> {
    Some(match rule.as_bytes() {
        [b'K', b'T', b'1', ..] => Family::Refusal,
        [b'K', b'T', b'2', ..] => Family::Key,
        [b'K', b'T', b'3', ..] => Family::End,
        [b'K', b'T', b'4', ..] => Family::Grant,
        _ => return None,
    })
}

/// An incident in the making.
#[derive(Default)]
struct Draft<'a> {
    nodes: Vec<&'a Node>,
    findings: BTreeSet<usize>,
    causes: BTreeSet<usize>,
    loops: BTreeSet<usize>,
    what: String,
}

/// (account, region, cluster, what happened)
type Likeness<'a> = (&'a Text, &'a Text, Option<&'a Text>, String);

/// Puts findings together. `findings` are those of the case, in the order of [`evaluate`](super::evaluate).
#[must_use]
pub fn incidents(case: &Case, findings: &[Finding]) -> Vec<Incident> {
    let mut drafts = of_nodes(case, findings);
    let mut by_event: HashMap<&Id, BTreeSet<usize>> = HashMap::new();
    for (number, draft) in drafts.iter().enumerate() {
        for &finding in &draft.findings {
            for id in &findings[finding].evidence {
                by_event.entry(id).or_default().insert(number);
            }
        }
    }
    for (number, finding) in findings.iter().enumerate() {
        let is_nodes = finding.subject.kind == SubjectKind::Node;
        if is_nodes {
            continue;
        }
        let hit = |id: &Id| by_event.get(id).into_iter().flatten().copied();
        let touched: Vec<usize> = finding.evidence.iter().flat_map(hit).collect();
        let is_cause = matches!(finding.rule, "KT401" | "KT402" | "KT403");
        if touched.is_empty() || !(is_cause || finding.rule == "KT306") {
            drafts.push(Draft {
                findings: BTreeSet::from([number]),
                what: finding.title.clone(),
                ..Draft::default()
            });
        } else if is_cause {
            for draft in touched {
                drafts[draft].causes.insert(number);
            }
        } else {
            drafts[most_frequent(&touched)].loops.insert(number);
        }
    }
    let times = event_times(case, &drafts, findings);
    let mut incidents: Vec<Incident> =
        drafts.into_iter().map(|draft| draft.into_incident(findings, &times)).collect();
    incidents.sort_by(|one, two| {
        let key = |incident: &Incident| {
            (std::cmp::Reverse(incident.severity), incident.began_at.is_none(), incident.began_at)
        };
        (key(one), &one.title, &one.nodes).cmp(&(key(two), &two.title, &two.nodes))
    });
    incidents
}

/// The drafts of findings about nodes, and of nodes whose verdict no finding explains.
fn of_nodes<'a>(case: &'a Case, findings: &'a [Finding]) -> Vec<Draft<'a>> {
    let mut of_node: HashMap<&Text, Vec<usize>> = HashMap::new();
    for (number, finding) in findings.iter().enumerate() {
        if finding.subject.kind == SubjectKind::Node {
            of_node.entry(&finding.subject.id).or_default().push(number);
        }
    }
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut known: BTreeMap<Likeness<'_>, usize> = BTreeMap::new();
    for node in &case.nodes {
        let own = of_node.get(&node.instance_id).map_or(&[][..], Vec::as_slice);
        let mut families: BTreeMap<Family, Vec<usize>> = BTreeMap::new();
        for &number in own {
            if let Some(family) = family(findings[number].rule) {
                families.entry(family).or_default().push(number);
            }
        }
        // A node that was refused a key died of that: what else is wrong with its keys is told with it.
        if families.contains_key(&Family::Refusal)
            && let Some(keys) = families.remove(&Family::Key)
        {
            families.entry(Family::Refusal).or_default().extend(keys);
        }
        let mut told: Vec<(String, Vec<usize>)> =
            families.into_values().map(|numbers| (findings[numbers[0]].title.clone(), numbers)).collect();
        if !told.iter().any(|(_, numbers)| numbers.iter().any(|number| findings[*number].rule < "KT300")) {
            told.extend(unexplained(node).map(|what| (what, Vec::new())));
        }
        for (what, numbers) in told {
            let likeness = (&node.account_id, &node.region, node.cluster.as_ref(), what);
            let place = *known.entry(likeness).or_insert_with_key(|(.., what)| {
                drafts.push(Draft { what: what.clone(), ..Draft::default() });
                drafts.len() - 1
            });
            drafts[place].nodes.push(node);
            drafts[place].findings.extend(numbers);
        }
    }
    drafts
}

/// What `title` says beyond `told`, where both begin with the same refusal.
fn beyond<'a>(title: &'a str, told: &str) -> &'a str {
    match (title.rsplit_once(": "), told.rsplit_once(": ")) {
        (Some((refusal, more)), Some((same, _))) if refusal == same => more,
        _ => title,
    }
}

/// A verdict that is bad news without a rule that says why.
fn unexplained(node: &Node) -> Option<String> {
    let used = list(node.used_keys.iter().map(|key| key_name(key)), 2);
    match node.key_verdict {
        KeyVerdict::Mismatch if !node.template_keys.is_empty() => Some(format!(
            "Not under the expected key, but under {used}: the launch template of that time named other keys than \
             the node class does now"
        )),
        KeyVerdict::Mismatch => {
            Some(format!("Not under the expected key, but under {used}; the archive does not show why"))
        }
        KeyVerdict::Denied => Some("A refused key that no rule explains".to_owned()),
        _ => None,
    }
}

/// The number that occurs most often, of equal ones the smallest.
fn most_frequent(numbers: &[usize]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for number in numbers {
        *counts.entry(*number).or_default() += 1;
    }
    let most = counts.iter().rev().max_by_key(|(_, count)| **count);
    most.map(|(number, _)| *number).unwrap_or_default()
}

/// Times of the events that the findings about other things than nodes, and the causes, cite.
fn event_times<'a>(
    case: &'a Case,
    drafts: &[Draft<'_>],
    findings: &'a [Finding],
) -> HashMap<&'a Id, Timestamp> {
    let wanted: HashSet<&Id> = drafts
        .iter()
        .flat_map(|draft| {
            let own = draft.findings.iter().filter(|_| draft.nodes.is_empty());
            own.chain(&draft.causes)
        })
        .flat_map(|number| &findings[*number].evidence)
        .collect();
    case.events
        .iter()
        .filter(|event| wanted.contains(&event.event_id))
        .map(|event| (&event.event_id, event.time))
        .collect()
}

/// Whether the findings tell of nodes that were refused a key, or ended.
fn is_death(findings: &[Finding], numbers: &BTreeSet<usize>) -> bool {
    let mut families = numbers.iter().filter_map(|number| family(findings[*number].rule));
    families.any(|family| matches!(family, Family::Refusal | Family::End))
}

impl Draft<'_> {
    fn into_incident(self, findings: &[Finding], times: &HashMap<&Id, Timestamp>) -> Incident {
        let numbers: BTreeSet<usize> =
            self.findings.iter().chain(&self.causes).chain(&self.loops).copied().collect();
        let severity = numbers.iter().map(|number| findings[*number].severity).max();
        let confidence =
            self.findings.iter().map(|number| findings[*number].confidence).max().unwrap_or_default();
        let cited = self.findings.iter().flat_map(|number| &findings[*number].evidence);
        let cited: Vec<Timestamp> = cited.filter_map(|id| times.get(id).copied()).collect();
        let begins = self.nodes.iter().filter_map(|node| node.launched_at.or(node.ended_at));
        let ends = self.nodes.iter().filter_map(|node| node.ended_at.or(node.launched_at));
        let began_at = begins.min().or_else(|| cited.iter().min().copied());
        let last_at = ends.max().or_else(|| cited.iter().max().copied());
        let causes = self.causes.iter().map(|number| {
            let finding = &findings[*number];
            match finding.evidence.first().and_then(|id| times.get(id)) {
                Some(at) => format!("{at}: {}", finding.title),
                None => finding.title.clone(),
            }
        });
        let also: BTreeSet<&str> = self
            .findings
            .iter()
            .map(|number| findings[*number].title.as_str())
            .filter(|title| *title != self.what)
            .map(|title| beyond(title, &self.what))
            .collect();
        let mends = |number: &&usize| findings[**number].remediation.is_some();
        // What brought it about is to be mended first.
        // But a key that was not made for nodes is not to be opened to them: a key of their own comes before that.
        let is_of_own_key = |number: &&usize| findings[**number].rule == "KT205" && mends(number);
        let remedy = self.findings.iter().find(is_of_own_key).or_else(|| self.causes.iter().find(mends));
        let remedy = remedy.or_else(|| self.findings.iter().find(mends)).copied();
        Incident {
            severity: severity.unwrap_or(Severity::High),
            confidence,
            began_at,
            last_at,
            title: self.title(findings, (began_at, last_at), confidence),
            causes: causes.collect(),
            also: also.into_iter().take(ALSO_MAX).map(str::to_owned).collect(),
            nodes: self.nodes.iter().map(|node| node.instance_id.clone()).collect(),
            rules: numbers
                .iter()
                .map(|number| findings[*number].rule)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            findings: numbers.into_iter().collect(),
            remedy,
        }
    }

    fn title(
        &self,
        findings: &[Finding],
        (began_at, last_at): (Option<Timestamp>, Option<Timestamp>),
        confidence: Confidence,
    ) -> String {
        let inferred = if confidence == Confidence::Inferred { " (inferred)" } else { "" };
        if self.nodes.is_empty() {
            return format!("{}{inferred}", self.what);
        }
        let pools: BTreeSet<&str> = self.nodes.iter().filter_map(|node| node.nodepool.as_deref()).collect();
        let of_pools = match pools.len() {
            0 => match self.nodes[0].principal_arn.as_deref() {
                Some(principal) => format!(" launched by {}", principal_name(principal)),
                None => String::new(),
            },
            1 => format!(" of nodepool {}", list(pools, 1)),
            _ => format!(" of nodepools {}", list(pools, 3)),
        };
        let cluster = match self.nodes[0].cluster.as_deref() {
            Some(cluster) => format!(" in cluster {}", plain(cluster)),
            None => String::new(),
        };
        let looping = match self.loops.len() {
            0 => "",
            _ => verb(self.nodes.len(), " dies in a launch loop", " die in a launch loop"),
        };
        // A death is over; a wrong key stays.
        let is_past = is_death(findings, &self.findings);
        let since = match (began_at, self.nodes.len()) {
            (Some(at), 1) => format!(" at {at}"),
            (Some(at), _) => match last_at.filter(|_| is_past) {
                Some(last) => format!(" from {at} to {last}"),
                None => format!(" since {at}"),
            },
            (None, _) => String::new(),
        };
        format!(
            "{}{of_pools}{cluster}{looping}{since}: {}{inferred}",
            count(self.nodes.len(), "node"),
            self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::incidents;
    use crate::correlate::Confidence;
    use crate::rules::evaluate;
    use crate::rules::finding::Severity;
    use crate::rules::testing::{
        FOREIGN_KEY, KEY, Log, NO_IDENTITY_POLICY, NO_RESOURCE_POLICY, OTHER_KEY, ROLE, instance, policy_for,
    };

    fn refused(log: &mut Log, letter: &str, at: &str, denied_at: &str) {
        log.launch(letter, at).denied(letter, denied_at, "CreateGrant", KEY, NO_IDENTITY_POLICY);
    }

    #[test]
    fn equal_deaths_in_a_loop_read_as_one_with_the_change_that_led_to_them() {
        let mut log = Log::new();
        log.policy("2026-02-01T08:00:00Z", KEY, &policy_for(ROLE)).template(KEY);
        log.policy("09:55:00", KEY, &policy_for("arn:aws:iam::111122223333:role/Backup"));
        for (minute, letter) in ["a", "b", "c", "d"].iter().enumerate() {
            refused(&mut log, letter, &format!("10:0{minute}:00"), &format!("10:0{minute}:02"));
        }
        log.nodepool("batch");
        refused(&mut log, "e", "10:05:00", "10:05:02");
        let case = log.case();
        let findings = evaluate(&case);
        let incidents = incidents(&case, &findings);
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        let incident = &incidents[0];
        assert_eq!(
            incident.title,
            "5 nodes of nodepools batch and default in cluster demo die in a launch loop from \
             2026-03-02T10:00:00Z to 2026-03-02T10:05:02Z: KMS refuses kms:CreateGrant on key 11111111-2222-3333-4444-555555555555 to \
             KarpenterControllerRole-demo: no identity-based policy allows it"
        );
        assert_eq!(incident.rules, ["KT101", "KT306", "KT401"]);
        assert!(
            incident.causes[0].starts_with("2026-03-02T09:55:00Z: Policy of key"),
            "{:?}",
            incident.causes
        );
        assert_eq!(incident.nodes.len(), 5);
        assert_eq!(findings[incident.remedy.expect("a remedy")].rule, "KT401");
    }

    #[test]
    fn different_deaths_stay_apart_and_the_worst_comes_first() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "09:00:00", KEY).registered("a", "09:01:00");
        log.terminated(&["a"], "09:30:00", "running");
        refused(&mut log, "b", "10:00:00", "10:00:02");
        log.launch("c", "10:01:00").denied("c", "10:01:02", "CreateGrant", OTHER_KEY, NO_IDENTITY_POLICY);
        let case = log.case();
        let incidents = incidents(&case, &evaluate(&case));
        let severities: Vec<_> = incidents.iter().map(|incident| incident.severity).collect();
        assert_eq!(severities, [Severity::Critical, Severity::Critical, Severity::Info]);
        assert_eq!(incidents[0].nodes, [instance("b").as_str().into()]);
        assert!(incidents[2].title.ends_with("Terminated by Karpenter"), "{}", incidents[2].title);
    }

    #[test]
    fn what_else_is_wrong_with_the_key_of_a_refused_node_is_told_with_it() {
        let mut log = Log::new();
        log.alias("06:00:00", "CreateAlias", "alias/eks/demo", KEY).template(KEY);
        refused(&mut log, "a", "10:00:00", "10:00:02");
        let case = log.case();
        let findings = evaluate(&case);
        let incidents = incidents(&case, &findings);
        assert_eq!(incidents.len(), 1, "{incidents:#?}");
        assert_eq!(incidents[0].rules, ["KT101", "KT205"]);
        assert!(incidents[0].also[0].contains("secrets key of cluster demo"), "{:?}", incidents[0].also);
        assert_eq!(findings[incidents[0].remedy.expect("a remedy")].rule, "KT205");
    }

    #[test]
    fn a_second_rule_about_the_same_refusal_does_not_repeat_it() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00");
        let call = ("ReEncrypt", "kms:ReEncryptFrom");
        log.denied_as("a", "10:00:02", call, FOREIGN_KEY, NO_RESOURCE_POLICY, ROLE);
        let case = log.case();
        let incidents = incidents(&case, &evaluate(&case));
        assert_eq!(incidents[0].also, ["the AMI's snapshot is under another key"]);
    }

    #[test]
    fn a_join_by_time_makes_the_incident_inferred() {
        let mut log = Log::new();
        log.template(KEY).launch("a", "10:00:00").launch("b", "10:00:00");
        log.denied("c", "10:00:02", "CreateGrant", KEY, NO_IDENTITY_POLICY);
        let case = log.case();
        let incidents = incidents(&case, &evaluate(&case));
        assert_eq!((incidents.len(), incidents[0].confidence), (1, Confidence::Inferred));
        assert!(incidents[0].title.ends_with("(inferred)"), "{}", incidents[0].title);
    }

    #[test]
    fn a_wrong_key_without_an_explanation_is_told_too() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "09:00:00", OTHER_KEY).healthy("b", "09:10:00", OTHER_KEY);
        let case = log.case();
        let findings = evaluate(&case);
        assert_eq!(findings, []);
        let incidents = incidents(&case, &findings);
        assert_eq!(incidents.len(), 1);
        assert!(incidents[0].title.contains("2 nodes of nodepool default"), "{}", incidents[0].title);
        assert!(incidents[0].title.ends_with("the archive does not show why"), "{}", incidents[0].title);
    }

    #[test]
    fn a_healthy_fleet_has_no_incident() {
        let mut log = Log::new();
        log.template(KEY).healthy("a", "09:00:00", KEY).registered("a", "09:01:00");
        let case = log.case();
        assert_eq!(incidents(&case, &evaluate(&case)), []);
    }
}
