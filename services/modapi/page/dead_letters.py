"""Dead letters of one instance on its page. Pure."""

import re
from collections.abc import Mapping, Sequence

from services.modapi.dead_letter_retry import why_not
from services.modapi.page.markup import Html, html
from services.modapi.page.words import moment
from services.relay.instances.dead_letters import DeadLetter

LETTERS = 20

CAME = {
    "taken": "on the way to Takaro",
    "dead_again": "put aside again, as before",
    "not_possible": "cannot be repeated",
    "full": "kept, for too many events wait for Takaro: try again later",
    "dropped": "dropped",
    "gone": "gone already",
}
"""What came of a form, as the page's address says it and as people read it, each behind a number."""

_NUMBER = re.compile(r"[0-9]{1,4}")

_LETTER = """\
<li id="letter-{id}">
<div class="letter"><b>{reason}</b> <span class="dim">{at}</span><p class="said">{detail}</p>
<details><summary id="raw-{id}">what came</summary><pre>{raw}</pre></details></div>
<div class="buttons">{repeat}{drop}</div>
</li>
"""

_ALL = """\
<details class="all"><summary id="all">All at once</summary>
<p>What is dropped is gone for good.</p>
<div class="buttons">{repeat}{drop}</div></details>
"""

_BUTTON = """\
<form method="post" action="/instance/{slug}/dead/{id}/{verb}"><input type="hidden" name="key" value="{key}">\
<button id="{verb}-{id}" class="{kind}">{word}</button></form>"""


def notice(query: Mapping[str, str]) -> str:
    """What came of the form that was sent last; "" if none was."""
    told = [
        f"{query[name]} {words}" for name, words in CAME.items() if _NUMBER.fullmatch(query.get(name, ""))
    ]
    return "; ".join(told)


def dead(slug: str, letters: Sequence[DeadLetter], form_key: str, older: bool = False) -> Html:
    """Dead letters, the newest first. `older`: these are not the newest of all."""
    back = html('<p><a href="/instance/{slug}#dead-title">the newest</a></p>', slug=slug) if older else None
    if not letters:
        return html(
            '<p class="none">{none}</p>{back}', none="No older ones." if older else "None.", back=back
        )
    more = None
    if len(letters) == LETTERS:
        more = html(
            '<p><a id="older" href="/instance/{slug}?before={id}#dead-title">older ones</a></p>',
            slug=slug,
            id=letters[-1].id,
        )
    return html(
        '{all}<ul class="letters">{letters}</ul>{back}{more}',
        all=None if older or len(letters) == 1 else _all(slug, form_key),
        letters=[_letter(slug, letter, form_key) for letter in letters],
        back=back,
        more=more,
    )


def _all(slug: str, form_key: str) -> Html:
    return html(
        _ALL,
        repeat=_button(slug, "all", "repeat", "Repeat all", form_key),
        drop=_button(slug, "all", "drop", "Drop all", form_key),
    )


def _letter(slug: str, letter: DeadLetter, form_key: str) -> Html:
    reason = why_not(letter)
    return html(
        _LETTER,
        id=letter.id,
        reason=letter.reason,
        at=moment(letter.at_ms),
        detail=letter.detail,
        raw=letter.raw.decode("utf-8", "backslashreplace"),
        repeat=html('<span class="dim why">{reason}</span>', reason=reason)
        if reason
        else _button(slug, letter.id, "repeat", "Repeat", form_key),
        drop=_button(slug, letter.id, "drop", "Drop", form_key),
    )


def _button(slug: str, id: str, verb: str, word: str, form_key: str) -> Html:
    kind = "quiet" if verb == "drop" else ""
    return html(_BUTTON, slug=slug, id=id, verb=verb, word=word, kind=kind, key=form_key)
