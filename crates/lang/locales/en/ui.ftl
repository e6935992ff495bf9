# The dashboard.

ui-skip = Skip to content
ui-main-navigation = Main
ui-overview = Overview
ui-incidents = Incidents
ui-hosts = Hosts
ui-rules = Rules
ui-notifications = Notifications
ui-about = About
ui-open-ones = open
ui-theme = Colours
ui-theme-auto = As the system
ui-theme-light = Light
ui-theme-dark = Dark
ui-logged-in-as = Logged in as { $name }
ui-log-in = Log in
ui-log-out = Log out
ui-log-in-title = Log in to lifesign
ui-log-in-hint = lifesign printed an admin token at its first start. Tokens from the configuration work too.
ui-log-in-failed = This token is not known here.
ui-token = Token
ui-connection-lost = The connection to lifesign is lost. What you see may be out of date; trying again …
ui-made-at = As of
ui-keys-on = Turn single-key shortcuts off
ui-keys-off = Turn single-key shortcuts on

ui-state-and-reason = { $state }: { $reason }
ui-say = { $service }: { $phrase }.
ui-paused = paused
ui-on-hold = Lifesign is paused: alerts and restarts of all services are held. Watching goes on.
ui-for = for
ui-now = now
ui-all = All
ui-show = Show
ui-older = Older
ui-more = More

ui-verdict-all-up = { $count ->
    [one] The one service is up
   *[other] All { $count } services are up
}
ui-verdict-down = { $count ->
    [one] One service is down
   *[other] { $count } services are down
}
ui-verdict-degraded = { $count ->
    [one] One service is degraded
   *[other] { $count } services are degraded
}
ui-verdict-suspect = { $count ->
    [one] One service is suspect
   *[other] { $count } services are suspect
}
ui-verdict-pending = Waiting for the first signs of life
ui-verdict-no-trouble = No service is in trouble
ui-verdict-none = Nothing is watched yet
ui-open-incidents = { $count ->
    [one] One open incident
   *[other] { $count } open incidents
}
ui-no-open-incidents = No open incidents
ui-services = Services
ui-no-services = No services yet. Name them in the configuration file.
ui-nothing-fits = No service fits the filter.
ui-more-services = { $count ->
    [one] One more service is not listed; use the filter.
   *[other] { $count } more services are not listed; use the filter.
}
ui-by-state = By state
ui-filter = Filter
ui-filter-hint = Filter services  ( / )
ui-all-hosts = All hosts
ui-in-this-state-for = In this state for
ui-beat = beat
ui-up-share = { $share } up in the last { $span }
ui-up-share-unknown = Nothing known of the last { $span }

ui-hosts-hint = What each agent last told about its machine.
ui-no-hosts = No host has reported yet.
ui-service-count = { $count ->
    [one] one service
   *[other] { $count } services
}
ui-sampled = sampled
ui-never-sampled = not sampled yet

ui-restart = Restart
ui-restart-question = Stop { $service } and start it again? Its users will notice.
ui-restart-yes = Restart now
ui-pause = Pause
ui-pause-question = Hold alerts and restarts of { $service }? It is still watched.
ui-pause-yes = Pause
ui-resume = Resume
ui-resume-question = Alert about and restart { $service } again?
ui-resume-yes = Resume
ui-why = Why
ui-why-hint = Verdict, evidence and what follows
ui-why-then = why
ui-why-then-name = Why it was { $phrase } at { $at }
ui-why-then-hint = From the journal, as it was then
ui-why-title = Why: { $service }
ui-as-of = as of
ui-detection = Detection
ui-no-such-moment = This moment cannot be explained
ui-checks = Checks
ui-checks-hint = Every source of evidence
ui-phase-dns = DNS
ui-phase-connect = connect
ui-phase-tls = TLS
ui-phase-wait = first byte
ui-phase-total = total
ui-history = History
ui-span = Time span
ui-span-1h = 1 hour
ui-span-24h = 24 hours
ui-span-7d = 7 days
ui-facts = Details
ui-host = Host
ui-since = Since
ui-last-beat = Last heartbeat
ui-pid = Process
ui-skew = Clock of the sender
ui-skew-ahead = { $span } ahead
ui-skew-behind = { $span } behind
ui-depends-on = Depends on
ui-metrics = Metrics
ui-components = Components
ui-components-hint = As the service itself reports them
ui-no-incidents-of-it = It had no incidents.

