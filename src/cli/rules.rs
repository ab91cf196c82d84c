//! `keytrail rules [ID]`: the catalogue, or one rule's page.

use std::io::{self, BufWriter, Write as _};

use anyhow::{Context as _, bail};

use super::Outcome;
use super::arguments::Rules;
use crate::rules::{self, RULES};

pub(super) fn run(arguments: &Rules) -> anyhow::Result<Outcome> {
    let mut out = BufWriter::new(io::stdout().lock());
    if let Some(id) = &arguments.id {
        let Some(rule) = rules::rule(id) else {
            bail!("no rule is named `{id}`: `keytrail rules` lists all of them");
        };
        out.write_all(rule.page().as_bytes())
    } else {
        let widest = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
        RULES.iter().try_for_each(|rule| {
            let severity = rule.severity.name();
            writeln!(out, "{}  {severity:<8}  {:<widest$}  {}", rule.id, rule.name, rule.summary)
        })
    }
    .and_then(|()| out.flush())
    .context("writing to standard output")?;
    Ok(Outcome::Done)
}
