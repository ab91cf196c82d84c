//! A small object store on loopback, and the barest way to read from it: what a download costs at least.
//!
//! The store is a process of its own (the bench runs itself), so that CPU time tells both sides apart. It knows pages of
//! listings and whole objects, all from memory; signatures are not looked at. The bare reader sends requests of
//! one line over connections that stay open, and throws the bodies away.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

pub const BUCKET: &str = "bench";
const FOLDER: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/05/06/";
const KEYS_PER_PAGE: usize = 1_000;

/// A running store; ended when dropped.
pub struct Store {
    process: Child,
    pub address: String,
}

impl Store {
    /// Starts this program once more, as a store of so many objects of so many records each.
    pub fn start(objects: usize, records: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the program's own path"))
            .args(["--serve", &objects.to_string(), &records.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("its output is piped");
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address).expect("the store says where it is");
        Self { process, address: address.trim().to_owned() }
    }

    /// CPU time of the store's process in seconds, where the system tells it.
    pub fn cpu_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        // Behind the name, which may hold blanks: user and system time are the 12th and 13th fields.
        let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks =
            |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until standard input ends; the first line printed says where.
pub fn serve(objects: usize, records: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    println!("{}", listener.local_addr().expect("an address"));
    let bodies: BTreeMap<String, Vec<u8>> =
        (0..objects).map(|index| (key(index), log_file(index, records))).collect();
    let bodies = Arc::new(bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let bodies = Arc::clone(&bodies);
            std::thread::spawn(move || converse(stream, &bodies));
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn key(index: usize) -> String {
    format!("{FOLDER}111122223333_CloudTrail_us-east-1_20260506T1140Z_{index:016}.json.gz")
}

/// A log file of a quiet account: every tenth record is about a volume's key.
fn log_file(index: usize, records: usize) -> Vec<u8> {
    let mut text = String::from("{\"Records\":[");
    for record in 0..records {
        let (source, name) = if record % 10 == 0 {
            ("kms", "GenerateDataKeyWithoutPlaintext")
        } else {
            ("s3", "GetBucketAcl")
        };
        let comma = if record > 0 { "," } else { "" };
        text.push_str(&format!(
            r#"{comma}{{"eventVersion":"1.10","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE:{index}","arn":"arn:aws:sts::111122223333:assumed-role/reader/{record}","accountId":"111122223333"}},"eventTime":"2026-05-06T11:{:02}:{:02}Z","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"aws-sdk-go-v2/1.36.3","requestParameters":{{"bucketName":"b{index}"}},"responseElements":null,"requestID":"{record:08}-1111-2222-3333-{index:012}","eventID":"{index:08}-{record:04}-4444-5555-666666666666","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}}"#,
            index % 60,
            record % 60
        ));
    }
    text.push_str("]}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn converse(stream: TcpStream, bodies: &BTreeMap<String, Vec<u8>>) {
    // Small answers are not to wait for more.
    let _ = stream.set_nodelay(true);
    let mut input = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut output = stream;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            line.clear();
            if input.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let key =
            path.trim_start_matches('/').strip_prefix(BUCKET).unwrap_or_default().trim_start_matches('/');
        let (kind, body) = match bodies.get(key) {
            Some(body) => ("binary/octet-stream", body.clone()),
            None => ("application/xml", page(bodies, query).into_bytes()),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nETag: \"e\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = head.into_bytes();
        answer.extend(body);
        if output.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A page of a listing: all keys below a prefix, or the next folder.
fn page(bodies: &BTreeMap<String, Vec<u8>>, query: &str) -> String {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.replace("%2F", "/"))
    };
    let prefix = parameter("prefix").unwrap_or_default();
    let after = parameter("continuation-token").unwrap_or_default();
    let mut listing = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    if parameter("delimiter").is_some() && prefix.len() < FOLDER.len() {
        let next = FOLDER[prefix.len()..].find('/').map_or(FOLDER.len(), |at| prefix.len() + at + 1);
        listing += &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", &FOLDER[..next]);
    } else {
        let keys: Vec<_> = bodies.iter().filter(|(key, _)| **key > after).take(KEYS_PER_PAGE + 1).collect();
        for (key, body) in keys.iter().take(KEYS_PER_PAGE) {
            listing += &format!(
                "<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>{}</Size></Contents>",
                body.len()
            );
        }
        if keys.len() > KEYS_PER_PAGE {
            let last = keys[KEYS_PER_PAGE - 1].0;
            listing += &format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
            );
        }
    }
    listing + "</ListBucketResult>"
}

/// Reads all objects over so many connections; gives their bytes.
pub fn download_barely(address: &str, bucket: &str, keys: &[String], connections: usize) -> usize {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut output = TcpStream::connect(address).expect("the store listens");
        let _ = output.set_nodelay(true);
        let mut input = BufReader::new(output.try_clone().expect("a second handle"));
        let (mut line, mut body, mut bytes) = (String::new(), Vec::new(), 0);
        while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Signed as nobody: the stores of tests do not look.
            write!(
                output,
                "GET /{bucket}/{key} HTTP/1.1\r\nHost: {address}\r\nAuthorization: AWS4-HMAC-SHA256 \
                 Credential=AKIA/20260506/us-east-1/s3/aws4_request\r\n\r\n"
            )
            .expect("the store listens");
            let mut length = 0;
            loop {
                line.clear();
                assert!(input.read_line(&mut line).expect("an answer") > 0, "the store hung up");
                if line == "\r\n" {
                    break;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().expect("a length");
                }
            }
            body.resize(length, 0);
            input.read_exact(&mut body).expect("a body");
            bytes += length;
        }
        bytes
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().expect("no panic")).sum()
    })
}
