"""Bridges to other people's environment interfaces."""
