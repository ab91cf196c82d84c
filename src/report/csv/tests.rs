use super::{inert, write_csv};
use crate::correlate::Case;
use crate::report::incident::{self, HOSTILE};
use crate::report::{Table, is_hazardous};
use crate::rules::Finding;

fn text(case: &Case, findings: &[Finding], table: Table) -> String {
    let mut bytes = Vec::new();
    write_csv(&mut bytes, case, findings, table).expect("memory does not fail");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn volumes_and_timeline_as_text() {
    let (case, findings) = (incident::case(), incident::findings());
    assert_eq!(
        text(&case, &findings, Table::Volumes).lines().nth(2),
        Some(
            "i-0bbbbbbbbbbbbbbbb,111122223333,us-east-1,demo,default,2026-03-02T10:02:00Z,vol-0bbbbbbbbbbbbbbbb,\
             arn:aws:kms:us-east-1:111122223333:key/99999999-8888-7777-6666-555555555555,account-default,launch,\
             used,00000003-0000-4000-8000-000000000000"
        )
    );
    assert_eq!(
        text(&case, &findings, Table::Timeline),
        "\
instance_id,account_id,region,time,event_id,event_source,event_name,role,summary,error_code,origin_object,origin_record
i-0aaaaaaaaaaaaaaaa,111122223333,us-east-1,2026-03-02T10:00:00Z,00000002-0000-4000-8000-000000000000,\
ec2.amazonaws.com,RunInstances,launch,\"EC2 made the instance (c6i.xlarge, us-east-1a) from launch template \
lt-0aaaaaaa… for KarpenterControllerRole-demo\",,logs/one.json.gz,2
i-0aaaaaaaaaaaaaaaa,111122223333,us-east-1,2026-03-02T10:00:01Z,00000003-0000-4000-8000-000000000000,\
kms.amazonaws.com,GenerateDataKeyWithoutPlaintext,key-use,KMS made a data key for volume vol-0aaaaaaa… under key \
11111111…,,logs/one.json.gz,3
i-0aaaaaaaaaaaaaaaa,111122223333,us-east-1,2026-03-02T10:30:00Z,00000005-0000-4000-8000-000000000000,\
ec2.amazonaws.com,BidEvictedEvent,end,EC2 took the spot capacity back,,logs/one.json.gz,5
i-0cccccccccccccccc,111122223333,us-east-1,2026-03-02T10:05:02Z,00000004-0000-4000-8000-000000000000,\
kms.amazonaws.com,CreateGrant,refusal,KMS refused CreateGrant on key 11111111… to KarpenterControllerRole-demo: no \
identity-based policy allows the kms:CreateGrant action,AccessDenied,logs/one.json.gz,4
i-0dddddddddddddddd,111122223333,us-east-1,2026-03-02T11:00:00Z,00000007-0000-4000-8000-000000000000,\
ec2.amazonaws.com,TerminateInstances,end,\"KarpenterControllerRole-demo terminated the instance, which was \
running\",,logs/one.json.gz,7
"
    );
}

#[test]
fn lists_are_joined_and_unknown_is_empty() {
    let (case, findings) = (incident::case(), incident::findings());
    let mut reader =
        csv::Reader::from_reader(text(&case, &findings, Table::Findings).into_bytes().leak() as &[u8]);
    let headings = reader.headers().expect("headings").clone();
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    let cell = |row: usize, name: &str| {
        &rows[row][headings.iter().position(|heading| heading == name).expect("a column")]
    };
    assert_eq!(cell(1, "missing"), "one record; one object");
    assert_eq!(cell(1, "remediation_summary"), "");
    assert_eq!(cell(0, "remediation_summary"), "Allow the role to use the key.");
    assert_eq!(cell(0, "ruled_out"), "an explicit deny: the message names none");
}

#[test]
fn a_table_without_rows_has_its_headings() {
    for table in Table::ALL {
        assert_eq!(text(&Case::default(), &[], table).lines().count(), 1);
    }
}

#[test]
fn formulas_are_neutralised() {
    for (logged, written) in [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+1", "'+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1+1", "'＝1+1"),
        ("＠SUM(A1)", "'＠SUM(A1)"),
        (" =1", "' =1"),
        ("\u{3000}=1", "'\u{3000}=1"),
        ("\t=1", r"\u{9}=1"),
        ("\r=1", r"\u{d}=1"),
        ("agent;=1; +2", "agent;'=1;' +2"),
        ("a=b+c-d@e", "a=b+c-d@e"),
        ("i-0aaaaaaaaaaaaaaaa", "i-0aaaaaaaaaaaaaaaa"),
        ("", ""),
    ] {
        assert_eq!(inert(logged), written, "{logged:?}");
    }
}

#[test]
fn hostile_text_is_one_inert_cell() {
    let (case, findings) = (incident::hostile_case(), incident::hostile_findings());
    for table in Table::ALL {
        let text = text(&case, &findings, table);
        assert_eq!(text.replace('\n', "").find(is_hazardous), None, "{table}");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut rows = 0;
        for row in reader.records() {
            let row = row.expect("as many cells as headings");
            rows += 1;
            for cell in &row {
                assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{table}: {cell}");
            }
        }
        assert_eq!(rows + 1, text.lines().count(), "{table}: no line end within a cell");
    }
    let mut reader =
        csv::Reader::from_reader(text(&case, &findings, Table::Findings).into_bytes().leak() as &[u8]);
    let row = reader.records().next().expect("a row").expect("a row");
    let safe = crate::report::sanitize(HOSTILE);
    assert_eq!(row[6], format!("'{safe}"));
}

#[test]
fn quotes_and_commas_survive() {
    let mut case = incident::case();
    case.nodes.truncate(1);
    case.nodes[0].nodepool = Some("a \"quoted\", pool".into());
    let text = text(&case, &[], Table::Nodes);
    let row = csv::Reader::from_reader(text.as_bytes()).records().next().expect("a row").expect("a row");
    assert_eq!(&row[11], "a \"quoted\", pool");
}
