"""The images on a real engine: `make test-containers`."""
