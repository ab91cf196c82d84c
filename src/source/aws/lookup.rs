//! `lookup:`, the event history of an account, region by region, through the LookupEvents API.
//!
//! Regions and a window come in; one object per region and event name goes out, holding the pages that the API gave.
//! All pages are fetched before anything is read, at the rate that the service admits. What cannot be
//! fetched after the first answer of a region makes its object end with an error, which becomes a loss; nothing is cut
//! off without saying so.

mod pace;
mod plan;
mod spool;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::http::HttpResponse;
use aws_sdk_cloudtrail::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudtrail::operation::lookup_events::{LookupEventsError, LookupEventsOutput};
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use tokio::task::JoinSet;

use super::repeat::{Backoff, Remedy, remedy};
use super::s3::SaveDirectory;
use super::{AwsError, Retries, Session};
use crate::event::Timestamp;
use crate::source::SourceObject;
use pace::Pacer;
pub use plan::LookupWindow;
use plan::Query;
use spool::{Spool, Spooled};

/// What AWS admits per account and region; others who ask share it.
pub const REQUESTS_PER_SECOND: f64 = 2.0;
/// Days that the event history goes back.
pub const HISTORY_DAYS: u32 = 90;
/// Events in a page, at most.
const PAGE_EVENTS_MAX: i32 = 50;
/// Queries of a region that are under way at once: an answer may take longer than the interval of requests.
const QUERIES_AT_ONCE: usize = 3;
/// Attempts of one request.
const ATTEMPTS_MAX: u32 = 10;
/// Attempts of a request to a region that has not answered yet, unless it asks to wait.
const FIRST_ATTEMPTS_MAX: u32 = 3;
/// Longest time that one attempt may take, its body included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// What to look up.
#[derive(Clone, Debug)]
pub struct LookupOptions {
    /// Regions whose history is asked; the session's own if empty.
    pub regions: Vec<String>,
    /// When the nodes of interest were launched.
    pub window: LookupWindow,
    /// Requests per second and region, more than 0; [`REQUESTS_PER_SECOND`] is what AWS admits.
    pub requests_per_second: f64,
}

