//! Text as a literal of HCL, YAML or the shell.
//!
//! Any text comes in, a literal that means exactly that text goes out.

/// A quoted string of HCL; `${` and `%{` stay text.
pub(super) fn hcl(text: &str) -> String {
    let mut literal = json(text);
    for sign in ["$", "%"] {
        literal = literal.replace(&format!("{sign}{{"), &format!("{sign}{sign}{{"));
    }
    literal
}

/// A list of quoted strings of HCL, on one line.
pub(super) fn hcl_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| hcl(text)).collect::<Vec<_>>().join(", "))
}

/// A double-quoted scalar of YAML. JSON's strings are such scalars, apart from a few letters that YAML wants
/// escaped.
pub(super) fn yaml(text: &str) -> String {
    json(text)
}

/// A single-quoted word of the shell.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A JSON string in which every letter beyond printable ASCII is escaped.
fn json(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => literal.extend(['\\', letter]),
            ' '..='~' => literal.push(letter),
            _ => {
                let mut units = [0; 2];
                // HCL reads `\u` as one character, so beyond the first plane it needs `\U`, as YAML does.
                match letter.encode_utf16(&mut units) {
                    [unit] => literal.push_str(&format!("\\u{unit:04x}")),
                    _ => literal.push_str(&format!("\\U{:08x}", u32::from(letter))),
                }
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{hcl, shell, yaml};

    fn read_hcl(literal: &str) -> String {
        let body: hcl::Body = hcl::from_str(&format!("value = {literal}\n")).expect("HCL");
        let value = body.attributes().next().expect("an attribute").expr().clone();
        match value {
            hcl::Expression::String(text) => text,
            hcl::Expression::TemplateExpr(template) => {
                let template = hcl::template::Template::from_expr(&template).expect("a template");
                let text = template.elements().iter().map(|element| match element {
                    hcl::template::Element::Literal(text) => text.clone(),
                    other => panic!("{other:?} in {literal}"),
                });
                text.collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_shell_reads_back_what_was_quoted() {
        for text in ["plain", "it's", "$(reboot) `x` \"y\" \\ \n ; & | > *", "''", "", "-n"] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", shell(text))])
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }

    #[test]
    fn templates_of_hcl_stay_text() {
        assert_eq!(hcl("${file(\"/etc/passwd\")} %{if}"), r#""$${file(\"/etc/passwd\")} %%{if}""#);
        assert!(!hcl("a\n\u{1b}").contains(['\n', '\u{1b}']));
    }

    proptest! {
        #[test]
        fn literals_mean_their_text(text in "([ -~]|\\PC|\n|\t|\u{7f}|\u{85}|\u{2028}|\u{1F600}|\\$\\{|%\\{|\\\\){0,20}") {
            prop_assert_eq!(&serde_saphyr::from_str::<String>(&yaml(&text)).expect("YAML"), &text);
            prop_assert_eq!(&read_hcl(&hcl(&text)), &text);
        }
    }
}
