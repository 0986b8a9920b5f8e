//! Names of people that a request tells by itself: `"username":"ada"`, `user=ada`, `login: ada`. Who asked is one thing; whom a request is about is another, and no column says it.

/// What a value's name is that is a name of somebody.
const NAMES: [&str; 9] = [
    "user",
    "username",
    "user_name",
    "userid",
    "user_id",
    "login",
    "email",
    "mail",
    "account",
];

/// What may stand between a name and its value.
const QUOTES: [char; 4] = [' ', '"', '\'', '\\'];

/// The values that are announced as somebody's name, in a query, a form or JSON; nothing is decoded, but an address ends before `%40`.
pub(super) fn announced(text: &str) -> Vec<&str> {
    let mut found = vec![];
    for (at, sign) in text.match_indices(['=', ':']) {
        let before = text.get(..at).unwrap_or_default().trim_end_matches(QUOTES);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = before.rsplit(|c| !word(c)).next().unwrap_or_default();
        let name = name.to_ascii_lowercase().replace('-', "_");
        if !NAMES.contains(&name.as_str()) {
            continue;
        }
        let behind = text.get(at + sign.len()..).unwrap_or_default();
        let behind = behind.trim_start_matches(QUOTES);
        let end = behind.find(['"', '\'', '\\', '&', ',', ';', '}', ' ', '<']);
        let value = behind
            .get(..end.unwrap_or(behind.len()))
            .unwrap_or_default();
        let value = value.split("%40").next().unwrap_or_default();
        if !value.is_empty() {
            found.push(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn names_are_found_where_they_are_announced() {
        for (text, expected) in [
            (
                r#"{"grant_type":"password","username":"tariq.varga54"}"#,
                vec!["tariq.varga54"],
            ),
            ("GET shop/a?user=ada&page=2&Login=ben", vec!["ada", "ben"]),
            ("email=ada.king%40example.org", vec!["ada.king"]),
            (r#"{"User-Id": 'x7', "other":"user"}"#, vec!["x7"]),
            ("page=2&order=3&superuser=1", vec![]),
            ("user=", vec![]),
        ] {
            assert_eq!(announced(text), expected, "{text}");
        }
    }
}
