//! What the fuzzer kept of other monitors' clients is answered by every reader.

use std::path::Path;

use lifesign_core::model::ServiceId;
use lifesign_proto::Limits;
use lifesign_proto::peer::{
    Report, Said, consul, gatus, healthchecks, nagios, statsd, uptime_kuma, vigil, zabbix,
};

/// Everything that any reader makes of one input: its first line stands in a URL, the rest is the body.
fn reports(bytes: &[u8]) -> Vec<Report> {
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
    reports
}

#[test]
fn everything_the_fuzzer_kept_is_answered() {
    let (service, limits) = (ServiceId::new("orders").unwrap(), Limits::default());
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/peer");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for beat in reports(&bytes).into_iter().filter_map(|report| report.beat(service.clone(), &limits)) {
            assert!(beat.metrics.len() <= limits.metrics);
            assert!(beat.metrics.iter().all(|(_, value)| value.is_finite()));
            assert!(beat.message.is_none_or(|message| message.len() <= limits.message_bytes));
        }
        replayed += 1;
    }
    assert!(replayed >= 15, "only {replayed} in {}", corpus.display());
}
