"""Strings that readers of YAML are known to take for something else."""

from __future__ import annotations

WORDS = (
    "y", "n", "Y", "N", "yes", "No", "NO", "on", "OFF", "true", "False", "null", "Null", "NULL", "~", "nan",
    "Infinity",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "+1", "1.", ".5", "1.5", "1e3", "1E3", "1e-5", "e3", "0o17", "017", "09", "0x1F", "0b1", "1_000",
    "12:30", "12:30:45", "190:20:30", ".inf", "-.inf", ".nan", ".NaN", "2026-01-01", "2026-01-01T10:00:00Z",
)  # fmt: skip
SIGNS = (
    "", " ", "-", "- a", "--", "---", "...", "? a", "?", ":", ": a", "a:", "a: b", "a :b", "a#b", "a #b", "#a", "@a",
    "`a", "!a", "&a", "*a", "%a", "|", ">", "> x", "[a", "]", "{a}", "}", ",", "a,b", "'", '"', "a'b", 'a"b', "\\",
    "\\n", "=", "<<", "${A}", "{{ .Values.a }}", "/a:b", "a:b", "1:2", "a/b:c@d",
)  # fmt: skip
SPACES = (
    " a", "a ", "a\tb", "\t", "\ta", "\n", "a\n", "\na", "a\nb", "a\nb\n", "a\n\nb", "a\n\n", "a\r\nb", "a\rb",
    " a\nb", "a \nb", "a\n  b", "a\n\tb", "#a\nb", "a\n#b", "a\n---\nb", "a\n...\nb", "null\nb", "k: v\nl: {",
    "- a\n- b\n",
)  # fmt: skip
ODD = (
    "\0", "\x07", "\x1b[0m", "\x7f", "\x85", "\xa0", "\xad", "\u2028", "\u2029", "\ufeff", "\ufffe", "\uffff", "é",
    "日本", "😀",
)  # fmt: skip
NASTY = (*WORDS, *NUMBERS, *SIGNS, *SPACES, *ODD, "a" * 5000)
