"""The exporter: a process of its own that says what the server does, so that busy workers never delay an answer.

`process.run` is its main; from there: http_server → collector → reading (the shared mapping), processes (their /proc)
and cgroup.
"""
