"""The real-vs-fake study of a results folder: its cells as algorithms, its fooling rates in the ledger."""
