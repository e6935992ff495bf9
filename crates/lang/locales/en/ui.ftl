# The dashboard.

ui-title = lifesign
