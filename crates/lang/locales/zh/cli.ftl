# 命令行。

cli-column-id = 服务
cli-column-host = 主机
cli-column-state = 状态
cli-column-reason = 原因
cli-column-since = 开始于
cli-column-beat = 最近心跳
cli-column-check = 检查
cli-column-result = 结果
cli-column-output = 输出
cli-column-incident = 事件
cli-column-service = 服务
cli-column-opened = 开始
cli-column-closed = 关闭
cli-column-acknowledged = 认领人

cli-paused = 已暂停
cli-on-hold = Lifesign 已暂停：所有服务继续监控，但不告警、不重启。
cli-open = 未关闭
cli-no-services = 尚未监控任何服务。
cli-no-incidents = 没有事件。
cli-summary = 共 { $count } 个服务
cli-incident = 事件 { $id }
cli-as-of = { $at } 时
cli-timeline = 时间线
cli-metrics = 指标
cli-components = 组件
cli-restart-ordered = 已下达重启 { $id } 的指令。
cli-paused-done = { $id } 已暂停：继续监控，但不告警、不重启。
cli-resumed-done = { $id } 已恢复监控处理。
cli-reloaded-done = 已重新读取配置。
cli-acknowledged-done = 事件 { $id } 已由 { $by } 认领。
cli-beat-accepted = 已接受 { $id } 的心跳，当前状态：{ $state }。
cli-config-ok = { $file } 有效：{ $services } 个服务，{ $rules } 条规则。
cli-config-bad = { $file } 无效：{ $errors } 个错误。
cli-error = 错误
cli-dashboard-at = 控制台：{ $url }
cli-token-made = 管理员令牌（仅显示一次，保存在 { $file }）：{ $token }
cli-token-kept = 管理员令牌保存在 { $file }
cli-watching = 正在监控 { $host } 上的 { $services } 个服务：
cli-agent-runs = 代理在 { $host } 上运行，服务器：{ $server }
cli-stop-hint = 按 Ctrl+C 停止。
cli-stopping = 正在停止 …

cli-column-detector = 检测器
cli-column-interval = 间隔
cli-column-heartbeats = 心跳数
cli-column-lost = 丢失
cli-column-days = 天数
cli-column-crash = 崩溃
cli-column-mean = 平均
cli-column-p99 = P99
cli-column-most = 最长
cli-column-missed = 漏检
cli-column-mistakes = 误判
cli-column-in-outages = 断网期间/天
cli-column-avoidable = 可避免/天
cli-column-lasting = 平均持续
cli-column-accuracy = 判断正确
cli-column-heartbeat = 心跳设置
cli-column-questions = 询问/天

cli-simulate-trace = 轨迹
cli-simulate-detection = 从崩溃到判定故障
cli-simulate-mistakes = 存活却被判定故障
cli-simulate-alternatives = 同一轨迹，其他设置（紧随心跳之后崩溃）
cli-simulate-crashes = { $count ->
    [0] 轨迹中没有
   *[other] 轨迹中的 { $count } 次
}
cli-simulate-worst-phase = 紧随心跳之后
cli-simulate-seconds = { $seconds } 秒
cli-simulate-fixed = 固定
cli-simulate-chen = Chen
cli-simulate-phi = φ 累积
cli-simulate-adaptive = 自适应
cli-simulate-adaptive-fast = 自适应（快速）
cli-simulate-adaptive-strict = 自适应（严格）
cli-simulate-asks = { $detector }，会询问
cli-simulate-ignored = { $id } 有 { $count } 个心跳是在其崩溃期间发送的，已忽略；是否缺少 `recover`？
cli-simulate-other-interval = 轨迹中 { $id } 每 { $sent } 发送一次，而配置期望 { $expected }：所得数字反映的是一份错误的配置。
cli-simulate-seed = 询问的应答按种子 { $seed } 抽取；用 --seed 可换一组。

cli-discover-none = 没有匹配的服务。加 --all 可同时显示不自动启动的服务。

cli-job = 运行
cli-job-schedule = 计划：
cli-job-missed = 错过：
cli-job-next = 下次应运行：
cli-job-never = 不再运行
cli-job-running = 运行开始于：
cli-job-too-long = 运行过久，开始于：
cli-job-last = 最近一次：
cli-job-ok = 成功
cli-job-failed = 失败
cli-job-code = 失败，退出码 { $code }
cli-job-signal = 被信号 { $signal } 终止
cli-job-start = 无法启动：{ $why }
cli-exec-untold = lifesign exec：无法上报本次运行的{ $what }：{ $why }
cli-exec-late = lifesign exec：服务器没有应答；将在最多 { $span }内继续上报本次运行的结束
cli-exec-start = 开始
cli-exec-end = 结束
cli-exec-cannot-start = lifesign exec：无法启动 { $command }：{ $why }
