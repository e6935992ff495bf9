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
    let report =
        KNOCK.read("adress: a:1\nword: 订单订单订单\ntimes: 9\nfor: 5\nname: '内存', x: 1\n").unwrap_err();
    println!("{report}");
    let report = KNOCK
        .read("adress: a:1\nword: 订单订单订单\ntimes: 9\nfor: 5\n\"name\": {}\ntokn: hunter2\n")
        .unwrap_err();
    println!("{report}");
    let report = KNOCK
        .read("{address: nowhere, times: 3, token: hunter2, timeout: 1m, interval: 5s, times: 4, b: [yes}")
        .unwrap_err();
    println!("{report}");
    let report = KNOCK
        .read("{address: nowhere, times: 3, token: hunter2, timeout: 1m, interval: 5s, times: 4, b: yes}")
        .unwrap_err();
    println!("{report}");
    println!("{}", lifesign_config::serde_json::to_string_pretty(&(KNOCK.schema)()).unwrap());
}

#[test]
fn plain_values_read_alone() {
    assert_eq!(read::<Budget>("3 per 10m").unwrap(), Budget { count: 3, window: Duration::from_secs(600) });
    assert_eq!(read::<Bytes>("64KiB").unwrap().0, 65536);
    assert!(read::<Url>("http://u:hunter2@h/").unwrap_err().to_string().find("hunter2").is_none());
}
