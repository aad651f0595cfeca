"""What to put into a mod's config, on the page of its instance. Pure."""

from services.modapi.page.markup import Html, html
from services.modapi.page.view import PageRow
from services.relay.instances.entries import Origin
from services.relay.instances.mod_config import listens_everywhere, mod_config, mod_url
from services.relay.service.settings import ModApi

_SETUP = """\
<details class="setup"{open}>
<summary>Setup: what to put into the mod's config</summary>
<p>The whole of <code>profiles/TakaroIntegration/config.json</code> of the DayZ server:</p>
<pre>{config}</pre>
<ul>
<li>{key}</li>
<li>{where} If it runs behind a proxy or in Docker, put in the address that leads to it from outside.</li>
<li>The mod registers once when the DayZ server starts: restart that after each change.</li>
</ul>
</details>
"""


def setup(row: PageRow, modapi: ModApi) -> Html:
    """How its mod gets here. Open until that has happened. Keys are not shown: stored ones nobody knows."""
    slug = row.slug
    keyless = row.entry.origin is Origin.FILE and not row.entry.keys
    if keyless:
        key = html(
            "The instance <code>{slug}</code> has no <code>mod_keys</code> in relay.toml: only a DayZ server"
            " on this machine may call, and only while it is the relay's only one.",
            slug=slug,
        )
    elif row.entry.origin is Origin.FILE:
        key = html(
            "The mod key is one of <code>mod_keys</code> of the instance <code>{slug}</code> in relay.toml.",
            slug=slug,
        )
    else:
        key = html(
            "The mod key was shown once when the server was added; only its hash is kept. "
            "<code>dayz-relay instance rotate {slug}</code> makes a new one.",
            slug=slug,
        )
    where = (
        html("In place of 127.0.0.1, put in the address by which the DayZ server reaches the relay.")
        if listens_everywhere(modapi)
        else html("The relay listens on <code>{host}</code> only.", host=modapi.host)
    )
    return html(
        _SETUP,
        open=None if row.facts.contact_ms else html(" open"),
        config=mod_config(mod_url(modapi), "" if keyless else "<mod key>"),
        key=key,
        where=where,
    )
