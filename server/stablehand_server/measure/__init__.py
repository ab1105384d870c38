"""What is measured of requests and of the app, by the process that serves them."""
