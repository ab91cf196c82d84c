//! What comes with the command: completions of shells and manual pages.

use super::keytrail::keytrail;

#[test]
fn every_shell_gets_its_completions() {
    for (shell, mark) in [
        ("bash", "complete -F _keytrail"),
        ("elvish", "edit:completion"),
        ("fish", "complete -c keytrail"),
        ("powershell", "Register-ArgumentCompleter"),
        ("zsh", "#compdef keytrail"),
    ] {
        let script = keytrail(&format!("completions {shell}")).succeed().stdout;
        assert!(script.contains(mark), "{shell}");
        for word in ["analyze", "explain", "expect-key", "timesketch"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    keytrail("completions sh").fail(&["sh", "bash", "zsh"]);
}

#[test]
fn pages_are_written_into_a_directory_and_replaced_there() {
    let run = keytrail("man share/man1").file("share/man1/keytrail.1", "old").succeed();
    assert_eq!(run.stdout, "");
    for name in ["keytrail", "keytrail-analyze", "keytrail-explain", "keytrail-man"] {
        let page = run.text(&format!("share/man1/{name}.1"));
        assert!(page.starts_with(&format!(".TH \"{}\" 1 ", name.to_uppercase())), "{name}: {page}");
        assert!(page.contains(".SH \"EXAMPLES\""), "{name}");
    }
    keytrail("man file").file("file", "x").fail(&["file", "cannot be made"]);
}
