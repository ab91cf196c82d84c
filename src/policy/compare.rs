//! What changed between two versions of a key policy.
//!
//! Two policies come in; the statements that are gone, new or changed come out, and principal by principal the
//! actions that were lost and won. Order, letter case of actions and names of statements make no difference,
//! nor does a permission that a wider one still covers. An account's delegation covers nothing: losing the
//! statement that names a role is a loss, though IAM may still allow it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::condition::Condition;
use super::document::{Effect, Policy, Selection, Statement, StatementName};
use super::pattern;
use super::principal::{Principal, Principals};

/// Most pairs of a principal and an action that are compared one by one; a real key policy has dozens.
const PERMISSIONS_MAX: usize = 20_000;

/// Most actions for one principal that are compared one by one; KMS has about sixty.
const ACTIONS_PER_SCOPE_MAX: usize = 500;

/// Most lines, and most names on one of them.
const LINES_MAX: usize = 200;
const NAMES_PER_LINE_MAX: usize = 20;

/// The difference between two key policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDifference {
    /// Statements of the old policy without a counterpart.
    pub statements_lost: Vec<StatementName>,
    /// Statements of the new policy without a counterpart.
    pub statements_won: Vec<StatementName>,
    /// Statements that say something else now.
    pub statements_changed: Vec<StatementChange>,
    /// What the old policy said and the new one does not.
    pub lost: Vec<PermissionChange>,
    /// What the new policy says and the old one did not.
    pub won: Vec<PermissionChange>,
    /// Whether `lost` and `won` are left empty because a policy names too many principals and actions.
    pub is_too_large: bool,
}

/// A statement that has a counterpart which says something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementChange {
    /// In the old policy.
    pub old: StatementName,
    /// In the new policy.
    pub new: StatementName,
}

/// Actions that were allowed (or denied) to a principal in one of the policies only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionChange {
    /// Allowed or denied.
    pub effect: Effect,
    /// To whom: one principal, or all but some.
    pub principals: Principals,
    /// Actions as written; see `is_negated`.
    pub actions: Selection,
    /// On what; `*` is the key.
    pub resources: Selection,
    /// Under which conditions.
    pub conditions: Arc<[Condition]>,
    /// Where it stands.
    pub statements: Vec<StatementName>,
}

/// A statement in a form that is equal for equal statements.
#[derive(PartialEq, Eq)]
struct Meaning {
    effect: Effect,
    principals: Principals,
    /// In lower case.
    actions: Selection,
    resources: Arc<Selection>,
    conditions: Arc<[Condition]>,
}

/// What a permission is about, apart from its action.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    effect: Effect,
    principals: Principals,
    resources: Arc<Selection>,
    conditions: Arc<[Condition]>,
    /// The actions that `NotAction` excepts; such a scope has the one action `*`.
    all_but: Option<Arc<[String]>>,
}

/// Action in lower case -> action as written, and the statement.
type Actions = BTreeMap<String, (String, StatementName)>;

/// Compares two versions of a key policy.
#[must_use]
pub fn compare(old: &Policy, new: &Policy) -> PolicyDifference {
    let meanings = |policy: &Policy| policy.statements.iter().map(Meaning::of).collect::<Vec<_>>();
    let (old_meanings, new_meanings) = (meanings(old), meanings(new));
    let mut difference = PolicyDifference::default();
    match_statements((old, &old_meanings), (new, &new_meanings), &mut difference);
    match (permissions(old, &old_meanings), permissions(new, &new_meanings)) {
        (Some(before), Some(after)) => {
            difference.lost = only_in_first(&before, &after);
            difference.won = only_in_first(&after, &before);
        }
        _ => difference.is_too_large = !difference.is_same_statements(),
    }
    difference
}

impl PolicyDifference {
    /// Whether both policies say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    fn is_same_statements(&self) -> bool {
        self.statements_lost.is_empty()
            && self.statements_won.is_empty()
            && self.statements_changed.is_empty()
    }

    /// The difference in words, a line each: first the statements, then what was lost, then what was won.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.statements_lost.iter().map(|name| format!("{name} is gone")));
        lines.extend(self.statements_won.iter().map(|name| format!("{name} is new")));
        lines.extend(self.statements_changed.iter().map(|change| {
            if change.old == change.new {
                format!("{} changed", change.new)
            } else {
                format!("{} became {}", change.old, change.new)
            }
        }));
        for (changes, allow, deny) in
            [(&self.lost, "may no longer", "is no longer denied"), (&self.won, "may now", "is now denied")]
        {
            lines.extend(changes.iter().map(|change| {
                let verb = if change.effect == Effect::Allow { allow } else { deny };
                change.line(verb)
            }));
        }
        if let Some(more) = lines.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            lines.truncate(LINES_MAX);
            lines.push(format!("and {more} more differences"));
        }
        if self.is_too_large {
            lines.push("too many principals and actions to compare one by one".to_owned());
        }
        lines
    }
}

