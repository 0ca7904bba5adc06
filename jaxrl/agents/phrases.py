"""The words around an action in a model's answer, and what they make of it.

What stands before it in its sentence may decide on it, deny it, suppose it or merely describe the
scene; what stands after it may dismiss it. `answers.py` weighs them.
"""

from __future__ import annotations

import re

OPENING, CLOSING = "'\"`*_(\\[{<‘“„‚«‹「『《【（", "'\"`*_)\\]}>’”“»›」』》】）"  # noqa: RUF001
"""What may stand around an action."""
WORD = r"^\W\u3040-\u30ff\u4e00-\u9fff"
"""Letters of the scripts that put spaces between words, as a set."""
ENDS = re.compile(r"[.!。！…:)\]}'\"`*”’»」]\s*$")  # noqa: RUF001
"""How a text ends that was not cut off in a sentence."""

CUE = (
    r"(?:(?:my |the |final |best |chosen |next |recommended |selected |correct )*"
    r"(?:action|answer|decision|choice|move|command|response|output|acci[oó]n|respuesta|aktion|"
    r"antwort|r[eé]ponse|действие|ответ)\b|動作|行动|动作|答案)"
)
DECIDED = re.compile(
    rf"(?:{CUE}[^.;!?\n]*?(?::|：|=|\bis\b|\bwould be\b|\bshould be\b|\bes\b|\bist\b|\best\b|是)"  # noqa: RUF001
    r"|\b(?:i|we|you|let's|let me|let us|i'd|i'll|we'll|i'm)\s+(?:\w+\s+){0,3}?"
    r"(?:choose|chose|pick|select|recommend|take|use|apply|go with|going with|opt for|decide on|"
    r"suggest|answer|execute|issue|do|try)\b"
    r"|\b(?:choosing|therefore|thus|hence|so|final(?:ly)?|conclusion|→|=>|->)\b"
    r"|\b(?:should|must|need to|want to|will)\s*$"
    r"|(?:我选择|选择|因此|所以|elijo|je choisis|ich wähle|выбираю|escolho))"
    r"[^.;!?\n]*$",
    re.IGNORECASE,
)
"""The words before an action that make it a decision, up to the action."""

DENIED = re.compile(
    r"(?:\b(?:not|never|avoid|avoiding|instead of|rather than|without|against|no need|stop|than|"
    r"over|unlike|except|neither|nor|no|wrong|previous(?:ly)?|last time|was|were|had)\b"
    r"|n't\b|n’t\b|cannot\b|\b(?:nicht|kein\w*|statt|pas|jamais|não|nunca|не|нет)\b|不|别)"
    r"[^.;:,!?\n]*$",
    re.IGNORECASE,
)
"""The words before an action that rule it out, up to the action."""

SUPPOSED = re.compile(
    r"\b(?:if|unless|could|might|may|whether|consider(?:ing|ed)?|maybe|perhaps|either|between|"
    r"options?|e\.g|for example|such as|like|after|before|once|then)\b[^.;:!?\n]*$"
    r"|\b(?:when|while)\b[^.;:,!?\n]*$",
    re.IGNORECASE,
)
"""The words before an action that only weigh it, up to the action."""

CONDITION = re.compile(r"\b(?:if|unless|whether|when|could|might|may)\b[^,]*$", re.IGNORECASE)
"""What turns the decision right after it into none; after a comma the sentence goes on without."""

COMPARED = re.compile(r"^\W*(?:rather than|instead of|over|(?:and )?not)\W+$", re.IGNORECASE)
"""What stands between an action that is taken and one that is not."""

DISMISSED = re.compile(
    r"^\W*\b(?:would|could|might|may|isn't|is not|won't|will not|wouldn't|can't|cannot|doesn't|"
    r"does not|is (?:too|wrong|bad|risky|useless|dangerous|ineffective|unsafe|out|blocked)|makes|"
    r"is worse|seems (?:wrong|bad|risky)|was|had|hits|kills|crashes|leads? (?:in)?to|runs? into)\b",
    re.IGNORECASE,
)
"""The words after an action that say what speaks against it."""

REFUSED = re.compile(
    r"\b(?:i(?:'m| am) sorry|i apologi[sz]e|i (?:can't|cannot|can not|won't|am unable to|"
    r"am not able to)\s+(?:\w+\s+){0,2}(?:help|assist|do|comply|provide|play|control|see|view|"
    r"choose|decide|determine|tell))\b",
    re.IGNORECASE,
)
"""A refusal, anywhere in an answer."""

LISTING = re.compile(
    r"^[\s'\"`*_()\[\]‘’“”]*(?:,|/|\||;|\bor\b|\band\b|\bthen\b|,\s*(?:or|and|then)\b|"  # noqa: RUF001
    r"\band then\b|\bfollowed by\b|&|->|→)?[\s'\"`*_()\[\]‘’“”]*(?:\d+[.)]|[-*•])?[\s'\"`*(\[]*$",  # noqa: RUF001
    re.IGNORECASE,
)
"""What stands between two names of a list of actions."""

TAGGED = re.compile(r"<(?:final_)?(?:answer|action|move)>(.*?)</", re.IGNORECASE | re.DOTALL)
"""An answer between tags; the group is what they hold."""

WAYS = frozenset(
    (
        *("left", "right", "up", "down", "nothing", "none"),
        *("clockwise", "counter clockwise", "counterclockwise"),
    )
)
"""Names, `plain`, that also tell how things lie or move: in quotes, they may decide nothing."""
DESCRIBED = re.compile(
    r"\b(?:pole|cart|ball|paddle|food|apple|snake|head|tail|body|walls?|lander|ship|pad|rod|links?|"
    r"tip|legs?|contact|it|it's|its|see|velocity|angle|speed|drift)\b[^.,;!?\n]*$",
    re.IGNORECASE,
)
"""The words before such a name that make it a part of the scene, up to the name."""
ACTS = re.compile(
    r"\b(?:should|must|needs?|have to|has to|will|can|go|let|push|move|steer|turn|keep|send|best|"
    r"safest|better|action|answer|choice|choose|choosing|pick|decide|option|do)\b"
    r"|(?:\b(?:so|then|therefore|thus|hence|it(?:'s|’s| is))|->|→|=>)\W*$",
    re.IGNORECASE,
)
"""Words that make a sentence about the scene one about what to do in it."""
WITHDRAWN = re.compile(
    r"\b(?:wait|hmm+|scratch that|on second thoughts?|let me (?:reconsider|rethink|think again)|"
    r"that(?:'s|’s| is| was| would be) (?:wrong|not right|incorrect|a mistake|bad))\b",
    re.IGNORECASE,
)
"""What takes the last decision back where no other follows."""
THOUGHT_BEGINS, THOUGHT_ENDS = (
    re.compile(mark, re.IGNORECASE) for mark in (r"<think(?:ing)?>", r"</think(?:ing)?>")
)
"""The marks around what a model thinks to itself."""