ui-incidents-hint = Every stretch of bad state, from its opening to its closing.
ui-no-incidents = No incidents so far.
ui-incident-title = Incident { $id }
ui-open = open
ui-closed = closed
ui-taken-by = taken by { $name }
ui-lasted = lasted { $span }
ui-acknowledge = Acknowledge
ui-timeline = Timeline
ui-timeline-empty = Nothing written down yet.
ui-opened = Opened
ui-detected-after = Detected after
ui-closed-at = Closed
ui-duration = Duration
ui-acknowledged-by = Acknowledged by
ui-nobody = nobody
ui-nobody-told = Nobody was told of it.

ui-notifications-hint = What was sent to whom, and what the other side said.
ui-no-notifications = Nothing has been sent so far.
ui-delivered = delivered
ui-refused = refused
ui-retrying = being retried
ui-waiting = waiting
ui-attempts = { $count ->
    [one] one attempt
   *[other] { $count } attempts
}
ui-told-first = firing
ui-told-new = new alerts
ui-told-resolved = resolved
ui-told-some-resolved = partly resolved
ui-told-repeat = reminder

ui-rules-hint = Conditions over metrics, with the alerts they have now.
ui-no-rules = No rules yet. Write them in the configuration file.

ui-self-well = lifesign itself is well.
ui-self-unwell = A part of lifesign itself is not at work.
ui-parts = Parts of lifesign
ui-parts-hint = In the order of start
ui-no-parts = No part has reported.
ui-part-up = at work
ui-part-starting = starting
ui-part-down = down
ui-part-stopped = stopped
ui-part-restarts = { $count ->
    [one] one restart
   *[other] { $count } restarts
}
ui-followers = Live connections
ui-openapi = Description of the API (OpenAPI)
ui-readyz = Readiness
ui-self-metrics = Metrics for Prometheus
ui-keys = Keyboard
ui-key-filter = go to the filter
ui-key-walk = next and previous row
ui-key-clear = empty the filter

ui-done-restart = The restart is ordered.
ui-done-pause = Paused: alerts and restarts are held.
ui-done-resume = Resumed.
ui-done-ack = You take care of this incident.
ui-refused-no-service = Refused: there is no such service.
ui-refused-no-incident = Refused: there is no such incident.
ui-refused-closed = Refused: the incident is closed already.
ui-refused-no-unit = Refused: the service has no unit that could be restarted.
ui-refused-restart-running = Refused: a restart is under way.
ui-refused-paused = Refused: the service is paused. Resume it first.
ui-refused-configured = Refused: the service stands in the configuration. Take it out there and reload.
ui-not-found = There is no such page
ui-no-such-service = There is no such service
ui-no-such-incident = There is no such incident
ui-not-now = This page cannot be shown now
ui-to-overview = To the overview

ui-job = Runs
ui-job-hint = What was told of each run
ui-job-schedule = Due
ui-job-grace = Grace
ui-job-longest = Longest run
ui-job-missed = Missed
ui-job-next = Next due
ui-job-never = never again
ui-job-no-runs = No run has been heard of.
ui-job-running = Runs now
ui-job-too-long = Runs too long
ui-job-unsure = End not heard
ui-job-ok = Succeeded
ui-job-failed = Failed
ui-job-code = exit code { $code }
ui-job-signal = ended by signal { $signal }
ui-job-start = could not be started: { $why }
