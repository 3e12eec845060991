"""Every way to stop: the catalogue, and what its fixes are made of."""
