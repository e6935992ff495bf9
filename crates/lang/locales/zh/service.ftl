# `lifesign service`。
service-planned = 将执行
service-done = 已完成
service-unchanged = 无需更改
service-not-offered = 本系统不提供
service-nothing = 无事可做。
service-installed = { $name } 已安装。用 `{ $start }` 启动；`{ $status }` 显示其状态。
service-rights = 它可以启动和停止上面列出的服务以及先前授权的服务；其他服务：`{ $grant }`。
service-no-programs = 服务器让它启动的程序（`process:`）需要比此单元更宽的权限：`--processes`。
service-started = { $name } 正在运行。
service-stopped = { $name } 已停止。
service-state = 状态
service-detail = 说明
service-process = 进程
service-start = 启动方式
service-command = 命令
