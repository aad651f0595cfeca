// Keeps the page fresh: the server sends fragments of HTML, already escaped, and each takes the place of the old one.
// Without this script the page shows what was true when it was loaded.

const link = document.getElementById("link");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// Times come in UTC, and are read where the reader is.
function localise(part) {
  const today = new Date().toDateString();
  for (const time of part.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = (at.toDateString() === today ? clock : date).format(at);
    time.title = whole.format(at);
  }
}

// What the reader has opened, focused or scrolled stays as it is.
function replace(id, html) {
  const part = document.getElementById(id);
  if (!part || holdsSelection(part)) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const open = [...part.querySelectorAll("details[open] > summary[id]")].map((summary) => summary.id);
  const { scrollTop, scrollLeft } = part;
  part.innerHTML = html;
  localise(part);
  for (const summary of open) document.getElementById(summary)?.parentElement.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  part.scrollTo(scrollLeft, scrollTop);
}

// A text that is being marked must not be taken from under the hand. The server sends a fragment only when it
// changed, so what is left out now is asked for again.
let leftOut = false;
function holdsSelection(part) {
  const marked = getSelection();
  const holds = marked.rangeCount > 0 && !marked.isCollapsed && part.contains(marked.anchorNode);
  leftOut ||= holds;
  return holds;
}

function say(text, kind) {
  if (link.textContent !== text) link.textContent = text;
  link.className = `link ${kind}`;
}

let source;
function listen(address) {
  source?.close();
  source = new EventSource(address);
  source.addEventListener("fragment", (event) => {
    say("live", "on");
    const { id, html } = JSON.parse(event.data);
    replace(id, html);
  });
  source.addEventListener("away", () => say("Redis is away", "off"));
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return say("the relay is away, trying again", "off");
    // Refused: the session is over, or the relay too busy. A fresh page says which.
    say("connection lost", "off");
    setTimeout(() => location.reload(), 5000);
  });
}

const address = document.body.dataset.live;
if (address) {
  listen(address);
  document.addEventListener("selectionchange", () => {
    if (leftOut && getSelection().isCollapsed) {
      leftOut = false;
      listen(address);
    }
  });
  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source.close();
    else listen(address);
  });
  addEventListener("pagehide", () => source.close());
}
localise(document);
