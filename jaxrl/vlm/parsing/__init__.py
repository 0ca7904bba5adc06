"""From what a model wrote to `(value, ok)`: keyword rules, numbers with sides, choices, JSON.

A parser is a file of data; `parser("lander_words")` reads one that is shipped, `parser("my.toml")`
one of your own. No parser raises whatever the text is, and none makes up a value: a text without
the evidence is `ok=False`, its value NaN and its `note` the reason.
"""

from jaxrl.vlm.parsing.files import names as names
from jaxrl.vlm.parsing.files import parser as parser
from jaxrl.vlm.parsing.parsed import Parsed as Parsed
from jaxrl.vlm.parsing.parsed import Parser as Parser
