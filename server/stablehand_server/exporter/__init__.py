"""The exporter: a separate process that serves metrics and probes, so that busy workers never delay an answer.

`main.run` is the process's main function; it leads to http_server → collector → reading (the shared mapping), processes
(/proc) and cgroup.
"""