impl PermissionChange {
    fn line(&self, verb: &str) -> String {
        let mut line = match &self.principals {
            Principals::Of(principals) => names(principals),
            Principals::AllBut(principals) => format!("everyone but {}", names(principals)),
        };
        let but = if self.actions.is_negated { "everything but " } else { "" };
        line.push_str(&format!(" {verb} {but}{}", names(&self.actions.patterns)));
        if self.resources.is_negated || self.resources.patterns != ["*"] {
            let but = if self.resources.is_negated { "all but " } else { "" };
            line.push_str(&format!(" on {but}{}", names(&self.resources.patterns)));
        }
        if !self.conditions.is_empty() {
            line.push_str(&format!(", if {}", names(&self.conditions)));
        }
        line.push_str(&format!(" ({})", names(&self.statements)));
        line
    }
}

/// At most [`NAMES_PER_LINE_MAX`] names and how many more there are.
fn names<T: fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> =
        items.iter().take(NAMES_PER_LINE_MAX).map(|item| super::printable(&item.to_string())).collect();
    match items.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

impl Meaning {
    fn of(statement: &Statement) -> Self {
        let selection = |of: &Selection, letters: fn(&String) -> String| Selection {
            is_negated: of.is_negated,
            patterns: sorted(of.patterns.iter().map(letters)),
        };
        Self {
            effect: statement.effect,
            principals: match &statement.principals {
                Principals::Of(listed) => Principals::Of(sorted(listed.iter().cloned())),
                Principals::AllBut(listed) => Principals::AllBut(sorted(listed.iter().cloned())),
            },
            actions: selection(&statement.actions, |text| text.to_ascii_lowercase()),
            resources: Arc::new(selection(&statement.resources, String::clone)),
            conditions: sorted(statement.conditions.iter().map(normal_condition)).into(),
        }
    }

    /// The scope of the statement for each of its principals.
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        let each: Vec<Principals> = match &self.principals {
            Principals::Of(listed) => {
                listed.iter().map(|principal| Principals::Of(vec![principal.clone()])).collect()
            }
            all_but @ Principals::AllBut(_) => vec![all_but.clone()],
        };
        let all_but: Option<Arc<[String]>> =
            self.actions.is_negated.then(|| self.actions.patterns.clone().into());
        each.into_iter().map(move |principals| Scope {
            effect: self.effect,
            principals,
            resources: Arc::clone(&self.resources),
            conditions: Arc::clone(&self.conditions),
            all_but: all_but.clone(),
        })
    }
}

fn normal_condition(condition: &Condition) -> Condition {
    let is_truth = matches!(condition.operator.as_str(), "Bool" | "BoolIfExists" | "Null");
    let value = |text: &String| if is_truth { text.to_ascii_lowercase() } else { text.clone() };
    Condition {
        operator: condition.operator.clone(),
        key: condition.key.clone(),
        values: sorted(condition.values.iter().map(value)),
    }
}

/// Everything that the policy says, one action at a time; `None` if that is too much.
fn permissions(policy: &Policy, meanings: &[Meaning]) -> Option<BTreeMap<Scope, Actions>> {
    let size = |statement: &Statement| {
        statement.principals.listed().len().saturating_mul(statement.actions.patterns.len())
    };
    if policy.statements.iter().map(size).fold(0, usize::saturating_add) > PERMISSIONS_MAX {
        return None;
    }
    let mut permissions: BTreeMap<Scope, Actions> = BTreeMap::new();
    for (statement, meaning) in policy.statements.iter().zip(meanings) {
        for scope in meaning.scopes() {
            let all = ["*".to_owned()];
            let written = if scope.all_but.is_some() { &all } else { statement.actions.patterns.as_slice() };
            let actions = permissions.entry(scope).or_default();
            for action in written {
                actions
                    .entry(action.to_ascii_lowercase())
                    .or_insert_with(|| (action.clone(), statement.name.clone()));
            }
        }
    }
    permissions.values().all(|actions| actions.len() <= ACTIONS_PER_SCOPE_MAX).then_some(permissions)
}

