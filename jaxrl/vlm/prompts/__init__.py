"""Prompts as files: what is asked, which parser reads the answers, what it is about.

`load("lander_position")` reads one that is shipped, `load("my.jinja")` one of your own: TOML
between two lines of `+++`, then the text, a jinja2 template in the names of `env.describe()` and
in parameters of its own. Text that is left undefined is an error, never an empty place.
"""

from jaxrl.vlm.prompts.template import Template as Template
from jaxrl.vlm.prompts.template import load as load
from jaxrl.vlm.prompts.template import names as names
