"""What to put into a mod's config, on the page of its instance. Pure."""

from dataclasses import dataclass

from services.modapi.page.markup import Html, html
from services.modapi.page.view import Row
from services.relay.instances.entries import Origin

_SETUP = """\
<details class="setup"{open}>
<summary>Setup: what to put into the mod's config</summary>
<p>In <code>profiles/TakaroIntegration/config.json</code> of the DayZ server:</p>
<pre>"TakaroApiUrl": "{address}/k/&lt;mod key&gt;",
"RegistrationToken": "&lt;mod key&gt;",</pre>
<ul>
<li>{key}</li>
<li>{where}</li>
<li>The mod registers once when the DayZ server starts: restart that after each change.</li>
</ul>
</details>
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """Where mods call."""

    host: str
    port: int
    tls: bool

    @property
    def everywhere(self) -> bool:
        return self.host in ("0.0.0.0", "::")

    @property
    def address(self) -> str:
        host = "<address of the relay>" if self.everywhere else self.host
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def setup(row: Row, wire: Wire) -> Html:
    """How its mod gets here. Open until that has happened. Keys are not shown: stored ones nobody knows."""
    slug = row.slug
    if row.entry.origin is Origin.FILE:
        key = html(
            "The mod key is one of <code>mod_keys</code> of the instance <code>{slug}</code> in relay.toml."
            "{none}",
            slug=slug,
            none=None
            if row.entry.keys
            else " It has none: then the address ends at the port, and only this machine may call.",
        )
    else:
        key = html(
            "The mod key was shown once when the server was added; only its hash is kept. "
            "<code>dayz-relay instance rotate {slug}</code> makes a new one.",
            slug=slug,
        )
    where = (
        html("Put in the address of the relay as the DayZ server reaches it.")
        if wire.everywhere
        else html("The relay listens on <code>{host}</code> only.", host=wire.host)
    )
    return html(
        _SETUP,
        open=None if row.facts.contact_ms else html(" open"),
        address=wire.address,
        key=key,
        where=where,
    )
