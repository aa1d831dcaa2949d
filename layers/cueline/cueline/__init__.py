"""Cueline: one durable event backend for conversational agents."""
