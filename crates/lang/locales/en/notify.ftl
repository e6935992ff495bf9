# What receivers read: one subject line, a few lines of body.

notify-subject-down = [{ $severity }] { $service } on { $host } is { $state }: { $reason }
notify-subject-up = [resolved] { $service } on { $host } is { $state } again
notify-subject-alert = [{ $severity }] { $alert }: { $service } on { $host }
notify-subject-alert-resolved = [resolved] { $alert }: { $service } on { $host }
notify-subject-group = [{ $severity }] { $count ->
    [one] one alert
   *[other] { $count } alerts
} firing, { $resolved } resolved
notify-repeat = This has been told before and still holds.
notify-service = Service
notify-host = Host
notify-state = State
notify-reason = Reason
notify-severity = Severity
notify-alert = Alert
notify-since = Since
notify-ended = Ended
notify-lasted = Lasted
notify-incident = Incident
notify-evidence = What it left at its end:
notify-link = Details: { $url }
notify-footer = Sent by lifesign for the receiver { $receiver }.
