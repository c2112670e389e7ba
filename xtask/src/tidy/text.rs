//! What no text file of the project may say.

use super::{Found, line_of};

/// In two parts each, so that this file may say them.
const MACHINE_PATHS: [&str; 3] = [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];
const LEFTOVERS: [&str; 3] = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> "), concat!("Co-", "authored-by:")];

pub fn findings(file: &str, source: &str) -> Found {
    let mut found = Found::new();
    for path in MACHINE_PATHS {
        for (at, _) in source.match_indices(path).filter(|(at, _)| starts_a_path(source, *at)) {
            found.push((line_of(source, at), format!("{path}: a path of one machine")));
        }
    }
    for words in LEFTOVERS {
        found.extend(lines_with(source, words).map(|line| (line, format!("{words}: left over from git"))));
    }
    if file.ends_with("package-lock.json") {
        // Hashes bind what is installed; an address binds whoever installs it to somebody's mirror.
        found.extend(
            lines_with(source, "\"resolved\": \"http").map(|line| (line, "an address in a lock file".to_owned())),
        );
    }
    found
}

/// And does not go on one, such as the path of a URL.
fn starts_a_path(source: &str, at: usize) -> bool {
    !source[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || "._-}/*~".contains(before))
}

fn lines_with<'a>(source: &'a str, words: &'a str) -> impl Iterator<Item = usize> + 'a {
    source.match_indices(words).map(|(at, _)| line_of(source, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_machine_is_found_and_a_part_of_an_address_is_not() {
        let path = MACHINE_PATHS[2];
        assert_eq!(findings("a.md", &format!("x\nsee {path}me/x"))[0].0, 2);
        assert_eq!(findings("a.md", &format!("https://a.example{path}x")), []);
    }

    #[test]
    fn a_conflict_that_was_left_is_found() {
        assert_eq!(findings("a.md", &format!("a\n{}HEAD\n", LEFTOVERS[0])).len(), 1);
    }

    #[test]
    fn a_lock_file_names_no_host() {
        let lock = "{\n\"resolved\": \"https://mirror.example/x.tgz\"\n}";
        assert_eq!(findings("e2e/package-lock.json", lock).len(), 1);
    }
}
