//! `keytrail rules [ID]`: the catalogue, or one rule's page.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};

use super::arguments::Rules;
use super::{Outcome, output};
use crate::report;
use crate::rules::{self, RULES};

pub(super) fn run(arguments: &Rules) -> anyhow::Result<Outcome> {
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    if let Some(id) = &arguments.id {
        let by_name = || RULES.iter().copied().find(|rule| rule.name.eq_ignore_ascii_case(id));
        let Some(rule) = rules::rule(id).or_else(by_name) else {
            bail!("no rule is named `{id}`: `keytrail rules` lists all of them");
        };
        out.write_all(rule.page().as_bytes())
    } else {
        report::write_catalogue(&mut out, RULES, output::layout())
    }
    .and_then(|()| out.flush())
    .context("writing to standard output")?;
    Ok(Outcome::Done)
}
