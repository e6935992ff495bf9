# `lifesign service`.
service-planned = would
service-done = done
service-unchanged = as it was
service-not-offered = not offered by this system
service-nothing = Nothing to do.
service-installed = { $name } is installed. Start it with `{ $start }`; `{ $status }` shows how it stands.
service-rights = It may start and stop the services named above and those of earlier grants; for any other: `{ $grant }`.
service-no-programs = Programs that its server has it start (`process:`) need more room than this unit gives: `--processes`.
service-started = { $name } is running.
service-stopped = { $name } is stopped.
service-state = State
service-detail = Says
service-process = Process
service-start = Start
service-command = Command
