use super::*;

fn values(request: &Request<'_>) -> Vec<String> {
    let mut found = vec![];
    for_each_value(request, &mut |v| {
        found.push(format!("{:?} {}", v.place, v.text));
    });
    found
}

#[test]
fn every_value_is_found_and_decoded() {
    let request = Request {
        path: Some("/greet/%3Cscript%3E"),
        query: Some("q=a+b&%27=1%2527--&flag"),
        body: Some(r#"{"user": {"name": "O\u0027Hara", "age": 7}, "tags": ["x"]}"#),
        headers: Some(r#"{"Host": "h", "Cookie": "sid=1; name=gASV", "Accept": "*/*${jndi:x}"}"#),
        ..Request::default()
    };
    assert_eq!(
        values(&request),
        [
            "Path /greet/<script>",
            "Value a b",
            "Value 1'--",
            "Value flag",
            "Value O'Hara",
            "Value 7",
            "Value x",
            "Value 1",
            "Value gASV",
            "Header */*${jndi:x}"
        ]
    );
}

#[test]
fn a_body_is_a_form_json_or_a_text() {
    let body = |body| {
        values(&Request {
            body: Some(body),
            ..Request::default()
        })
    };
    assert_eq!(body("a=1&b=x%20y"), ["Value 1", "Value x y"]);
    assert_eq!(body("1' or '1'='1"), ["Value 1' or '1'='1"]);
    assert_eq!(body(r#"{"a": "unfinished"#), ["Value unfinished"]);
}

#[test]
fn hostile_sizes_are_bounded() {
    let query = "a=1&".repeat(10_000);
    assert_eq!(
        values(&Request {
            query: Some(&query),
            ..Request::default()
        })
        .len(),
        MAX_VALUES
    );
    let long = "é".repeat(MAX_BYTES);
    assert!(
        values(&Request {
            body: Some(&long),
            ..Request::default()
        })[0]
            .len()
            <= MAX_BYTES + 6
    );
    let many = "%25".repeat(50);
    let (_, rounds) = decoded(&many);
    assert!(rounds <= MAX_ROUNDS);
}

#[test]
fn broken_encodings_do_not_panic_nor_vanish() {
    for text in ["%", "%4", "%zz", "a%", "%C3%28", "%ff%fe", "%25%", "é%41"] {
        assert!(!percent_decoded(text).is_empty(), "{text}");
    }
    assert_eq!(percent_decoded("%zz%41"), "%zzA");
}

#[test]
fn outlines_tell_sorts_of_values() {
    assert_eq!(outline("5579"), outline("1"));
    assert_eq!(outline("maria"), outline("X"));
    assert_ne!(outline("5579"), outline("5579'"));
}

#[test]
fn marks_count_by_family_and_ordinary_values_have_none() {
    let of = |text: &str| {
        let mut counts = [0.0; MARKS];
        marks(text, &mut counts);
        counts
    };
    assert!(of("1' UNION ALL SELECT null,null--")[Mark::Sql as usize] >= 3.0);
    assert!(of("<ScRipt>alert(1)</sCript>")[Mark::Script as usize] >= 3.0);
    assert!(of("../../etc/passwd")[Mark::Traversal as usize] >= 3.0);
    assert!(of("${jndi:ldap://x}")[Mark::Expression as usize] >= 2.0);
    for text in [
        "maria",
        "calle caballeros, 160, 3-b",
        "96795973j",
        "en-US,en;q=0.9",
    ] {
        assert!(of(text).iter().sum::<f32>() < 0.5, "{text}");
    }
}
