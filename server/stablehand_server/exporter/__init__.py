"""The exporter: a process of its own that says what the server does, so that busy workers never delay an answer.

`main.run` is what the process does; from there: http_server → collector → reading (the shared mapping), processes
(their /proc) and cgroup.
"""
