# `lifesign service`.
service-planned = would
service-done = done
service-unchanged = as it was
service-not-offered = not offered by this system
service-nothing = Nothing to do.
service-installed = { $name } is installed. Start it with `{ $start }`; `{ $status }` shows how it stands.
service-started = { $name } is running.
service-stopped = { $name } is stopped.
service-state = State
service-detail = Says
service-process = Process
service-start = Start
service-command = Command
