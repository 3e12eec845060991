"""The report in a real browser: headless Chromium."""
