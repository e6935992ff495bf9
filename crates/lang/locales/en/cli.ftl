# The command line.

cli-column-id = SERVICE
cli-column-host = HOST
cli-column-state = STATE
cli-column-reason = REASON
cli-column-since = SINCE
cli-column-beat = LAST BEAT
cli-column-check = CHECK
cli-column-result = RESULT
cli-column-output = OUTPUT
cli-column-incident = INCIDENT
cli-column-service = SERVICE
cli-column-opened = OPENED
cli-column-closed = CLOSED
cli-column-acknowledged = TAKEN BY

cli-paused = paused
cli-on-hold = Lifesign is paused: alerts and restarts of all services are held. Watching goes on.
cli-open = open
cli-no-services = No services are watched yet.
cli-no-incidents = No incidents.
cli-summary = { $count ->
    [one] one service
   *[other] { $count } services
}
cli-incident = Incident { $id }
cli-timeline = Timeline
cli-as-of = as of { $at }
cli-metrics = Metrics
cli-components = Components
cli-restart-ordered = Restart of { $id } is ordered.
cli-paused-done = { $id } is paused: it is still watched, alerts and restarts are held.
cli-resumed-done = { $id } is resumed.
cli-forgotten-done = { $id } is forgotten; its next heartbeat makes it anew.
cli-reloaded-done = The configuration was read again.
cli-acknowledged-done = Incident { $id } is acknowledged by { $by }.
cli-beat-accepted = Heartbeat of { $id } accepted; its state is { $state }.
cli-config-ok = { $file } is valid: { $services ->
    [one] one service
   *[other] { $services } services
}, { $rules ->
    [one] one rule
   *[other] { $rules } rules
}.
cli-config-bad = { $file } is not valid: { $errors ->
    [one] one error
   *[other] { $errors } errors
}.
cli-error = error
cli-dashboard-at = Dashboard: { $url }
cli-token-made = Admin token (shown once, kept in { $file }): { $token }
cli-token-kept = Admin token: kept in { $file }
cli-watching = Watching { $services ->
    [one] one service
   *[other] { $services } services
} on { $host }:
cli-agent-runs = The agent of { $host } is at work for { $server }
cli-enrolled = { $host } is enrolled at { $server }. Its certificate is renewed by itself.
cli-enrolled-file = { $file } was written.
cli-enrolled-next = Start the agent: { $command }
cli-no-hosts = No host is enrolled. Make a one-time token with: lifesign hosts token
cli-host-connected = { $host }  connected, certificate until { $expires }
cli-host-away = { $host }  not connected, certificate until { $expires }
cli-host-revoked = { $host }  revoked at { $revoked }
cli-one-time-token = It enrols one host, until { $expires }. There: lifesign agent enroll --server https://THIS-HOST:7701 --token …
cli-host-revoked-done = { $host } is revoked: its link is cut, its certificates count no more.
cli-stop-hint = Press Ctrl+C to stop.
cli-stopping = Stopping …

cli-column-detector = DETECTOR
cli-column-interval = INTERVAL
cli-column-heartbeats = HEARTBEATS
cli-column-lost = LOST
cli-column-days = DAYS
cli-column-crash = CRASH
cli-column-mean = MEAN
cli-column-p99 = P99
cli-column-most = MOST
cli-column-missed = MISSED
cli-column-mistakes = MISTAKES
cli-column-in-outages = A DAY IN OUTAGES
cli-column-avoidable = A DAY AVOIDABLE
cli-column-lasting = LASTING
cli-column-accuracy = RIGHT
cli-column-heartbeat = HEARTBEAT
cli-column-questions = QUESTIONS A DAY

cli-simulate-trace = The trace
cli-simulate-detection = From the crash to down
cli-simulate-mistakes = Down, and alive
cli-simulate-alternatives = The same trace with other settings (a crash right after a heartbeat)
cli-simulate-crashes = { $count ->
    [0] none in the trace
    [one] the one in the trace
   *[other] the { $count } in the trace
}
cli-simulate-worst-phase = right after a heartbeat
cli-simulate-seconds = { $seconds } s
cli-simulate-fixed = fixed
cli-simulate-chen = Chen
cli-simulate-phi = φ accrual
cli-simulate-adaptive = adaptive
cli-simulate-adaptive-fast = adaptive, fast
cli-simulate-adaptive-strict = adaptive, strict
cli-simulate-asks = { $detector }, asks
cli-simulate-ignored = { $count ->
    [one] One heartbeat of { $id } was sent while it was dead and is left out; is a `recover` missing?
   *[other] { $count } heartbeats of { $id } were sent while it was dead and are left out; is a `recover` missing?
}
cli-simulate-other-interval = { $id } sends every { $sent } in the trace, and the configuration expects { $expected }: the figures are those of a wrong configuration.
cli-simulate-seed = The answers to questions are drawn with the seed { $seed }; --seed draws others.

cli-discover-none = No service fits. With --all those that do not start by themselves are shown, too.

cli-import-secrets = It holds secrets (what lets a client ping): keep it readable for lifesign alone, or move them out: { $ways }.
cli-import-left-out = Not taken over:
cli-import-lost = not taken over: { $what }
cli-import-condition = not taken over, there is no such condition: { $what }
cli-import-kind = lifesign has no check of this kind: { $what }
cli-import-paused = it was paused there
cli-import-login = it logged in there; write the header Authorization into `headers`
cli-import-no-uuid = no UUID: ask with a read-write key, then its pings are heard
cli-import-no-token = no push token that can be taken over (16 to 64 characters): its pushes are not heard
cli-import-no-target = it does not say what to ask
cli-import-no-interval = it does not say how often: write a `heartbeat` with an `interval`
cli-import-no-schedule = it does not say when it runs
cli-import-calendar = its schedule is no cron expression; write it as `calendar`: { $what }
cli-import-done = { $services ->
    [one] 1 service
   *[other] { $services } services
}, { $left } left out, { $lost } details not taken over.

cli-job = Runs
cli-job-schedule = due:
cli-job-missed = missed:
cli-job-next = next due:
cli-job-never = never again
cli-job-running = runs since:
cli-job-too-long = runs too long, since:
cli-job-last = last run:
cli-job-ok = succeeded
cli-job-failed = failed
cli-job-code = failed with exit code { $code }
cli-job-signal = ended by signal { $signal }
cli-job-start = could not be started: { $why }
cli-exec-untold = lifesign exec: the { $what } of this run could not be reported: { $why }
cli-exec-late = lifesign exec: the server does not answer; the end of this run is reported for up to { $span } more
cli-exec-start = beginning
cli-exec-end = end
cli-exec-cannot-start = lifesign exec: { $command } cannot be started: { $why }
