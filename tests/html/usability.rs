//! Filter, zoom, details, keyboard, contrast, print, and the page without its script.

use serde_json::{Value, json};

use super::browser::{Deeds, Page};
use super::{chromium, report, sample};

const SAMPLE: &str = "07-policy-overwritten-by-terraform";
const REFUSED: &str = "i-057f01a3e2626bbae";

/// Runs with the page of the sample, and expects it to stay quiet.
fn with_page(act: impl FnOnce(&mut Page<'_>)) {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = report(&sample(SAMPLE), directory.path(), "report");
    let mut page = browser.page();
    page.open(&file);
    act(&mut page);
    assert_eq!(page.deeds(), Deeds::default());
}

fn press(page: &mut Page<'_>, key: &str, code: u32) {
    for kind in ["keyDown", "keyUp"] {
        let text = if key.len() == 1 && kind == "keyDown" { json!(key) } else { Value::Null };
        let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
        if text.is_string() {
            event["text"] = text;
        }
        page.call("Input.dispatchKeyEvent", &event);
    }
}

#[test]
fn a_search_leaves_what_it_finds_in_lanes_and_table() {
    with_page(|page| {
        let search = |page: &mut Page<'_>, term: &str| {
            page.value(&format!(
                "document.getElementById('find').value = {term:?}; document.getElementById('find').form.requestSubmit()"
            ));
            let lanes = page.value("document.querySelectorAll('.lane:not([hidden])').length");
            assert_eq!(page.value("document.querySelectorAll('#rows tr').length"), lanes, "{term}");
            lanes
        };
        assert_eq!(search(page, REFUSED), 1);
        assert_eq!(search(page, "KT101"), 3, "by rule");
        assert_eq!(search(page, "general kms-denied"), 3, "both words");
        assert_eq!(search(page, "AccessDenied"), 3, "by the error of an event");
        assert_eq!(search(page, "nowhere-to-be-found"), 0);
        page.value("document.getElementById('clear').click()");
        assert_eq!(page.value("document.querySelectorAll('.lane:not([hidden])').length"), 6);
        page.value("document.querySelector('input[value=as-expected]').click()");
        assert_eq!(page.value("document.querySelectorAll('.lane:not([hidden])').length"), 3, "by outcome");
        page.value(
            "document.getElementById('clear').click(); document.querySelector('.show-incident').click()",
        );
        assert_eq!(page.value("document.querySelectorAll('.lane:not([hidden])').length"), 3, "by incident");
    });
}

#[test]
fn zoom_widens_the_plot_and_keeps_the_labels() {
    with_page(|page| {
        let width =
            |page: &mut Page<'_>| page.value("document.getElementById('plot').offsetWidth").as_f64().unwrap();
        let before = width(page);
        page.value("document.getElementById('zoom-in').click(); document.getElementById('zoom-in').click()");
        assert!(width(page) > 3.0 * before);
        page.value("document.getElementById('scroller').scrollLeft = 500");
        let is_in_view = "document.querySelector('.lane a').getBoundingClientRect().x - document.getElementById('scroller').getBoundingClientRect().x";
        let label = page.value(is_in_view);
        assert!(label.as_f64().unwrap().abs() < 4.0, "{label}");
        page.wait_for("document.querySelectorAll('#ticks text').length > 3");
        page.value("document.getElementById('scroller').focus()");
        press(page, "0", 48);
        assert!((width(page) - before).abs() < 2.0);
    });
}

#[test]
fn pointing_at_an_event_tells_it() {
    with_page(|page| {
        let dead = format!(".lane:has(a[aria-label^=\"{REFUSED}\"]) use[href=\"#refusal\"]");
        page.hover(&dead);
        page.wait_for("!document.getElementById('tip').hidden");
        let text = page.value("document.getElementById('tip').textContent");
        assert!(text.as_str().unwrap().contains("KMS refused"), "{text}");
    });
}

#[test]
fn a_node_has_a_page_with_evidence_and_texts_to_copy() {
    with_page(|page| {
        page.value(&format!("document.querySelector('.lane a[aria-label^=\"{REFUSED}\"]').focus()"));
        press(page, "Enter", 13);
        page.value(&format!("document.querySelector('.lane a[aria-label^=\"{REFUSED}\"]').click()"));
        page.wait_for("document.getElementById('detail').open");
        let text = page.value("document.getElementById('detail').innerText");
        let text = text.as_str().unwrap();
        for expected in [
            REFUSED,
            "KMS refused",
            "GenerateDataKeyWithoutPlaintext",
            "KT101",
            "KT401",
            "AWSLogs/",
            "observed",
        ] {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
        page.call(
            "Browser.grantPermissions",
            &json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] }),
        );
        let body = page.value("document.querySelector('#detail .document code').textContent");
        page.value("document.querySelector('#detail .document .copy').click()");
        page.wait_for("document.querySelector('#detail .document .copy').textContent === 'Copied'");
        assert_eq!(page.value("navigator.clipboard.readText()"), body);
        press(page, "Escape", 27);
        page.wait_for("!document.getElementById('detail').open");
    });
}

