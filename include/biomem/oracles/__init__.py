"""Holds the shipped memory model against published human data."""
