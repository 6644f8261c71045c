"""The scanner stage: `inspect` turns bytes into a Report; `daemon` moves files by it."""
