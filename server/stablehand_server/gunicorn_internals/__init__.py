"""What this server uses of gunicorn beyond its command line: the only package that imports gunicorn.

gunicorn makes no promises about most of it. So it is kept in one place, by subject, and each module states what the
server relies on. On an upgrade of gunicorn, what has changed is found here, and by the tests of this package,
which know each name and the signature of each method that the server calls or replaces.

The package itself imports nothing, and its modules import nothing of this server. `gevent`, `tornado` and `asgi` are
for the workers of these classes alone: the master, and so every other worker, must not load what they import.
"""
