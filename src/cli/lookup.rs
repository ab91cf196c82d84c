//! `lookup:` as a source: which regions and what stretch of time, and how far it has come.
//!
//! Arguments come in, the objects that hold the event history go out, with a sentence on what it cannot hold.
//! Progress goes to standard error: a line that is rewritten on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::Timestamp;
use crate::source::aws::Session;
use crate::source::aws::lookup::{
    HISTORY_DAYS, LookedUp, LookupOptions, LookupProgress, LookupWindow, PageRead, look_up,
};
use crate::source::aws::s3::SaveDirectory;

/// Without a terminal, at most one line in this time.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The regions that a SOURCE of this kind names; `None` if it is of another kind.
///
/// `lookup:` names none, `lookup:eu-west-1,us-east-1` two.
pub(super) fn regions(source: &str) -> Option<Vec<String>> {
    let names = source.strip_prefix("lookup:")?;
    Some(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Whether a SOURCE is of this kind.
pub(super) fn is_lookup(source: &Path) -> bool {
    source.to_str().is_some_and(|source| regions(source).is_some())
}

/// Looks up everything that can matter; shows how far it has come.
pub(super) fn fetch(
    session: &Session,
    options: &LookupOptions,
    save: Option<&Arc<SaveDirectory>>,
    is_quiet: bool,
) -> anyhow::Result<LookedUp> {
    let now = Timestamp::from_second(jiff::Timestamp::now().as_second());
    let line = Arc::new(Line::new(is_quiet));
    let progress: Arc<dyn LookupProgress> = Arc::<Line>::clone(&line);
    let result = look_up(session, options, now, save, &progress);
    line.bar.finish_and_clear();
    Ok(result?)
}

/// What was asked, and what such a source cannot hold: for the summary.
pub(super) fn note(looked_up: &LookedUp, window: &LookupWindow) -> String {
    let from = window.from.map(|from| Timestamp::from_second(from.second() - window.lookback_seconds));
    let reach = match from {
        Some(from) if !looked_up.is_cut_by_history => {
            format!("from {from} on, and what sets keys from all of its {HISTORY_DAYS} days")
        }
        _ => format!("from all of its {HISTORY_DAYS} days, before which it knows nothing"),
    };
    format!(
        "event history of {}: {} events on {} pages, {reach}; it holds management events only, and new ones come \
         some minutes late",
        looked_up.regions.join(", "),
        HumanCount(looked_up.events),
        HumanCount(looked_up.pages),
    )
}

/// Progress on standard error.
struct Line {
    bar: ProgressBar,
    /// Where standard error is no terminal: when the last line was written.
    last_line: Option<Mutex<Instant>>,
    queries: AtomicU64,
    queries_done: AtomicU64,
    pages: AtomicU64,
    events: AtomicU64,
}

impl Line {
    fn new(is_quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = if is_quiet || !is_terminal {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} · {elapsed}") {
            bar.set_style(style);
        }
        Self {
            bar,
            last_line: (!is_quiet && !is_terminal).then(|| Mutex::new(Instant::now())),
            queries: AtomicU64::new(0),
            queries_done: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    fn state(&self, page: &PageRead<'_>) -> String {
        let back_to = page.reached.map_or_else(String::new, |reached| format!(", back to {reached}"));
        format!(
            "{}/{} event names · {} pages · {} events · {}: {}{back_to}",
            self.queries_done.load(Ordering::Relaxed),
            self.queries.load(Ordering::Relaxed),
            HumanCount(self.pages.load(Ordering::Relaxed)),
            HumanCount(self.events.load(Ordering::Relaxed)),
            page.region,
            page.event_name,
        )
    }
}

impl LookupProgress for Line {
    fn begin(&self, queries: u64) {
        self.queries.fetch_add(queries, Ordering::Relaxed);
    }

    fn page(&self, page: &PageRead<'_>) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(page.events, Ordering::Relaxed);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.state(page));
            self.bar.tick();
        }
        let Some(last_line) = &self.last_line else {
            return;
        };
        // Who finds the lock taken leaves the line to its holder.
        if let Ok(mut last) = last_line.try_lock()
            && last.elapsed() >= LINE_INTERVAL
        {
            *last = Instant::now();
            // Progress that cannot be shown is no reason to stop.
            let _ = writeln!(io::stderr(), "looked up {}", self.state(page));
        }
    }

    fn query_done(&self) {
        self.queries_done.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::regions;

    #[test]
    fn a_source_may_name_its_regions() {
        assert_eq!(regions("lookup:"), Some(Vec::new()));
        assert_eq!(
            regions("lookup:eu-west-1, us-east-1"),
            Some(vec!["eu-west-1".to_owned(), "us-east-1".to_owned()])
        );
        for other in ["lookup", "./lookup:", "s3://bucket/lookup:", "-"] {
            assert_eq!(regions(other), None, "{other}");
        }
    }
}
