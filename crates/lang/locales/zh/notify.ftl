# 接收方看到的内容：一行标题，几行正文。

notify-subject-down = [{ $severity }] { $host } 上的 { $service } { $state }：{ $reason }
notify-subject-up = [已恢复] { $host } 上的 { $service } 已恢复{ $state }
notify-subject-alert = [{ $severity }] { $alert }：{ $host } 上的 { $service }
notify-subject-alert-resolved = [已恢复] { $alert }：{ $host } 上的 { $service }
notify-subject-group = [{ $severity }] { $count } 条告警触发中，{ $resolved } 条已恢复
notify-repeat = 重复提醒：此前已通知，问题仍未恢复。
notify-service = 服务
notify-host = 主机
notify-state = 状态
notify-reason = 原因
notify-severity = 级别
notify-alert = 告警
notify-since = 开始时间
notify-ended = 结束时间
notify-lasted = 持续时间
notify-incident = 事件
notify-evidence = 进程结束时留下的信息：
notify-link = 详情：{ $url }
notify-footer = 由 lifesign 发送给接收方 { $receiver }。
