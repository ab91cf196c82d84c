//! How far the reading has come: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::archive::Progress;

/// Without a terminal, at most one line in this time.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

const TEMPLATE: &str = "{bar:24} {bytes}/{total_bytes} · {msg} · {eta} left";
const TEMPLATE_WITHOUT_TOTAL: &str = "{spinner} {bytes} · {msg} · {elapsed}";

/// Progress on standard error.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Where standard error is no terminal: when the last line was written.
    last_line: Option<Mutex<Instant>>,
    begin: Instant,
    objects_total: AtomicU64,
    objects: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Bar {
    pub(super) fn new(is_quiet: bool) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = if is_quiet || !is_terminal {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
        };
        Self {
            bar,
            last_line: (!is_quiet && !is_terminal).then(|| Mutex::new(Instant::now())),
            begin: Instant::now(),
            objects_total: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn state(&self) -> String {
        let records = self.records.load(Ordering::Relaxed);
        let millis = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        format!(
            "{}/{} files · {} records · {}/s",
            HumanCount(self.objects.load(Ordering::Relaxed)),
            HumanCount(self.objects_total.load(Ordering::Relaxed)),
            HumanCount(records),
            HumanCount(records.saturating_mul(1000) / millis)
        )
    }

    fn show(&self) {
        if !self.bar.is_hidden() {
            self.bar.set_message(self.state());
        }
        let Some(last_line) = &self.last_line else {
            return;
        };
        // Who finds the lock taken leaves the line to its holder.
        if let Ok(mut last) = last_line.try_lock()
            && last.elapsed() >= LINE_INTERVAL
        {
            *last = Instant::now();
            let bytes = HumanBytes(self.bytes.load(Ordering::Relaxed));
            // Progress that cannot be shown is no reason to stop.
            let _ = writeln!(io::stderr(), "read {bytes} · {}", self.state());
        }
    }
}

impl Progress for Bar {
    fn begin(&self, objects: u64, bytes: Option<u64>) {
        self.objects_total.store(objects, Ordering::Relaxed);
        let template = if let Some(bytes) = bytes {
            self.bar.set_length(bytes);
            TEMPLATE
        } else {
            TEMPLATE_WITHOUT_TOTAL
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn consumed(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
        self.show();
    }

    fn records(&self, count: u64) {
        self.records.fetch_add(count, Ordering::Relaxed);
    }

    fn object_done(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.show();
    }
}
