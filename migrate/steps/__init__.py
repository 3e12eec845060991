"""The steps of a run (adopt, backup, repair, upgrade), the proof, and the parts of the one that runs revisions."""
