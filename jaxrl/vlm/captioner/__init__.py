"""A rule-based captioner: sees six scenes in their pixels, and answers a model's prompts from that.

The default where there is no model, no key and no network. Pixels only, never a state: one module a
scene finds its facts by colour and geometry, `words` turns facts into sentences, `answers` a prompt
into the answer that it asks for.
"""

from jaxrl.vlm.captioner.answers import answer as answer
from jaxrl.vlm.captioner.answers import see as see
from jaxrl.vlm.captioner.client import CaptionerClient as CaptionerClient
from jaxrl.vlm.captioner.words import caption as caption
