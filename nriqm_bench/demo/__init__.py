"""Generators to show the suite on: trained ones, and rogues each wrong in one known way."""
