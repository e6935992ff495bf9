# 控制台。

ui-title = lifesign
