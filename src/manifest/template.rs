//! Template directives (`{{ … }}`, as Helm has them) within YAML.
//!
//! A template is no YAML. A directive within a line becomes letters that YAML takes for a plain text, one for
//! one, so that lines and columns stay; [`unmask`] gives the directive back. A directive that fills its line is
//! blanked, and reported: it stands for settings that nobody but the template engine can know.

/// Letters of directives are moved here, where no language and no manifest has any.
const MASK: u32 = 0xf_0000;
const MASKED: std::ops::RangeInclusive<u32> = MASK..=0xf_fffd;

/// A directive that stood for whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// Line, from 1.
    pub(super) line: u32,
    /// As written.
    pub(super) text: String,
}

/// A text without directives, and the directives that stood for whole lines.
pub(super) fn mask(text: &str) -> (String, Vec<Directive>) {
    let mut masked = String::with_capacity(text.len());
    let mut directives = Vec::new();
    let mut rest = text;
    let mut line = 1u32;
    // Asked once per line, for a line may hold any number of directives.
    let mut is_filled = None;
    while let Some((before, inner, after)) = next_directive(rest) {
        masked.push_str(before);
        if before.contains('\n') {
            line += newlines(before);
            is_filled = None;
        }
        let directive = &rest[before.len()..rest.len() - after.len()];
        let is_filled_line = *is_filled.get_or_insert_with(|| {
            let is_first = masked.rsplit('\n').next().unwrap_or_default().trim().is_empty();
            is_first && fills_line(after)
        });
        if is_filled_line {
            masked.extend(directive.chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
            if !is_silent(inner) {
                directives.push(Directive { line, text: directive.trim().to_owned() });
            }
        } else {
            masked.extend(directive.chars().map(|letter| match letter {
                '\n' => '\n',
                _ => char::from_u32(MASK + u32::from(letter).min(0xfffd)).unwrap_or('?'),
            }));
        }
        if directive.contains('\n') {
            line += newlines(directive);
            is_filled = None;
        }
        rest = after;
    }
    masked.push_str(rest);
    (masked, directives)
}

/// The text with its directives as written.
pub(super) fn unmask(text: &str) -> String {
    let plain = |letter: char| match u32::from(letter) {
        code if MASKED.contains(&code) => char::from_u32(code - MASK).unwrap_or('?'),
        _ => letter,
    };
    text.chars().map(plain).collect()
}

/// What comes before the next directive, its inside, and what follows it.
fn next_directive(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (inner, after) = rest.split_once("}}")?;
    Some((before, inner, after))
}

/// Whether the line goes on with nothing but other directives.
fn fills_line(after: &str) -> bool {
    let mut line = after.split('\n').next().unwrap_or_default();
    while let Some((before, _, after)) = next_directive(line) {
        if !before.trim().is_empty() {
            return false;
        }
        line = after;
    }
    // A directive that goes on in the next line still begins in this one.
    let line = line.split("{{").next().unwrap_or_default();
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// Comments, and the ends of what another directive began, stand for nothing.
fn is_silent(inner: &str) -> bool {
    let inner = inner.trim_start_matches('-').trim_start();
    inner.starts_with("/*") || matches!(inner.split_whitespace().next(), Some("end" | "else" | "-"))
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{mask, unmask};

    #[test]
    fn a_directive_within_a_line_survives_as_text() {
        let text = "a: {{ .Values.key | quote }}\nb: \"{{ .Release.Name }}-x\"\n";
        let (masked, directives) = mask(text);
        assert!(!masked.contains('{'));
        assert_eq!(masked.chars().count(), text.chars().count());
        assert_eq!(unmask(&masked), text);
        assert_eq!(directives, []);
    }

    #[test]
    fn a_directive_that_fills_its_line_is_blanked_and_reported() {
        let text = "{{- if .Values.on }}\nspec:\n  {{- toYaml .Values.spec | nindent 2 }} # all\n{{- end }}\n{{/* note\n*/}}\n";
        let (masked, directives) = mask(text);
        assert_eq!(masked.lines().count(), text.lines().count());
        assert_eq!(masked.split_whitespace().collect::<Vec<_>>(), ["spec:", "#", "all"]);
        let found: Vec<(u32, &str)> =
            directives.iter().map(|directive| (directive.line, &*directive.text)).collect();
        assert_eq!(found, [(1, "{{- if .Values.on }}"), (3, "{{- toYaml .Values.spec | nindent 2 }}")]);
    }

    #[test]
    fn braces_that_do_not_close_are_left_alone() {
        let text = "a: {{ b\nc: d\n";
        assert_eq!(mask(text), (text.to_owned(), vec![]));
        assert_eq!(mask("a: {b: {c: d}}"), ("a: {b: {c: d}}".to_owned(), vec![]));
    }
}