/// Why nothing could be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Neither option, environment nor profile names a region.
    #[error("lookup: needs a region: give --region, or set AWS_REGION")]
    NoRegion,
    /// That is no region's name.
    #[error("`{region}` is no name of a region")]
    InvalidRegion {
        /// What was given.
        region: String,
    },
    /// AWS refused, or cannot be reached.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// What was looked up cannot be kept.
    #[error("pages of LookupEvents cannot be kept: {source}")]
    Spool {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Is told how far the looking up has come.
pub trait LookupProgress: Send + Sync {
    /// Before the first request.
    fn begin(&self, _queries: u64) {}
    /// A page came.
    fn page(&self, _page: &PageRead<'_>) {}
    /// One more query is over.
    fn query_done(&self) {}
}

/// A page of events.
#[derive(Clone, Copy, Debug)]
pub struct PageRead<'a> {
    /// Whose history.
    pub region: &'a str,
    /// The event name asked for.
    pub event_name: &'a str,
    /// Events in the page.
    pub events: u64,
    /// Time of the page's last event: pages go back in time.
    pub reached: Option<Timestamp>,
}

/// What was looked up.
#[derive(Debug)]
pub struct LookedUp {
    /// One object per region and event name, sorted by region as given and by name.
    pub objects: Vec<SourceObject>,
    /// Regions asked.
    pub regions: Vec<String>,
    /// Pages that came.
    pub pages: u64,
    /// Events in them.
    pub events: u64,
    /// Whether what was asked reaches back beyond the history.
    pub is_cut_by_history: bool,
}

/// Looks up everything that can matter. What came whole is also kept in `save`.
///
/// # Errors
/// Without a region, or when a region refuses its first request. What fails later is an error in the bytes of the
/// object concerned.
pub fn look_up(
    session: &Session,
    options: &LookupOptions,
    now: Timestamp,
    save: Option<&Arc<SaveDirectory>>,
    progress: &Arc<dyn LookupProgress>,
) -> Result<LookedUp, LookupError> {
    let regions = regions(session, &options.regions)?;
    let history_from = now.second() - i64::from(HISTORY_DAYS) * 86_400;
    let mut queries = plan::queries(&options.window);
    let mut is_cut_by_history = options.window.from.is_none();
    for query in &mut queries {
        // Times before the history are not asked for: whether the service takes them is not documented.
        if query.from.is_some_and(|from| from.second() < history_from) {
            (query.from, is_cut_by_history) = (None, true);
        }
        if query.to.is_some_and(|to| to >= now) {
            query.to = None;
        }
    }
    progress.begin((queries.len() * regions.len()) as u64);
    let totals = Arc::new(Totals::default());
    let outcome = session.runtime().block_on(async {
        let mut tasks = JoinSet::new();
        for (region_index, region) in regions.iter().enumerate() {
            let history = Arc::new(History {
                client: client(session, region),
                profile: session.profile().map(str::to_owned),
                retries: session.retries().clone(),
                region: region.clone(),
                pacer: Pacer::new(options.requests_per_second),
                waiting: Mutex::new(queries.iter().cloned().collect()),
                has_answered: AtomicBool::new(false),
                end: Mutex::new(None),
                totals: Arc::clone(&totals),
                progress: Arc::clone(progress),
            });
            for _ in 0..QUERIES_AT_ONCE {
                let history = Arc::clone(&history);
                tasks.spawn(async move { history.work().await.map(|done| (region_index, done)) });
            }
        }
        let mut done = Vec::new();
        while let Some(task) = tasks.join_next().await {
            // Whoever leaves early ends the other tasks too.
            let (region_index, answered) = task.expect("tasks neither panic nor are cancelled")?;
            done.extend(
                answered.into_iter().map(|(query, spooled)| (region_index, query.event_name, spooled)),
            );
        }
        Ok::<_, LookupError>(done)
    });
    let mut done = outcome?;
    done.sort_by_key(|(region_index, event_name, _)| (*region_index, *event_name));
    let objects = done
        .into_iter()
        .map(|(region_index, event_name, spooled)| {
            let region = &regions[region_index];
            if let Some(save) = save {
                // With the time: what is looked up later is not the same.
                let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
                spooled.save(save, &format!("{region}/{time}/{event_name}.json.gz"));
            }
            object(region, event_name, spooled)
        })
        .collect();
    let (pages, events) = (totals.pages.load(Ordering::Relaxed), totals.events.load(Ordering::Relaxed));
    Ok(LookedUp { objects, regions, pages, events, is_cut_by_history })
}

fn object(region: &str, event_name: &str, spooled: Spooled) -> SourceObject {
    let uri = format!("lookup:{region}/{event_name}");
    let mut object = SourceObject::remote(&uri, Some(spooled.size()), Arc::new(spooled));
    object.is_named_as_log = true;
    object
}

/// The regions to ask, each once.
fn regions(session: &Session, given: &[String]) -> Result<Vec<String>, LookupError> {
    let given = match (given, session.region()) {
        ([], None) => return Err(LookupError::NoRegion),
        ([], Some(region)) => vec![region.to_owned()],
        (given, _) => given.to_vec(),
    };
    let mut regions: Vec<String> = Vec::new();
    for region in given {
        // It becomes a part of the name of a host.
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-')
        };
        if !is_name(&region) {
            return Err(LookupError::InvalidRegion { region });
        }
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    Ok(regions)
}

fn client(session: &Session, region: &str) -> Client {
    let config = session.config_for(Some(region));
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    // Every attempt takes a slot of its own, so they are made here and not in the SDK.
    let config = aws_sdk_cloudtrail::config::Builder::from(&config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

#[derive(Default)]
struct Totals {
    pages: AtomicU64,
    events: AtomicU64,
}

/// The history of one region, being asked.
struct History {
    client: Client,
    // Not the session itself: its runtime must not end in one of the runtime's own tasks.
    profile: Option<String>,
    retries: Retries,
    region: String,
    pacer: Pacer,
    waiting: Mutex<VecDeque<Query>>,
    /// Whether the region has answered anything: then what fails is a loss, and no reason to give up.
    has_answered: AtomicBool,
    /// Why nothing more is asked of this region.
    end: Mutex<Option<String>>,
    totals: Arc<Totals>,
    progress: Arc<dyn LookupProgress>,
}

type Failure = SdkError<LookupEventsError, HttpResponse>;

impl History {
    /// Takes queries until none is left.
    async fn work(&self) -> Result<Vec<(Query, Spooled)>, LookupError> {
        let mut done = Vec::new();
        loop {
            let query = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(query) = query else { return Ok(done) };
            let spooled = self.query(&query).await?;
            self.progress.query_done();
            done.push((query, spooled));
        }
    }

    /// Pages through one query.
    async fn query(&self, query: &Query) -> Result<Spooled, LookupError> {
        let failed = |source| LookupError::Spool { source };
        let mut spool = Spool::new();
        let mut place = PagePlace { end: query.to, token: None };
        let mut reached = query.to;
        let mut pages = 0_u64;
        let failure = loop {
            if let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                break end;
            }
            let page = match self.ask(query, &place).await {
                Ok(page) => page,
                Err(failure) => {
                    // A token does not live for ever: go on from the second that was reached. What comes twice is
                    // told by its id.
                    if failure.code() == Some("InvalidNextTokenException") && reached < place.end_or_now() {
                        place = PagePlace { end: reached, token: None };
                        continue;
                    }
                    // What is refused now is refused later, and without a network each query would wait in vain.
                    let is_final = remedy(&failure) != Remedy::Wait
                        && failure.code() != Some("InvalidNextTokenException");
                    let request = format!("LookupEvents of {} in {}", query.event_name, self.region);
                    let error =
                        AwsError::of_request("CloudTrail", &request, self.profile.as_deref(), &failure);
                    if !self.has_answered.load(Ordering::Relaxed) {
                        return Err(error.into());
                    }
                    if is_final {
                        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                        end.get_or_insert_with(|| error.to_string());
                    }
                    break error.to_string();
                }
            };
            self.has_answered.store(true, Ordering::Relaxed);
            pages += 1;
            spool.page(page.events()).map_err(failed)?;
            let last = page.events().last().and_then(|event| event.event_time());
            reached = last.map(|time| Timestamp::from_second(time.secs())).or(reached);
            self.note(query, page.events().len() as u64, reached);
            match page.next_token {
                None => return spool.finish(None).map_err(failed),
                Some(token) if place.token.as_ref() == Some(&token) => {
                    break "the service gives the same page again and again".to_owned();
                }
                token => place.token = token,
            }
        };
        let back_to = reached.map_or_else(String::new, |reached| format!(", which go back to {reached}"));
        let failure = format!("{failure} (after {pages} pages{back_to})");
        spool.finish(Some(failure)).map_err(failed)
    }

    fn note(&self, query: &Query, events: u64, reached: Option<Timestamp>) {
        self.totals.pages.fetch_add(1, Ordering::Relaxed);
        self.totals.events.fetch_add(events, Ordering::Relaxed);
        self.progress.page(&PageRead { region: &self.region, event_name: query.event_name, events, reached });
    }

    /// One page, asked for as often as that may help.
    async fn ask(&self, query: &Query, place: &PagePlace) -> Result<LookupEventsOutput, Failure> {
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::EventName)
            .attribute_value(query.event_name)
            .build()
            .expect("key and value are set");
        let time = |time: Timestamp| DateTime::from_secs(time.second());
        let mut backoff = Backoff::new(ATTEMPTS_MAX);
        let mut attempts = 0;
        loop {
            self.pacer.slot().await;
            let request = self
                .client
                .lookup_events()
                .lookup_attributes(attribute.clone())
                .set_start_time(query.from.map(time))
                .set_end_time(place.end.map(time))
                .max_results(PAGE_EVENTS_MAX)
                .set_next_token(place.token.clone());
            let failure = match request.send().await {
                Ok(page) => return Ok(page),
                Err(failure) => failure,
            };
            let remedy = remedy(&failure);
            if remedy == Remedy::None {
                return Err(failure);
            }
            attempts += 1;
            // A region that never answered may not exist: who asks should not wait long to hear it.
            let is_mute = remedy == Remedy::Repeat && !self.has_answered.load(Ordering::Relaxed);
            let pause = backoff.next(remedy == Remedy::Wait);
            let Some(pause) = pause.filter(|_| !(is_mute && attempts >= FIRST_ATTEMPTS_MAX)) else {
                return Err(failure);
            };
            self.retries.note();
            if remedy == Remedy::Wait {
                // The rate is that of the account: other queries would be refused as well.
                self.pacer.pause(pause);
            } else {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Where the next page of a query is.
struct PagePlace {
    /// Events up to this time.
    end: Option<Timestamp>,
    token: Option<String>,
}

impl PagePlace {
    /// What a time that was reached is compared with: `None` stands for now, later than any event.
    fn end_or_now(&self) -> Option<Timestamp> {
        self.end.or(Some(Timestamp::from_second(i64::MAX / 2)))
    }
}
