"""What the server uses of gunicorn, read from the code of both, and recorded for the version that it is built on."""
