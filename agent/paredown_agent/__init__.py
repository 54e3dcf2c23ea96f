"""The recorder: which files a container uses while its load tests run."""
