"""Real-vs-fake study of a results folder.

Its cells are the algorithms; its fooling rates are scores in the ledger.
"""
