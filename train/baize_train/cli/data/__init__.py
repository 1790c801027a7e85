"""``baize-train data``: check, convert, mix, split and describe corpora."""
