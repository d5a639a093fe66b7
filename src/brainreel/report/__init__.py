"""Scorecards to one page."""
