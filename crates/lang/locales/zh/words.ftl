# 契约中的词汇，按运维人员的习惯表达。

state-pending = 等待数据
state-up = 正常
state-degraded = 降级
state-suspect = 疑似异常
state-down = 故障
state-unknown = 未知

reason-missed_heartbeat = 心跳丢失
reason-hung = 无响应
reason-exited = 自行退出
reason-crashed = 崩溃
reason-killed = 被强制终止
reason-stopped_by_operator = 人为停止
reason-start_failed = 启动失败
reason-check_failed = 检查未通过
reason-dependency_down = 依赖服务故障
reason-host_unreachable = 主机不可达
reason-observer_stalled = 监控自身受阻
reason-component_down = 组件故障

kind-unit = 服务单元
kind-heartbeat = 心跳
kind-tcp = TCP
kind-http = HTTP
kind-tls = TLS 证书
kind-dns = DNS
kind-icmp = Ping
kind-grpc = gRPC
kind-command = 命令
kind-process = 进程
kind-disk = 磁盘
kind-log = 日志
kind-scrape = 指标采集

check-pending = 尚无结论
check-pass = 通过
check-fail = 未通过
check-unknown = 无法检查

severity-info = 提示
severity-warning = 警告
severity-error = 错误
severity-critical = 严重

alert-inactive = 未触发
alert-pending = 待触发
alert-firing = 告警中
alert-resolved = 已恢复

# 多数主机与服务都有的指标。
metric-cpu = CPU
metric-memory = 内存
metric-memory_available = 可用内存
metric-memory_free = 空闲内存
metric-memory_used = 已用内存
metric-memory_total = 总内存
metric-swap = 交换区
metric-disk = 磁盘
metric-disk_free = 可用磁盘
metric-processes = 进程数
metric-load1 = 负载
metric-uptime = 运行时间

about-verdict = 结论
about-evidence = 依据
about-deadline = 接下来
about-incident = 事件经过
about-restart = 重启
about-notification = 通知
about-unit = 系统所知的服务单元

# 事件时间线上的词。
timeline-opened = 事件开始
timeline-state = 状态变化
timeline-evidence = 依据
timeline-restart_scheduled = 已安排重启
timeline-restart_started = 开始重启
timeline-restart_done = 已重启
timeline-restart_failed = 重启失败
timeline-restart_refused = 拒绝重启
timeline-restart_withheld = 暂不重启
timeline-proven = 确认恢复
timeline-not_proven = 未能确认恢复
timeline-notified = 已通知
timeline-notify_failed = 通知失败
timeline-acknowledged = 已认领
timeline-output = 最后输出
timeline-closed = 事件关闭

# 时长。取最大的两个单位，以空格分隔。
unit-ms = 毫秒
unit-s = 秒
unit-min = 分
unit-h = 小时
unit-d = 天
span-ago = { $span }前
span-budget = { $span }内 { $count } 次
span-for = 已持续 { $span }
