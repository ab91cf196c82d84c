//! An archive whose every text tries to run, to load, to mislead: it shows as text, and nothing happens.

use serde_json::Value;

use super::browser::Deeds;
use super::support::archive;
use super::support::cluster::{Mapping, NodePool};
use super::support::incident::{Incident, VolumePlan};
use super::support::kms::{Call, Refusal};
use super::support::record::Record;
use super::{chromium, report};

/// What somebody could write into a tag, a user agent, an alias or a policy.
const ATTACKS: &[&str] = &[
    "</script><script>window.canary=1;alert(1)</script>",
    "\"><img src=x onerror=\"window.canary=1;alert(2)\">",
    "'><svg onload=window.canary=1>",
    "javascript:window.canary=1//",
    "<!--<script>",
    "</title></style><style>*{background:url(https://attacker.example/)}</style>",
    "<iframe srcdoc='<script>parent.canary=1</script>'></iframe>",
    "<a href=\"javascript:window.canary=1\">click</a>",
    "${window.canary=1} {{7*7}} {% raw %}",
    "&lt;b&gt;&#60;&quot;",
    "https://attacker.example/?q=1",
    "__proto__",
    "key\u{202e}gpj.yek \u{2066}x\u{2069} \u{200b}\u{feff}",
    "\u{1b}[31mred\u{7}",
];

fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a text is JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// A node per attack, each attack as nodepool, node class, alias, user agent and in the message of a refusal.
fn records() -> Vec<Record> {
    let mut incident = Incident::new(77, "111122223333", "eu-west-1", "hostile", "2026-03-04");
    let mut records = Vec::new();
    for (attack, minute) in ATTACKS.iter().zip(10..) {
        let time = incident.at(&format!("10:{minute}:00"));
        let key = incident.key();
        let pool = NodePool::new("nodepool-to-replace", "nodeclass-to-replace");
        let template =
            incident.launch_template(time - 4, &[Mapping::with_key("/dev/xvda", "alias/to-replace")]);
        let principal = incident.launching_session_arn(time);
        let refusal = Refusal::by_identity_policy(Call::CreateGrant, &principal, "kms:CreateGrant", &key);
        let node = incident.launch(time, &pool, &template, vec![VolumePlan::under(&key).refused(refusal)]);
        incident.abort_launch(&node, time + 17);
        let agent = incident.cluster.user_agent("ec2");
        for mut record in incident.take() {
            for name in ["nodepool-to-replace", "nodeclass-to-replace", "alias/to-replace"] {
                record.text = record.text.replace(name, &escaped(attack));
            }
            record.text = record.text.replace(&agent, &format!("{agent} {}", escaped(attack)));
            let because = format!("because {} no identity-based", escaped(attack));
            record.text = record.text.replace("because no identity-based", &because);
            records.push(record);
        }
    }
    records
}

/// Opens everything that can be opened, points at everything that can be pointed at, and searches for everything.
const USE_EVERYTHING: &str = "(async () => {
    const pause = () => new Promise((done) => setTimeout(done, 5));
    for (const details of document.querySelectorAll('details')) details.open = true;
    for (const button of document.querySelectorAll('.show-incident, #zoom-in, #zoom-fit, #theme')) { button.click(); await pause(); }
    document.getElementById('clear').click();
    for (const lane of document.querySelectorAll('.lane')) {
        const box = lane.getBoundingClientRect();
        lane.querySelector('.track').dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: box.x + 400, clientY: box.y }));
        lane.querySelector('a').focus();
        lane.querySelector('a').click();
        await pause();
        for (const details of document.querySelectorAll('dialog details')) details.open = true;
        for (const button of document.querySelectorAll('dialog .copy')) { button.click(); await pause(); }
        document.querySelector('dialog').close();
    }
    const find = document.getElementById('find');
    for (const term of ['<script', 'canary', '__proto__', '\"><']) {
        find.value = term;
        find.form.requestSubmit();
        await pause();
    }
    return document.getElementById('count').textContent;
})()";

#[test]
fn a_hostile_archive_is_shown_as_text_and_runs_nothing() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    archive::write_to(&directory.path().join("logs"), &archive::bucket(77, records()))
        .expect("it can be written");
    let file = report(&directory.path().join("logs"), directory.path(), "report");
    let source = std::fs::read_to_string(&file).expect("a page");
    let invisible = |one: char| one != '\n' && keytrail::report::is_hazardous(one);
    assert_eq!(source.find(invisible), None, "nothing invisible reaches the page");

    let mut page = browser.page();
    page.open(&file);
    assert_eq!(page.value("document.querySelectorAll('.lane').length"), ATTACKS.len());
    let text = page.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for attack in ATTACKS.iter().filter(|attack| !attack.contains(invisible)) {
        assert!(text.contains(attack), "{attack} is not shown");
    }
    assert!(text.contains(r"key\u{202e}gpj.yek") && text.contains(r"\u{1b}[31mred\u{7}"));

    page.value(USE_EVERYTHING);
    page.hover(".lane .track");
    assert_eq!(page.value("typeof window.canary"), "undefined");
    let foreign = "document.querySelectorAll('img, iframe, object, embed, base, [onerror], [onload], [onclick], [style]:not(.plot):not(#tip)').length";
    assert_eq!(page.value(foreign), 0);
    assert_eq!(page.value("document.querySelectorAll('script').length"), 2);
    assert_eq!(page.value("document.querySelectorAll('style').length"), 1);
    let links = page.value("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href')).filter((to) => !to.startsWith('#'))");
    assert_eq!(links, Value::Array(Vec::new()), "links lead to the page only");
    assert_eq!(page.deeds(), Deeds::default());
}

#[test]
fn even_markup_that_got_in_could_not_run() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = report(&super::sample("01-healthy"), directory.path(), "report");
    let page_text = std::fs::read_to_string(&file).expect("a page");
    // As if escaping had been forgotten somewhere.
    let broken = page_text.replace(
        "<footer>",
        "<footer><script>window.canary=1</script><img src=x onerror='window.canary=1'><link rel=stylesheet href=https://attacker.example/>",
    );
    assert_ne!(broken, page_text);
    std::fs::write(&file, broken).expect("it can be written");
    let mut page = browser.page();
    page.open(&file);
    assert_eq!(page.value("typeof window.canary"), "undefined");
    let deeds = page.deeds();
    assert!(deeds.complaints.len() >= 3, "the policy speaks up: {deeds:?}");
    let markup = page.value(
        "(() => { try { document.body.innerHTML = '<b>'; return 'set'; } catch { return 'refused'; } })()",
    );
    assert_eq!(markup, "refused");
}
