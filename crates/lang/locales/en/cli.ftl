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
cli-open = open
cli-no-services = No services are watched yet.
cli-no-incidents = No incidents.
cli-summary = { $count ->
    [one] one service
   *[other] { $count } services
}
cli-incident = Incident { $id }
cli-timeline = Timeline
cli-metrics = Metrics
cli-components = Components
cli-restart-ordered = Restart of { $id } is ordered.
cli-paused-done = { $id } is paused: it is still watched, alerts and restarts are held.
cli-resumed-done = { $id } is resumed.
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
cli-error = error
cli-dashboard-at = Dashboard: { $url }
cli-token-made = Admin token (shown once, kept in { $file }): { $token }
cli-token-kept = Admin token: kept in { $file }
cli-watching = Watching { $services ->
    [one] one service
   *[other] { $services } services
} on { $host }:
cli-stop-hint = Press Ctrl+C to stop.
cli-stopping = Stopping …
