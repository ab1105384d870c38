"""The bundled pre-fork server: gunicorn with live settings and Prometheus metrics for each worker."""
