"""What programs need of a machine: device, precision, stop requests, progress, terminal, locks."""
