"""Two-way sync: reconcile, absorb, push."""
