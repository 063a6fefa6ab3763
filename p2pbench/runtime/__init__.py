"""Runtime: device, precision, stop requests, progress, terminal, locks."""
