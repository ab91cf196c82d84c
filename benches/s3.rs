//! Reading a bucket of small objects next to a bare concurrent download of the same objects from the same store.
//!
//! Prints wall and CPU time of both, their ratios, and the share of the processors that the client takes. Arguments:
//! `-objects=N` and `-records=N` per object; `-endpoint=HOST:PORT -bucket=NAME` for a store that is running already.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

#[allow(dead_code, reason = "the limit here is the store, not inflating")]
mod floor;
mod object_store;

use std::process::Command;

use floor::{Cost, Ratios, forget_peak_memory, measured, peak_memory_mb};
use keytrail::archive::{Quiet, read};
use keytrail::event::Coverage;
use keytrail::source::aws::s3::{Listing, Location, S3Options, Selection, source_objects};
use keytrail::source::aws::{Session, SessionOptions};
use object_store::{BUCKET, Store, download_barely};

const ROUNDS: usize = 5;
/// As many as the source has under way.
const CONNECTIONS: usize = 64;
/// AWS's own example of a key id.
const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, objects, records] = &arguments[..]
        && serve == "--serve"
    {
        let number = |text: &String| text.parse().expect("a number");
        return object_store::serve(number(objects), number(records));
    }
    if std::env::var("AWS_ACCESS_KEY_ID").as_deref() != Ok(ACCESS_KEY_ID) {
        return run_with_credentials(&arguments);
    }
    let given = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let number = |name: &str, default| given(name).map_or(default, |text| text.parse().expect("a number"));
    let (objects, records) = (number("-objects=", 10_000), number("-records=", 20));
    let store = given("-endpoint=").is_none().then(|| Store::start(objects, records));
    let address = match &store {
        Some(store) => store.address.clone(),
        None => given("-endpoint=").unwrap_or_default().to_owned(),
    };
    let bucket = given("-bucket=").unwrap_or(BUCKET);
    let options = floor::read_options(&arguments);
    let session = session(&address);
    let keys = keys(&session, bucket);
    let (mut ratios, mut last) = (Ratios::default(), None);
    for _ in 0..ROUNDS {
        let cpu = || store.as_ref().map_or(0.0, Store::cpu_seconds);
        let before = cpu();
        let (bare, bytes) = measured(|| download_barely(&address, bucket, &keys, CONNECTIONS));
        let between = cpu();
        forget_peak_memory();
        let (cost, coverage) = measured(|| read_bucket(&session, bucket, &options));
        assert_eq!(coverage.objects.read as usize, keys.len());
        assert!(coverage.losses.is_empty());
        ratios.note(cost, bare);
        last = Some((bare, cost, bytes, coverage, between - before, cpu() - between));
    }
    let (bare, cost, bytes, coverage, store_bare, store_cost) = last.expect("at least one round");
    println!(
        "{} objects, {} records, {:.1} MB stored, {CONNECTIONS} connections, {} jobs; {} requests retried",
        keys.len(),
        coverage.records.read,
        bytes as f64 / 1e6,
        options.jobs,
        session.retries().count()
    );
    for (name, Cost { wall, cpu }, store) in
        [("bare download", bare, store_bare), ("listed and read", cost, store_cost)]
    {
        println!(
            "  {name}: wall {:.2} s ({:.0} objects/s), client CPU {:.2} s ({:.0} % of a core), store CPU {store:.2} s",
            wall.as_secs_f64(),
            keys.len() as f64 / wall.as_secs_f64(),
            cpu.as_secs_f64(),
            100.0 * cpu.as_secs_f64() / wall.as_secs_f64()
        );
    }
    let (wall, cpu) = ratios.medians();
    println!(
        "  ratio: wall {wall:.2}, CPU {cpu:.2} (medians of {ROUNDS}); peak memory {} MB",
        peak_memory_mb()
    );
}

/// Reaches a store that looks at no signatures.
fn session(address: &str) -> Session {
    let options = SessionOptions {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(format!("http://{address}")),
        ..SessionOptions::default()
    };
    Session::load(&options).expect("a session")
}

/// Runs this program once more, with credentials of nobody.
fn run_with_credentials(arguments: &[String]) {
    let status = Command::new(std::env::current_exe().expect("the program's own path"))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .env_remove("AWS_SESSION_TOKEN")
        .status();
    assert!(status.expect("the program starts").success());
}

fn list(session: &Session, bucket: &str) -> Listing {
    let location = Location { bucket: bucket.to_owned(), prefix: String::new() };
    Listing::of(session, &location, S3Options::default(), &Selection::default(), &mut |_| {})
        .expect("the store answers")
}

fn keys(session: &Session, bucket: &str) -> Vec<String> {
    let objects = source_objects(session, vec![list(session, bucket)], None);
    let begin = format!("s3://{bucket}/");
    objects[0].iter().filter_map(|object| Some(object.uri.strip_prefix(&begin)?.to_owned())).collect()
}

/// All that the command does until there are events.
fn read_bucket(session: &Session, bucket: &str, options: &keytrail::archive::ReadOptions) -> Coverage {
    let objects = source_objects(session, vec![list(session, bucket)], None);
    read(&objects[0], options, &Quiet).coverage
}
