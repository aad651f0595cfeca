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

// What is shown is as old as the last word of the server: grey then, with the time of day, in the tab as well.
const QUIET_MS = 12_000;
const timeOfDay = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });
let heardAt = Date.now();
let stale = false;
let title = document.title;

function heard() {
  heardAt = Date.now();
  if (stale) document.title = title;
  stale = false;
  document.body.classList.remove("stale");
  say("live", "on");
}

function lost(why) {
  if (!stale) title = document.title;
  stale = true;
  document.body.classList.add("stale");
  const asOf = `as of ${timeOfDay.format(heardAt)}`;
  say(`${why}, ${asOf}`, "off");
  document.title = `${asOf} · ${title}`;
}

let source;
function listen(address) {
  source?.close();
  source = new EventSource(address);
  source.addEventListener("alive", heard);
  source.addEventListener("fragment", (event) => {
    heard();
    const { id, html } = JSON.parse(event.data);
    replace(id, html);
  });
  source.addEventListener("away", () => lost("Redis is away"));
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return lost("the relay is away");
    // Refused: the session is over, or the relay too busy. A fresh page says which.
    lost("connection lost");
    setTimeout(() => location.reload(), 5000);
  });
}

let address = document.body.dataset.live;
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
    if (!document.hidden) return listen(address);
    source.close();
    lost("paused");
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => {
    // It may come out of the browser's memory, as it was left.
    if (event.persisted) listen(address);
  });
  // A connection that died without a word, or a relay that hangs.
  setInterval(() => {
    if (!stale && Date.now() - heardAt > QUIET_MS) lost("no news from the relay");
  }, 1000);
}
localise(document);

// Filters while it is typed; without this script the button does it.
const filter = document.querySelector("form.filter");
let typed;
document.getElementById("q")?.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const query = new URLSearchParams([...new FormData(filter)].filter(([, value]) => value));
    history.replaceState(null, "", `/?${query}`);
    address = `/live?${query}`;
    listen(address);
  }, 200);
});

// The clipboard is open to pages of https and of localhost only; elsewhere the old way has to do.
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

// A second click, while the first is being answered, would send a message twice.
let sent = new WeakSet();
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (sent.has(event.target)) event.preventDefault();
  sent.add(event.target);
});
addEventListener("pageshow", () => (sent = new WeakSet()));