#[test]
fn the_keyboard_and_a_screen_reader_find_their_way() {
    with_page(|page| {
        let nameless = "[...document.querySelectorAll('a, button, input, summary, [role=region], section, nav, dialog')].filter((e) => \
            !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length || document.getElementById(e.getAttribute('aria-labelledby')))\
            && e.id !== 'detail').map((e) => e.outerHTML)";
        assert_eq!(page.value(nameless), json!([]));
        let ids = "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.filter((id, at) => ids.indexOf(id) !== at); })()";
        assert_eq!(page.value(ids), json!([]), "each id once");
        let targets = "[...document.querySelectorAll('[aria-labelledby], a[href^=\"#\"]')].map((e) => e.getAttribute('aria-labelledby') || \
            e.getAttribute('href').slice(1)).filter((id) => id !== 'detail-title' && !document.getElementById(id))";
        assert_eq!(page.value(targets), json!([]), "every reference leads somewhere");
        assert_eq!(page.value("document.querySelectorAll('main').length + document.querySelectorAll('nav').length + document.querySelectorAll('h1').length"), 3);
        page.value("document.querySelector('.lane a').focus()");
        press(page, "ArrowDown", 40);
        assert_eq!(page.value("document.activeElement === document.querySelectorAll('.lane a')[1]"), true);
        let ring = page.value("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(ring, "solid", "the focus can be seen");
    });
}

#[test]
fn texts_have_contrast_in_light_and_dark() {
    const CONTRAST: &str = "(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
            const hex = style.getPropertyValue(name).trim().slice(1);
            const part = (at) => { const c = parseInt(hex.slice(at, at + 2), 16) / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
            return 0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4);
        };
        const names = ['ink', 'soft', 'accent', 'refused', 'other-key', 'ended', 'not-known', 'as-expected', 'failed'];
        return names.map((name) => {
            const [one, two] = [light('--' + name), light('--paper')].sort((a, b) => b - a);
            return [name, (one + 0.05) / (two + 0.05)];
        });
    })()";
    with_page(|page| {
        let mut papers = Vec::new();
        for scheme in ["light", "dark"] {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            page.call("Emulation.setEmulatedMedia", &media);
            papers.push(page.value("getComputedStyle(document.body).backgroundColor"));
            for pair in page.value(CONTRAST).as_array().unwrap() {
                assert!(pair[1].as_f64().is_some_and(|ratio| ratio >= 4.5), "{scheme}: {pair}");
            }
        }
        assert_ne!(papers[0], papers[1]);
        page.value("document.getElementById('theme').click(); document.getElementById('theme').click()");
        assert_eq!(
            page.value("getComputedStyle(document.body).backgroundColor"),
            papers[0],
            "the toggle wins"
        );
    });
}

#[test]
fn without_its_script_the_page_still_tells_the_story() {
    let Some(mut browser) = chromium() else { return };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = report(&sample(SAMPLE), directory.path(), "report");
    let mut page = browser.page();
    page.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    page.load(&file);
    assert_eq!(page.value("document.documentElement.className"), "");
    let text = page.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for expected in [
        "die in a launch loop",
        "Because",
        REFUSED,
        "key policy",
        "kms-denied",
        "84 read",
        "without its script",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
    assert!(!text.contains("Theme:"), "what needs the script is not offered");
}

#[test]
fn printed_it_is_light_and_has_its_fixes() {
    with_page(|page| {
        let printed = page.call("Page.printToPDF", &json!({ "printBackground": true }));
        let length = printed["data"].as_str().unwrap().len();
        assert!(length > 20_000, "{length}");
        page.call(
            "Emulation.setEmulatedMedia",
            &json!({ "media": "print", "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
        );
        assert_eq!(page.value("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)");
        page.value("dispatchEvent(new Event('beforeprint'))");
        assert_eq!(page.value("document.querySelectorAll('.finding:not([open])').length"), 0);
        assert_eq!(page.value("getComputedStyle(document.querySelector('nav')).display"), "none");
        page.value("dispatchEvent(new Event('afterprint'))");
        assert_eq!(page.value("document.querySelectorAll('.finding[open]').length"), 0);
    });
}
