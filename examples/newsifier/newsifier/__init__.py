"""A small news service: collects articles from feeds and Apify actors, and serves them with what was found in them."""
