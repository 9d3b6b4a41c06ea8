"""Heads: learned on stored pairs, judged, kept and published.

stored_pairs reads what is learned from; methods names every way to learn, tasks what each is given; closed_forms,
classes and gradients fit; fitting makes one head, judging says whether it is better, run is the whole job.
"""
