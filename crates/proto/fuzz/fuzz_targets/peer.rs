//! `cargo +nightly fuzz run peer` in `crates/proto`: whatever the client of another monitor sends, no reader panics.
//!
//! The first line of the input is what stands in a URL, the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifesign_core::model::ServiceId;
use lifesign_proto::Limits;
use lifesign_proto::peer::{
    Report, Said, consul, gatus, healthchecks, nagios, statsd, uptime_kuma, vigil, zabbix,
};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (url, body) = bytes.split_at(end);
    let url = String::from_utf8_lossy(url);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let mut reports = Vec::new();
    if let Some(ping) = healthchecks::Ping::read(path) {
        reports.extend(ping.report(&healthchecks::Query::read(query), body));
    }
    reports.extend(uptime_kuma::read(query));
    reports.extend(gatus::success(query).and_then(|success| gatus::report(success, query)));
    reports.extend(vigil::read(body).map(|(_, report)| report));
    reports.extend(consul::read_update(body));
    reports.push(consul::read_verb(consul::Status::Critical, query));
    let _ = consul::read_registration(body);
    reports.extend(nagios::read_commands(body).into_iter().flatten().map(|passive| passive.report));
    reports.extend(nagios::read_action(query, body).map(|passive| passive.report));
    for line in statsd::read(body).into_iter().flatten() {
        match line {
            statsd::Line::Gauge { value, .. } => assert!(value.is_finite()),
            statsd::Line::Check { report, .. } => reports.push(report),
        }
    }
    let _ = zabbix::header(body);
    let mut report = Report::new(Said::Alive, "");
    for item in zabbix::read(body).into_iter().flatten() {
        let _ = zabbix::add(&mut report, &item.key, &item);
    }
    reports.push(report);
    let (Ok(service), limits) = (ServiceId::new("orders"), Limits::default()) else { return };
    for beat in reports.into_iter().filter_map(|report| report.beat(service.clone(), &limits)) {
        assert!(beat.metrics.len() <= limits.metrics);
        assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
        assert!(beat.message.is_none_or(|message| message.len() <= limits.message_bytes));
    }
});
