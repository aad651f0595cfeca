"""Dead letters of one instance on its page. Pure."""

from collections.abc import Sequence

from services.modapi.page.markup import Html, html
from services.modapi.page.words import moment
from services.modapi.repeats import why_not
from services.relay.instances.dead_letters import Letter

LETTERS = 20

_LETTER = """\
<li id="letter-{id}">
<div class="letter"><b>{reason}</b> <span class="dim">{at}</span><p class="said">{detail}</p>
<details><summary id="raw-{id}">what came</summary><pre>{raw}</pre></details></div>
<div class="buttons">{repeat}{drop}</div>
</li>
"""

_BUTTON = """\
<form method="post" action="/instance/{slug}/dead/{id}/{verb}"><input type="hidden" name="key" value="{key}">\
<button id="{verb}-{id}" class="{kind}">{word}</button></form>"""


def dead(slug: str, letters: Sequence[Letter], form_key: str, older: bool = False) -> Html:
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
        '<ul class="letters">{letters}</ul>{back}{more}',
        letters=[_letter(slug, letter, form_key) for letter in letters],
        back=back,
        more=more,
    )


def _letter(slug: str, letter: Letter, form_key: str) -> Html:
    def button(verb: str, word: str, kind: str) -> Html:
        return html(_BUTTON, slug=slug, id=letter.id, verb=verb, word=word, kind=kind, key=form_key)

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
        else button("repeat", "Repeat", ""),
        drop=button("drop", "Drop", "quiet"),
    )
