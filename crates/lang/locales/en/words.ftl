# The words of the contract as people read them.

state-pending = pending
state-up = up
state-degraded = degraded
state-suspect = suspect
state-down = down
state-unknown = unknown

reason-missed_heartbeat = heartbeats missed
reason-hung = hung
reason-exited = exited by itself
reason-crashed = crashed
reason-killed = killed
reason-stopped_by_operator = stopped by an operator
reason-start_failed = failed to start
reason-check_failed = check failed
reason-dependency_down = a dependency is down
reason-host_unreachable = host unreachable
reason-observer_stalled = lifesign could not look
reason-component_down = a component is down

kind-unit = unit
kind-heartbeat = heartbeat
kind-tcp = TCP
kind-http = HTTP
kind-tls = TLS certificate
kind-dns = DNS
kind-icmp = ping
kind-grpc = gRPC
kind-command = command
kind-process = process
kind-disk = disk
kind-log = log
kind-scrape = scrape

check-pending = no verdict yet
check-pass = passing
check-fail = failing
check-unknown = could not look

severity-info = info
severity-warning = warning
severity-error = error
severity-critical = critical

alert-inactive = inactive
alert-pending = pending
alert-firing = firing
alert-resolved = resolved

# Metrics that most hosts and services have.
metric-cpu = CPU
metric-memory = memory
metric-memory_available = available memory
metric-memory_free = free memory
metric-memory_used = used memory
metric-memory_total = total memory
metric-swap = swap
metric-disk = disk
metric-disk_free = free disk
metric-processes = processes
metric-load1 = load
metric-uptime = uptime

about-verdict = Verdict
about-evidence = Evidence
about-deadline = What happens next
about-incident = Incident
about-restart = Restarts
about-notification = Notifications
about-unit = Its unit, as the system has it

# The words of an incident's timeline.
timeline-opened = Opened
timeline-state = State changed
timeline-evidence = Evidence
timeline-restart_scheduled = Restart scheduled
timeline-restart_started = Restart started
timeline-restart_done = Restarted
timeline-restart_failed = Restart failed
timeline-restart_refused = Restart refused
timeline-restart_withheld = Restart withheld
timeline-proven = Proven back
timeline-not_proven = Not proven
timeline-notified = Notified
timeline-notify_failed = Notification failed
timeline-acknowledged = Acknowledged
timeline-output = Last output
timeline-closed = Closed

# Spans of time. The two largest units are joined by a space.
unit-ms = ms
unit-s = s
unit-min = min
unit-h = h
unit-d = d
span-ago = { $span } ago
span-budget = { $count } per { $span }
span-for = for { $span }
