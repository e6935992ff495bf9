//! The building blocks, as a crate that defines kinds uses them.

use std::time::Duration;

use lifesign_config::{
    Budget, Bytes, Cx, Decode, Fields, HostPort, Kind, Node, Record, Secret, Url, read, record,
};

record! {
    /// A check made for this test.
    pub struct Knock {
        /// Where.
        address: HostPort,
        /// What is said.
        word: String [1..=5] = "hello",
        /// How often.
        times: u32 [1..=3] = 1,
        /// How long.
        hold as "for": Option<Duration>,
        /// Who may hear it.
        token: Option<Secret>,
    }
    not_yet [loudly]
    check Knock::check
}

impl Knock {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.times == 3 {
            cx.error(node.at("times"), "three is too much");
        }
    }
}

const KNOCK: Kind<Knock> = Kind {
    name: "knock",
    decode: |fields: &mut Fields<'_>, cx: &mut Cx| Knock::from_fields(fields, cx),
    schema: Knock::schema,
};

#[test]
fn a_record_takes_its_defaults() {
    let knock = KNOCK.read("address: a:1\ninterval: 5s\n").unwrap();
    assert_eq!((knock.word.as_str(), knock.times, knock.hold), ("hello", 1, None));
}

#[test]
fn every_error_of_a_record_is_found_in_one_go() {
    let report = KNOCK.read("adress: a:1\nword: too long\ntimes: 9\nfor: 5\nloudly: true\ntokn: hunter2\n");
    let report = report.unwrap_err();
    let lines: Vec<u32> = report.problems.iter().map(|problem| problem.span.line).collect();
    assert_eq!(lines, [1, 1, 2, 3, 4, 5, 6], "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

#[test]
fn the_check_of_a_record_sees_the_finished_record() {
    let report = KNOCK.read("{ address: a:1, times: 3 }").unwrap_err();
    assert_eq!(report.problems[0].message, "three is too much");
    assert_eq!(report.problems[0].span.column, 24);
}

#[test]
fn plain_values_read_alone() {
    assert_eq!(read::<Budget>("3 per 10m").unwrap(), Budget { count: 3, window: Duration::from_secs(600) });
    assert_eq!(read::<Bytes>("64KiB").unwrap().get(), 65536);
    assert_eq!(read::<Vec<u8>>("[1, 2]").unwrap(), [1, 2]);
    assert_eq!(read::<Vec<u8>>("[256, -1, 1]").unwrap_err().problems.len(), 2);
}

#[test]
fn a_secret_shows_nowhere_but_where_it_is_asked_for() {
    let secret = read::<Secret>("hunter2").unwrap();
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    assert_eq!(secret.expose(), "hunter2");
    let report = read::<Url>("http://u:hunter2@h/").unwrap_err().to_string();
    assert!(!report.contains("hunter2"), "{report}");
}

#[test]
fn an_integer_beyond_every_type_is_refused_and_not_wrapped() {
    for text in ["18446744073709551616", "-9223372036854775809", "1e300"] {
        assert!(read::<u64>(text).is_err(), "{text}");
        assert!(read::<i64>(text).is_err(), "{text}");
    }
    assert_eq!(read::<u64>("18446744073709551615").unwrap(), u64::MAX);
    assert_eq!(read::<i64>("-9223372036854775808").unwrap(), i64::MIN);
}
