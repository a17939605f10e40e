"""See the design in docs/concepts.md."""
