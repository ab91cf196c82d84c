//! Extracts as Parquet: the same answers, and no harm from a file that is not what it claims.

use std::fs;

use super::extract::{Place, samples};

#[test]
fn every_sample_gives_the_same_answer_from_parquet() {
    let place = Place::new();
    for sample in samples() {
        place.succeed(&format!("extract sample-logs/{sample} --out out/{sample}.parquet"));
        let answer = place.answer(&format!("sample-logs/{sample}"));
        assert!(place.answer(&format!("out/{sample}.parquet")) == answer, "{sample}");
    }
    place.succeed("extract sample-logs --out one/all.parquet -j1 --part-bytes 8k");
    place.succeed("extract sample-logs --out seven/all.parquet -j7 --part-bytes 8k");
    assert!(place.files("one") == place.files("seven"));
    // With its manifest beside it, and as the source of another extract.
    let answer = place.answer("sample-logs");
    assert!(place.answer("one") == answer);
    place.succeed("extract one/all.parquet --out again");
    assert!(place.answer("again") == answer);
}

#[test]
fn an_interrupted_parquet_file_is_finished() {
    let place = Place::new();
    place.succeed("extract sample-logs/09-launch-loop --out whole/x.parquet --part-bytes 4k");
    place.succeed("extract sample-logs/09-launch-loop --out cut/x.parquet.partial --part-bytes 4k");
    let manifest = fs::read(place.path("cut/x.parquet.partial/manifest.jsonl")).expect("a manifest");
    place.write("cut/x.parquet.partial/manifest.jsonl", &manifest[..manifest.len() / 2]);
    place.succeed("extract sample-logs/09-launch-loop --out cut/x.parquet --part-bytes 4k --resume");
    assert!(place.files("cut") == place.files("whole"));
}

#[test]
fn a_damaged_parquet_file_is_a_loss_and_never_a_crash() {
    let place = Place::new();
    place.succeed("extract sample-logs/07-policy-overwritten-by-terraform --out x.parquet");
    let whole = fs::read(place.path("x.parquet")).expect("a file");
    let length = whole.len();
    let mut damaged: Vec<(String, Vec<u8>)> =
        [4, 11, length / 2, length - 1].map(|cut| (format!("cut at {cut}"), whole[..cut].to_vec())).into();
    // The length of the footer, its beginning, and the first pages.
    for at in [length - 8, length - 5, length - 9, length - 200, 5, 30] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        damaged.push((format!("byte {at}"), bytes));
    }
    for (what, bytes) in damaged {
        place.write("bad/x.parquet", bytes);
        let output = place.run("analyze -o none bad/x.parquet");
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{what}");
    }
    // One that cannot be read at all is a loss also where nobody named it.
    place.write("bad/x.parquet", &whole[..length - 1]);
    let answer = place.answer("bad");
    assert_eq!(answer["coverage"]["losses"][0]["kind"], "unreadable");
}

#[test]
fn a_parquet_file_of_another_kind_is_passed_over_in_a_directory() {
    let place = Place::new();
    place.succeed("analyze sample-logs/01-healthy -o none --export parquet=tables/nodes.parquet");
    let answer = place.answer("tables");
    assert_eq!(answer["coverage"]["objects"]["skipped"], 1);
    assert_eq!(answer["coverage"]["losses"].as_array().map(Vec::len), Some(0));
}
