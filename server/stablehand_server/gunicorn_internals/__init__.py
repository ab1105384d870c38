"""What this server uses of gunicorn beyond its command line: the only package that imports gunicorn.

gunicorn promises nothing about most of it. So it stands in one place, by subject, and each module says what the server
relies on. When another version of gunicorn is taken up, what has changed is found here, and by the tests of this
package, which know each name and the signature of each method that the server calls or replaces.

The package itself imports nothing, and its modules nothing of this server's. `gevent`, `tornado` and `asgi` are for
the workers of these classes alone: the master, and so every other worker, is to stay without what they load.
"""
