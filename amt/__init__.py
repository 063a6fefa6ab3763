"""The real-vs-fake perceptual study, usable alone. Nothing is offered yet; the design of trials comes first."""