fn only_in_first(
    first: &BTreeMap<Scope, Actions>,
    second: &BTreeMap<Scope, Actions>,
) -> Vec<PermissionChange> {
    let mut changes = Vec::new();
    for (scope, actions) in first {
        let wider = wider_actions(scope, second);
        let only: Vec<&(String, StatementName)> = actions
            .iter()
            .filter(|(action, _)| !is_covered(action, &wider))
            .map(|(_, written)| written)
            .collect();
        if only.is_empty() {
            continue;
        }
        let actions = match &scope.all_but {
            Some(excepted) => Selection { is_negated: true, patterns: excepted.to_vec() },
            None => Selection {
                is_negated: false,
                patterns: only.iter().map(|(action, _)| action.clone()).collect(),
            },
        };
        changes.push(PermissionChange {
            effect: scope.effect,
            principals: scope.principals.clone(),
            actions,
            resources: Selection::clone(&scope.resources),
            conditions: Arc::clone(&scope.conditions),
            statements: sorted(only.iter().map(|(_, name)| name.clone())),
        });
    }
    changes
}

/// The action sets of all scopes that reach at least as far as `scope`: the same, or everyone, on everything,
/// without conditions.
fn wider_actions<'a>(scope: &Scope, permissions: &'a BTreeMap<Scope, Actions>) -> Vec<&'a Actions> {
    let everyone = Principals::Of(vec![Principal::Everyone]);
    let all = Arc::new(Selection { is_negated: false, patterns: vec!["*".to_owned()] });
    let none: Arc<[Condition]> = Arc::new([]);
    let mut wider = BTreeSet::new();
    for principals in [&scope.principals, &everyone] {
        for resources in [&scope.resources, &all] {
            for conditions in [&scope.conditions, &none] {
                for all_but in [&scope.all_but, &None] {
                    wider.insert(Scope {
                        effect: scope.effect,
                        principals: principals.clone(),
                        resources: Arc::clone(resources),
                        conditions: Arc::clone(conditions),
                        all_but: all_but.clone(),
                    });
                }
            }
        }
    }
    wider.iter().filter_map(|scope| permissions.get(scope)).collect()
}

fn is_covered(action: &str, wider: &[&Actions]) -> bool {
    wider.iter().any(|actions| {
        actions.contains_key(action)
            || actions
                .keys()
                .filter(|pattern| pattern.contains(['*', '?']))
                .any(|pattern| pattern::covers(pattern, action))
    })
}

/// Pairs the statements of both policies: first those that say the same, then those of one name, then those
/// for the same principals, then those with the same actions.
fn match_statements(
    (old, before): (&Policy, &[Meaning]),
    (new, after): (&Policy, &[Meaning]),
    difference: &mut PolicyDifference,
) {
    type Said<'a> = (&'a StatementName, &'a Meaning);
    let said = |policy, meanings| {
        std::iter::zip(names_of(policy), meanings).map(Some).collect::<Vec<Option<Said<'_>>>>()
    };
    let (mut before, mut after) = (said(old, before), said(new, after));
    let stages: [fn(Said<'_>, Said<'_>) -> bool; 4] = [
        |(_, one), (_, other)| one == other,
        |(one, _), (other, _)| one.sid.is_some() && one.sid == other.sid,
        |(_, one), (_, other)| one.effect == other.effect && one.principals == other.principals,
        |(_, one), (_, other)| one.effect == other.effect && one.actions == other.actions,
    ];
    for (stage, is_pair) in stages.into_iter().enumerate() {
        for one in &mut before {
            let Some(statement) = *one else { continue };
            let pair = after.iter_mut().find(|other| other.is_some_and(|other| is_pair(statement, other)));
            let Some(other) = pair.and_then(Option::take) else { continue };
            *one = None;
            if stage > 0 {
                let change = StatementChange { old: statement.0.clone(), new: other.0.clone() };
                difference.statements_changed.push(change);
            }
        }
    }
    difference.statements_changed.sort();
    let rest =
        |said: Vec<Option<Said<'_>>>| said.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    difference.statements_lost = rest(before);
    difference.statements_won = rest(after);
}

fn names_of(policy: &Policy) -> impl Iterator<Item = &StatementName> {
    policy.statements.iter().map(|statement| &statement.name)
}

#[cfg(test)]
mod tests;
