"""Imports: libraries of features that were computed elsewhere, read from their files and written as items.

layouts finds what a folder holds; matrices, tables and mats read it; check refuses what is wrong before anything is
written; write makes items, captions and embeddings of it; run is the whole job.
"""
