//! The pipelines in `docs/ci.md` are YAML, and their commands are commands of this program.

const PAGE: &str = include_str!("../docs/ci.md");

/// The fenced blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

/// Command lines of keytrail in a block, the lines of a folded YAML text put together.
fn commands(block: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in block.lines() {
        let line = line.trim().trim_start_matches("- ");
        if line.starts_with("keytrail ") {
            commands.push(line.to_owned());
            is_open = true;
        } else if is_open && line.starts_with("--") {
            let command = commands.last_mut().expect("one is open");
            command.push(' ');
            command.push_str(line);
        } else {
            is_open = false;
        }
    }
    commands
}

/// What the shell hands over, up to a pipe or an alternative.
fn words(command: &str) -> Vec<String> {
    let end = command.find(" |").unwrap_or(command.len());
    command[..end].split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

#[test]
fn the_commands_of_the_examples_are_understood() {
    let all: Vec<String> =
        ["yaml", "sh"].iter().flat_map(|language| blocks(PAGE, language)).flat_map(commands).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    for command in all {
        let parsed = keytrail::cli::command().try_get_matches_from(words(&command));
        assert!(parsed.is_ok(), "{command}: {}", parsed.expect_err("not understood"));
    }
    assert!(keytrail::cli::command().try_get_matches_from(words("keytrail verify x --nonsense")).is_err());
}

#[test]
fn the_examples_are_yaml() {
    let blocks = blocks(PAGE, "yaml");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let value: serde_json::Value = serde_saphyr::from_str(block).expect("YAML");
        assert!(value.is_object());
    }
}
