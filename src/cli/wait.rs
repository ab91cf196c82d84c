//! `--wait`: looks again and again until the evidence is there, a failure is final, time is out, or the user stops it.
//!
//! A way to look comes in; the last look and how the waiting ended go out. What is missing is said on standard
//! error whenever it changes. A look that fails is not the end, unless it is the first.

use std::io::{self, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::sanitize;
use crate::verify::{Check, Verification, Wait, WaitEnd};

/// Without a change, at most one line in this time.
const LINE_INTERVAL: Duration = Duration::from_secs(60);
/// Nodes named in one line.
const NODES_NAMED_MAX: usize = 3;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In all, in seconds.
    pub(super) seconds_max: u64,
    /// Between two looks.
    pub(super) interval: Duration,
}

/// One look at the sources.
pub(super) trait Look {
    fn verification(&self) -> &Verification;
}

enum Message<L> {
    Looked(anyhow::Result<L>),
    Interrupted,
    Ended,
}

const ENDED: &str = "reading the sources ended unexpectedly";

/// Says that nobody looks any more, however that came about.
struct EndOfLooks<L>(mpsc::Sender<Message<L>>);

impl<L> Drop for EndOfLooks<L> {
    fn drop(&mut self) {
        let _ = self.0.send(Message::Ended);
    }
}

/// Looks until no evidence is missing that time may bring. `None` where the user stopped it before the first look
/// was over.
pub(super) fn until_told<L: Look + Send + 'static>(
    patience: Patience,
    is_quiet: bool,
    mut look: impl FnMut() -> anyhow::Result<L> + Send + 'static,
) -> anyhow::Result<(Option<L>, Wait)> {
    let (sender, messages) = mpsc::channel();
    let (again, requests) = mpsc::channel::<()>();
    let interrupts = sender.clone();
    // Without a handler, an interrupt ends the program as it always does.
    let _ = ctrlc::set_handler(move || {
        let _ = interrupts.send(Message::Interrupted);
    });
    // A look may take long: an interrupt must not have to wait for its end.
    thread::spawn(move || {
        let end = EndOfLooks(sender);
        while requests.recv().is_ok() {
            if end.0.send(Message::Looked(look())).is_err() {
                return;
            }
        }
    });
    let begin = Instant::now();
    let deadline = begin + Duration::from_secs(patience.seconds_max);
    let mut voice = Voice { is_quiet, begin, patience, last: None };
    let mut last: Option<L> = None;
    let mut looks = 0;
    let mut pause = Duration::ZERO;
    loop {
        let end = |ended, looks| Wait { ended, seconds_max: patience.seconds_max, looks };
        match messages.recv_timeout(pause) {
            Ok(Message::Interrupted) => return Ok((last, end(WaitEnd::Interrupted, looks))),
            Ok(Message::Looked(result)) => {
                looks += 1;
                match result {
                    Ok(reading) => {
                        let verification = reading.verification();
                        if verification.has_final_failure() {
                            return Ok((Some(reading), end(WaitEnd::Failed, looks)));
                        }
                        if !verification.is_waiting() {
                            return Ok((Some(reading), end(WaitEnd::Complete, looks)));
                        }
                        voice.say(verification);
                        last = Some(reading);
                    }
                    Err(error) if last.is_none() => return Err(error),
                    Err(error) => voice.say_failure(&error),
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok((last, end(WaitEnd::TimedOut, looks)));
                }
                pause = patience.interval.min(left);
            }
            Err(RecvTimeoutError::Timeout) => {
                again.send(()).map_err(|_| anyhow::anyhow!(ENDED))?;
                // The next message is the look's, however long it takes.
                pause = Duration::MAX;
            }
            Ok(Message::Ended) | Err(RecvTimeoutError::Disconnected) => anyhow::bail!(ENDED),
        }
    }
}

/// What is said while waiting.
struct Voice {
    is_quiet: bool,
    begin: Instant,
    patience: Patience,
    last: Option<(String, Instant)>,
}

impl Voice {
    fn say(&mut self, verification: &Verification) {
        if self.is_quiet {
            return;
        }
        let missing = missing(verification);
        let is_news =
            self.last.as_ref().is_none_or(|(text, at)| *text != missing || at.elapsed() >= LINE_INTERVAL);
        if !is_news {
            return;
        }
        let mut err = anstream::stderr().lock();
        if self.last.is_none() {
            let _ = writeln!(
                err,
                "waiting for at most {}: CloudTrail usually delivers within about 5 minutes, sometimes 15 or more; \
                 Ctrl-C ends with what is known",
                clock(self.patience.seconds_max)
            );
        }
        let _ = writeln!(err, "{}  {}", clock(self.begin.elapsed().as_secs()), sanitize(&missing));
        self.last = Some((missing, Instant::now()));
    }

    fn say_failure(&mut self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        // Progress that cannot be shown is no reason to stop.
        let _ =
            writeln!(io::stderr(), "warning: this look failed, there will be another: {}", sanitize(&text));
    }
}

/// Nodes seen, and what is missing of which.
fn missing(verification: &Verification) -> String {
    let launched = verification.assertions.iter().find(|assertion| assertion.check == Check::NodesLaunched);
    let mut parts = vec![launched.map_or_else(String::new, |assertion| assertion.text.clone())];
    let mut nodes: Vec<&str> = Vec::new();
    for assertion in verification.awaited().filter(|assertion| assertion.check != Check::NodesLaunched) {
        match &assertion.node {
            Some(node) => nodes.push(node),
            None => parts.push(assertion.text.clone()),
        }
    }
    nodes.dedup();
    if !nodes.is_empty() {
        let named = nodes[..nodes.len().min(NODES_NAMED_MAX)].join(", ");
        let more = nodes.len().saturating_sub(NODES_NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("evidence missing for {named}{more}"));
    }
    parts.join("; ")
}

/// `4:05`.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
