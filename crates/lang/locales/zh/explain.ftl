# 对引擎解释语句的翻译。英文原句由引擎给出，因此只有中文目录有此文件。

explain-verdict = 当前状态为“{ $state }”（{ $reason }），已持续 { $since }：{ $detail }。
explain-verdict-plain = 当前状态为“{ $state }”，已持续 { $since }。
explain-verdict-open = 当前状态为“{ $state }”：并非所有依据都已有数据。
explain-paused = 已暂停：继续监控，但不告警、不重启。
explain-replay-verdict = 当时状态为“{ $state }”（{ $reason }），已持续 { $since }：{ $detail }。
explain-replay-verdict-plain = 当时状态为“{ $state }”，已持续 { $since }。
explain-replay-became = 当时刚刚变为“{ $state }”（{ $reason }）：{ $detail }。
explain-replay-became-plain = 当时刚刚变为“{ $state }”。
explain-replay-as-of = 以上与以下内容均为 { $at } 时的情况，取自日志记录。
explain-replay-nothing = 当时尚无任何记录：日志中没有它的状态变化。状态变化保留 { $kept }。
explain-replay-before = 当时尚无任何记录：日志中它的第一次状态变化在 { $at }。状态变化保留 { $kept }。
explain-replay-judged = 以下依据为 { $at } 判断时所见，即该时刻之前 { $since }；各句中的时长从那时算起。
explain-replay-judged-then = 以下依据为 { $at } 判断时所见。
explain-replay-no-evidence = { $at } 的状态变化没有留下依据。
explain-replay-incident = 事件 { $incident } 处于打开状态，始于 { $at }。
explain-replay-no-incident = 当时没有打开的事件。
explain-replay-line = { $at } { $what }：{ $detail }
explain-replay-left-out = 时间线中另有 { $count } 行未在此列出，可在事件中查看。
explain-replay-no-restart = 该事件到那时尚未安排任何重启。
explain-replay-told = 已于 { $at } 将 { $alert } 通知 { $receiver }。
explain-replay-refused = { $receiver } 于 { $at } 拒收了 { $alert } 的通知。
explain-replay-waiting = 尚待将 { $alert } 通知 { $receiver }，决定于 { $at }。
explain-replay-nobody = 在此期间没有通知任何人。
explain-detection = 崩溃约在 { $in }内被发现，最迟不超过 { $at_most }。
explain-detection-last = 崩溃最迟在 { $at_most }后被发现。
explain-detection-hung = 若心跳中断而检查仍有应答，将在 { $in }后判为无响应。
explain-unit = 服务单元 { $unit }：系统报告为 { $os }。
explain-unit-blind = 服务单元 { $unit }：无法查看，原因是 { $why }。
explain-unit-waiting = 服务单元 { $unit }：尚未查看过。
explain-unit-title = 它自称“{ $title }”。
explain-unit-says = 系统报告：{ $os }。
explain-unit-since = 自 { $since } 起一直如此。
explain-unit-start = 启动类型：{ $start ->
    [automatic] 自动
    [delayed] 自动（延迟）
    [disabled] 禁用
   *[manual] 手动
}（系统写作 { $os }）。
explain-unit-exit = 上一次结束时：{ $how }。
explain-unit-restarts = 自上次人工启动以来，系统已自行重启它 { $count } 次。
explain-unit-needs = 它需要 { $names }。
explain-unit-needed-by = 需要它的有 { $names }。
explain-unit-program = 它运行 { $program }。
explain-unit-account = 它以 { $account } 身份运行。
explain-unit-changed = 监视期间有改动：{ $what ->
    [program] 程序
    [account] 账户
    [start] 启动类型
    [dependencies] 依赖关系
   *[recovery] 恢复策略
}（{ $at } 发现）。
explain-unit-recovery = 系统自身的恢复策略：{ $words }。
explain-unit-no-recovery = 系统没有为它提供恢复策略。
explain-unit-note = 请注意：{ $note }。
explain-heart-beating = 最近一次心跳在 { $ago }前；应每 { $interval }一次。
explain-heart-waiting = 尚未收到任何心跳。
explain-heart-late = 最近一次心跳在 { $ago }前，已超过 { $timeout }的超时时间。
explain-heart-never = 在允许的时间内没有收到第一次心跳。
explain-heart-silent = 心跳已中断 { $ago }，超时与重试均已用尽。
explain-heart-failing = 最近一次心跳报告自身异常：{ $message }
explain-heart-stopping = 最近一次心跳表示即将主动停止。
explain-heart-skew = 上报方时钟偏差 { $skew }；判断从不依赖该时钟。
explain-heart-stuck = 它在发送心跳，但其工作计数停在 { $count } 已有 { $since }。
explain-heart-one-way = 能收到它的心跳，但它表示收不到我们的应答。
explain-heart-asked = 已向其他依据询问 { $tries } 次；若全部不利，将在 { $in }后判为故障。
explain-job-waiting = 尚未收到它任何一次运行的消息。
explain-job-running = 自 { $since } 起有一次运行正在进行，已 { $ago }。
explain-job-too-long = 自 { $since } 起有一次运行正在进行，已 { $ago }：超过了允许的时间。
explain-job-unsure = { $since } 开始了一次运行；其间 lifesign 自身曾停止工作，该次运行结束的消息可能没有送到。
explain-job-succeeded = 最近一次运行在 { $ago }前成功结束，耗时 { $took }。
explain-job-failed = 最近一次运行在 { $ago }前失败：{ $how }。
explain-job-missed = 应在 { $due } 进行的运行没有消息，之后 { $grace }的宽限时间内也没有。
explain-job-excused = { $due } 的应运行时间不予追究：当时 lifesign 自身没有工作，即使运行了消息也送不到。
explain-job-due = 下一次运行应在 { $due }，即 { $in }后，宽限时间为 { $grace }。
explain-job-late = 应在 { $due } 运行；若 { $in }内仍无消息，将判为逾期。
explain-job-over = 运行计划已到尽头：以后不再有应运行的时间。
explain-host-gone = 主机 { $host } 上的一切都没有消息；这只算主机的一个事件。
explain-flapping = 它在反复上下线。每次不再单独通知；平静 { $in }后按当时的状态下结论。
explain-check-pass = 检查 { $check } 通过：{ $output }。
explain-check-fail = 检查 { $check } 未通过：{ $output }。
explain-check-pending = 检查 { $check } 尚无结论。
explain-check-unknown = 检查 { $check } 无法执行：{ $output }。
explain-check-turning = 检查 { $check }：已连续 { $count } 次出现相反结果，满 { $needed } 次即改变结论。
explain-component-down = 它报告自身组件 { $component } 为 { $status }。
explain-dependency-down = 它依赖的 { $dependency } 处于故障状态。
explain-deadline-suspect = 若 { $in }内仍无心跳，将判为疑似异常。
explain-deadline-down = 若 { $in }内仍无心跳，将判为故障。
explain-deadline-grace = 首次心跳的等待期将在 { $in }后结束。
explain-restart-off = 不会自动重启：配置中没有 restart。
explain-restart-no-unit = 不会重启：没有对应的服务单元。
explain-restart-idle = 当前没有重启在进行；额度（{ $budget }）已用 { $used } 次。
explain-restart-scheduled = 第 { $attempt } 次重启将在 { $in }后开始。
explain-restart-withheld = { $in }内不会重启：额度（{ $budget }）已用尽。
explain-restart-running = 第 { $attempt } 次重启正在进行。
explain-restart-refused = 上一次重启被拒绝，未占用额度：{ $why }。
explain-restart-proving = 第 { $attempt } 次重启已完成；新进程须通过全部检查并存活 { $seconds }，方能确认恢复。
explain-notify-none-needed = 无需通知任何人：没有待触发或触发中的告警。
explain-notify-nobody = 没有人会收到 { $alert }：它仍待触发，或没有路由通向接收方。
explain-notify-told = 已将 { $alert } 通知 { $receiver }。
explain-notify-waiting = 将在 { $in }后把 { $alert } 通知 { $receiver }。
